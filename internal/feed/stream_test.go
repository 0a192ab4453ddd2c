package feed

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
)

// A fake feed says exactly what a test wants.
func fakeFeed(t *testing.T, stream func(n int64, write func(string)), ack func(r report) (int, string)) string {
	t.Helper()
	var streams atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == LeasePath {
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				return // the client gave up
			}
			var in report
			if err := json.Unmarshal(raw, &in); err != nil {
				t.Errorf("report: %v", err)
			}
			code, body := ack(in)
			w.WriteHeader(code)
			fmt.Fprint(w, body)
			return
		}
		stream(streams.Add(1), func(line string) {
			fmt.Fprintln(w, line)
			_ = http.NewResponseController(w).Flush()
		})
		<-r.Context().Done()
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func clientOf(t *testing.T, address string) *Client {
	t.Helper()
	r := &rig{T: t, address: address}
	c, _ := r.client("edge", "", nil)
	return c
}

func entryLine(seq, prev uint64, sid string) string {
	raw, _ := json.Marshal(message{Entry: &revocation.Entry{Seq: seq, Kind: revocation.Session, Value: sid, Expires: time.Now().Add(time.Hour)}, Prev: prev})
	return string(raw)
}

func TestLeaseNeedsTheNewest(t *testing.T) {
	var reports atomic.Int64
	release := make(chan struct{})
	address := fakeFeed(t, func(_ int64, write func(string)) {
		write(`{"synced":5}`)
		<-release
		write(entryLine(6, 5, "six"))
	}, func(report) (int, string) {
		reports.Add(1)
		return http.StatusOK, `{"lease":"3s","last":6}`
	})
	c := clientOf(t, address)
	until(t, "two reports", func() bool { return reports.Load() >= 2 })
	if s := c.Status(); s.Loaded || !s.Stale {
		t.Errorf("an edge at 5 of 6 decides: %+v", s)
	}
	close(release)
	until(t, "loaded", func() bool { return c.Status().Loaded && !c.Status().Stale })
	if !revoked(c, "six") {
		t.Error("decides without entry 6")
	}
}

func TestLeaseRunsOut(t *testing.T) {
	var refuse atomic.Bool
	address := fakeFeed(t, func(_ int64, write func(string)) { write(`{"synced":5}`) }, func(report) (int, string) {
		if refuse.Load() {
			return http.StatusServiceUnavailable, ""
		}
		return http.StatusOK, `{"lease":"500ms","last":5}`
	})
	c := clientOf(t, address)
	until(t, "loaded", func() bool { return c.Status().Loaded })
	refuse.Store(true)
	until(t, "stale", func() bool { return c.Status().Stale })
	if !c.Status().Loaded {
		t.Error("a stale edge has still loaded its list")
	}
}

func TestBadStreamsAreLoadedAgain(t *testing.T) {
	long := strings.Repeat("x", 2*maxLine)
	for name, lines := range map[string][]string{
		"gap":                     {`{"synced":5}`, entryLine(9, 7, "x")},
		"gap before a beat":       {`{"synced":5}`, `{"beat":6}`},
		"out of order":            {`{"synced":5}`, entryLine(4, 5, "x")},
		"not JSON":                {`{"synced":5}`, `hello`},
		"means nothing":           {`{"synced":5}`, `{}`},
		"synced twice":            {`{"synced":5}`, `{"synced":6}`},
		"beat before the list":    {`{"beat":5}`},
		"entry past synced":       {entryLine(9, 0, "x"), `{"synced":5}`},
		"malformed entry":         {`{"entry":{"seq":1,"kind":"what","expires":"2030-01-01T00:00:00Z"}}`, `{"synced":5}`},
		"a line that is too long": {`{"synced":5}`, long},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := fakeFeed(t, func(n int64, write func(string)) {
				if n == 1 {
					for _, line := range lines {
						write(line)
					}
					return
				}
				write(entryLine(9, 0, "nine"))
				write(`{"synced":9}`)
			}, func(r report) (int, string) { return http.StatusOK, `{"lease":"3s","last":0}` })
			c := clientOf(t, address)
			until(t, "the complete list of the second stream", func() bool { return c.Status().Applied == 9 && c.Status().Loaded })
			if !revoked(c, "nine") || revoked(c, "x") {
				t.Error("the list is not that of the second stream")
			}
		})
	}
}

func TestSilenceIsADeadConnection(t *testing.T) {
	t.Parallel()
	address := fakeFeed(t, func(n int64, write func(string)) {
		write(fmt.Sprintf(`{"synced":%d}`, n))
	}, func(report) (int, string) { return http.StatusOK, `{"lease":"3s","last":0}` })
	begun := time.Now()
	c := clientOf(t, address)
	until(t, "a second stream", func() bool { return c.Status().Applied >= 2 })
	if took := time.Since(begun); took < silenceAfter {
		t.Errorf("gave up after %s already", took)
	}
}

func TestSlowReaderIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for i := range 40_000 {
		r.log.append(strings.Repeat("x", 400) + fmt.Sprint(i)) // 20 MB: more than the kernel buffers
	}
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", StreamPath)
	in := bufio.NewReaderSize(conn, 16)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q, %v", line, err)
	}
	// Read nothing until the server has given up, then find the end without the last line.
	begun := time.Now()
	until(t, "the server gives up", func() bool { return r.server.streams.Load() == 0 })
	if took := time.Since(begun); took < writeWithin/2 {
		t.Errorf("given up after %s already", took)
	}
	rest := make([]byte, 1<<20)
	total := 0
	for {
		n, err := in.Read(rest)
		total += n
		if err != nil {
			break
		}
	}
	if total >= 20_000_000 {
		t.Errorf("a reader that slept got all %d bytes", total)
	}
}
