package feed

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

// memory is a log of revocations in memory.
type memory struct {
	mu      sync.Mutex
	entries []revocation.Entry
	last    uint64
	watch   []chan struct{}
}

func (m *memory) append(sid string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last += 3 // sessions take numbers between
	m.entries = append(m.entries, revocation.Entry{Seq: m.last, Kind: revocation.Session, Value: sid, Expires: time.Now().Add(time.Hour)})
	for _, w := range m.watch {
		select {
		case w <- struct{}{}:
		default:
		}
	}
	return m.last
}

func (m *memory) Revocations(_ context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page []revocation.Entry
	for _, e := range m.entries {
		if e.Seq > after {
			if len(page) == limit {
				return page, true, nil
			}
			page = append(page, e)
		}
	}
	return page, false, nil
}

func (m *memory) Last(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, nil
}

func (m *memory) Subscribe() (<-chan struct{}, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := make(chan struct{}, 1)
	m.watch = append(m.watch, w)
	return w, func() {}
}

// rig is a server on loopback and what tests need to talk to it.
type rig struct {
	*testing.T
	log     *memory
	leases  *Leases
	dir     string
	address string
	stop    func()
}

const leaseLength = 3 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	r := &rig{T: t, log: &memory{}, dir: dir, leases: NewLeases(func() time.Duration { return leaseLength }, time.Now)}
	r.serve("127.0.0.1:0")
	return r
}

func (r *rig) serve(address string) {
	r.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		r.Fatal(err)
	}
	r.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	server := NewServer(ServerConfig{Source: r.log, Leases: r.leases, Dir: r.dir, Logger: quiet(), Now: time.Now})
	go func() {
		defer close(ended)
		_ = server.Serve(ctx, listener)
	}()
	r.stop = func() { cancel(); <-ended }
	r.Cleanup(r.stop)
}

func (r *rig) client(name, dir string, target func() (Target, bool)) (*Client, func()) {
	r.Helper()
	if target == nil {
		target = func() (Target, bool) {
			return Target{FeedAddress: snapshot.FeedAddress{Address: r.address}, MaxPropagation: leaseLength}, true
		}
	}
	c, err := NewClient(ClientConfig{Edge: name, Dir: dir, Target: target, Log: quiet(), Now: time.Now})
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Run(ctx) }()
	stop := func() { cancel(); <-ended }
	r.Cleanup(stop)
	return c, stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func revoked(c *Client, sid string) bool {
	return c.List().Revoked(revocation.Credential{SessionID: sid})
}

func TestEntriesReachEveryEdge(t *testing.T) {
	r := newRig(t, "")
	for i := range 2500 { // several pages
		r.log.append(fmt.Sprint("old", i))
	}
	a, _ := r.client("a", "", nil)
	b, stopB := r.client("b", "", nil)
	for _, c := range []*Client{a, b} {
		if c.Status().Loaded && !revoked(c, "old2499") {
			t.Fatal("loaded without the list")
		}
		until(t, "loaded", func() bool { return c.Status().Loaded })
		if s := c.Status(); s.Stale || s.Applied != 7500 || !revoked(c, "old0") || !revoked(c, "old2499") || revoked(c, "new") {
			t.Fatalf("after loading: %+v", s)
		}
	}
	if n := r.leases.Leased(); n != 2 {
		t.Errorf("%d leases, want 2", n)
	}
	for i := range 20 {
		number := r.log.append(fmt.Sprint("new", i))
		if !r.leases.Wait(t.Context(), number) {
			t.Fatal("not propagated")
		}
		for _, c := range []*Client{a, b} {
			if !revoked(c, fmt.Sprint("new", i)) || c.Status().Applied != number {
				t.Fatalf("Wait answered, but an edge has %d of %d", c.Status().Applied, number)
			}
		}
	}
	stopB()
	if n := r.leases.Leased(); n != 1 {
		t.Errorf("%d leases after an edge left, want 1", n)
	}
	if b.Status().Loaded || !b.Status().Stale {
		t.Error("an edge that gave its lease back must not decide")
	}
	begun := time.Now()
	if !r.leases.Wait(t.Context(), r.log.append("last")) || time.Since(begun) > leaseLength/2 {
		t.Errorf("an edge that left was waited for: %s", time.Since(begun))
	}
}

// A fake feed says exactly what a test wants.
func fakeFeed(t *testing.T, stream func(n int64, write func(string)), ack func(r report) (int, string)) string {
	t.Helper()
	var streams atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == LeasePath {
			var in report
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				if r.Context().Err() == nil { // the client did not give up
					t.Errorf("report: %v", err)
				}
				return
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
	c := clientOf(t, address)
	begun := time.Now()
	until(t, "a second stream", func() bool { return c.Status().Applied == 2 })
	if took := time.Since(begun); took < silenceAfter {
		t.Errorf("gave up after %s already", took)
	}
}

func TestServerRestartAndAddressChange(t *testing.T) {
	r := newRig(t, "")
	r.log.append("one")
	var address atomic.Value
	address.Store(r.address)
	c, _ := r.client("a", "", func() (Target, bool) {
		a := address.Load().(string)
		return Target{FeedAddress: snapshot.FeedAddress{Address: a}, MaxPropagation: leaseLength}, a != ""
	})
	until(t, "loaded", func() bool { return c.Status().Loaded })
	r.stop()
	r.log.append("two")
	r.leases = NewLeases(func() time.Duration { return leaseLength }, time.Now)
	r.serve(r.address)
	until(t, "the entry written in between", func() bool { return revoked(c, "two") })
	r.stop()
	r.log.append("three")
	r.serve("127.0.0.1:0")
	address.Store(r.address)
	until(t, "the entry at the new address", func() bool { return revoked(c, "three") })
	// A move needs no failure.
	other := newRig(t, "")
	other.log.last = r.log.last
	other.log.append("four")
	address.Store(other.address)
	until(t, "the entry at the third address", func() bool { return revoked(c, "four") })
}

func TestLeases(t *testing.T) {
	now := time.Unix(1000, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	advance := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	l := NewLeases(func() time.Duration { return 5 * time.Second }, clock)
	look := func(number uint64, wantPause time.Duration, wantLost bool) {
		t.Helper()
		if pause, lost, _ := l.look(number); max(pause, 0) != wantPause || lost != wantLost {
			t.Errorf("look(%d) = %s, %t; want %s, %t", number, pause, lost, wantPause, wantLost)
		}
	}
	look(1, 5*time.Second, false) // nobody known, but the process before may have known some
	advance(2 * time.Second)
	_, _ = l.Report("a", 10)
	look(10, 3*time.Second, false)
	look(11, 5*time.Second, false)
	advance(3 * time.Second)
	look(10, 0, false)
	look(11, 2*time.Second, false)
	_, _ = l.Report("b", 11)
	look(11, 2*time.Second, false)
	advance(2 * time.Second)
	look(11, 0, true) // a's lease ran out: it may decide with its old list
	if n := l.Leased(); n != 1 {
		t.Errorf("%d leases, want 1", n)
	}
	_, _ = l.Report("a", 11)
	look(11, 0, false)
	l.Leave("a")
	_, _ = l.Report("b", 12)
	look(12, 0, false)
	advance(5*time.Second + lostFor)
	look(13, 0, true)
	advance(time.Second)
	look(13, 0, false) // forgotten
	for i := range maxEdges {
		if _, err := l.Report(fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Report("one more", 1); !errors.Is(err, ErrTooManyEdges) {
		t.Errorf("edge %d: %v", maxEdges+1, err)
	}
	advance(5*time.Second + lostFor + time.Second)
	if _, err := l.Report("one more", 1); err != nil {
		t.Errorf("after the others were forgotten: %v", err)
	}
}

func TestWaitEndsWithTheLease(t *testing.T) {
	l := NewLeases(func() time.Duration { return 300 * time.Millisecond }, time.Now)
	_, _ = l.Report("laggard", 1)
	if l.Wait(t.Context(), 2) {
		t.Error("a laggard counts as reached")
	}
	_, _ = l.Report("laggard", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l.Wait(ctx, 2) {
		t.Error("a cancelled wait says yes")
	}
	answered := make(chan bool, 1)
	go func() { answered <- l.Wait(t.Context(), 2) }()
	_, _ = l.Report("laggard", 2)
	if !<-answered {
		t.Error("not reached although the edge has applied it")
	}
}

func TestTLS(t *testing.T) {
	serverDir, clientDir, foreign := t.TempDir(), t.TempDir(), t.TempDir()
	certificate(t, serverDir, clientDir)
	certificate(t, t.TempDir(), foreign)
	const token = "0123456789abcdef-token"
	write(t, token, filepath.Join(serverDir, tokenFile), filepath.Join(clientDir, tokenFile), filepath.Join(foreign, tokenFile))
	r := newRig(t, serverDir)
	r.log.append("one")
	good, _ := r.client("good", clientDir, nil)
	stranger, _ := r.client("stranger", foreign, nil)
	wrongDir := t.TempDir()
	copyFile(t, clientDir, wrongDir, caFile)
	write(t, "fedcba9876543210-wrong", filepath.Join(wrongDir, tokenFile))
	wrong, _ := r.client("wrong", wrongDir, nil)
	plain, _ := r.client("plain", "", nil)
	until(t, "loaded over TLS", func() bool { return good.Status().Loaded })
	for _, path := range []string{StreamPath, LeasePath, "/"} {
		for name, header := range map[string]string{"none": "", "wrong": "Bearer fedcba9876543210-wrong", "empty": "Bearer ", "prefix": "Bearer " + token[:20], "scheme": token} {
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest(http.MethodGet, path, nil)
			if header != "" {
				request.Header.Set("Authorization", header)
			}
			NewServer(ServerConfig{Source: r.log, Leases: r.leases, Dir: serverDir, Logger: quiet(), Now: time.Now}).Handler().ServeHTTP(recorder, request)
			if recorder.Code != http.StatusUnauthorized {
				t.Errorf("%s with %s secret: %d", path, name, recorder.Code)
			}
		}
	}
	if n := r.leases.Leased(); n != 1 {
		t.Errorf("%d leases, want that of the good edge only", n)
	}
	for name, c := range map[string]*Client{"another CA": stranger, "a wrong secret": wrong, "clear text": plain} {
		if s := c.Status(); s.Loaded || s.Applied != 0 {
			t.Errorf("an edge with %s got in: %+v", name, s)
		}
	}
	// The secret changes at the server first; an edge that still has the old one goes on.
	write(t, "a-new-secret-0123456789", filepath.Join(serverDir, tokenFile))
	number := r.log.append("two")
	until(t, "the entry after the change", func() bool { return good.Status().Applied == number })
	write(t, "a-new-secret-0123456789", filepath.Join(clientDir, tokenFile), filepath.Join(wrongDir, tokenFile))
	until(t, "the once wrong edge with the new secret", func() bool { return wrong.Status().Loaded })
}

func TestOldSecretEnds(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	tokens := &tokens{dir: dir, now: func() time.Time { return now }}
	accept := func(s string) bool { return tokens.accept(secret.New([]byte(s))) }
	if accept("") || accept("anything-at-all-xx") {
		t.Error("accepts without a secret file")
	}
	now = now.Add(time.Minute)
	write(t, "first-secret-0123456\n", filepath.Join(dir, tokenFile))
	if !accept("first-secret-0123456") {
		t.Error("the secret is refused")
	}
	write(t, "second-secret-0123456", filepath.Join(dir, tokenFile))
	now = now.Add(tokenReadEvery)
	if !accept("second-secret-0123456") || !accept("first-secret-0123456") {
		t.Error("after the change both must do")
	}
	now = now.Add(tokenGrace)
	if !accept("second-secret-0123456") || accept("first-secret-0123456") {
		t.Error("after the grace only the new one must do")
	}
	write(t, "short", filepath.Join(dir, tokenFile))
	now = now.Add(tokenReadEvery)
	if accept("short") || !accept("second-secret-0123456") {
		t.Error("a short secret must not be taken")
	}
}

func TestClearTextOnlyOnLoopback(t *testing.T) {
	server := NewServer(ServerConfig{Source: &memory{}, Leases: NewLeases(func() time.Duration { return time.Second }, time.Now), Logger: quiet(), Now: time.Now})
	if err := server.Serve(t.Context(), everywhere{}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("Serve on every address: %v", err)
	}
	if err := checkLoopback(&net.TCPAddr{IP: net.IPv6loopback}); err != nil {
		t.Error(err)
	}
}

type everywhere struct{ net.Listener }

func (everywhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

func TestBadReports(t *testing.T) {
	r := newRig(t, "")
	handler := NewServer(ServerConfig{Source: r.log, Leases: r.leases, Logger: quiet(), Now: time.Now}).Handler()
	for _, body := range []string{"", "{}", `{"edge":""}`, `{"edge":"a\nb","applied":1}`, `{"edge":"a","applied":-1}`, `{"edge":"a","what":1}`,
		`{"edge":"` + strings.Repeat("a", 300) + `"}`, `{"edge":"` + strings.Repeat("a", 5000) + `"}`} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, LeasePath, strings.NewReader(body)))
		if recorder.Code != http.StatusBadRequest {
			t.Errorf("%.40q: %d", body, recorder.Code)
		}
	}
	if r.leases.Leased() != 0 {
		t.Error("a bad report made a lease")
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
	// Read nothing until the server must have given up, then find the end without the last line.
	time.Sleep(writeWithin + time.Second) // the one thing to wait for is time itself
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

func certificate(t *testing.T, serverDir, clientDir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "feed"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, cert, filepath.Join(serverDir, certFile), filepath.Join(clientDir, caFile))
	write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), filepath.Join(serverDir, keyFile))
}

func write(t *testing.T, content string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, from, to, name string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, string(raw), filepath.Join(to, name))
}
