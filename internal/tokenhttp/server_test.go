package tokenhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hurried is a server with the times of the real one divided by faster, so that a test need not wait for them.
func hurried(t *testing.T, handler http.Handler, faster time.Duration) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(handler)
	for _, d := range []*time.Duration{&s.Config.ReadHeaderTimeout, &s.Config.ReadTimeout, &s.Config.WriteTimeout, &s.Config.IdleTimeout} {
		if *d <= 0 || *d > 2*time.Minute {
			t.Fatalf("a time is %s", *d)
		}
		*d /= faster
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, s *httptest.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// dribble sends begin and then a byte now and then, until the server hangs up. It returns how long that took and what
// the server said.
func dribble(t *testing.T, c net.Conn, begin string) (time.Duration, string) {
	t.Helper()
	begun := time.Now()
	if _, err := io.WriteString(c, begin); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() {
		said, _ := io.ReadAll(c)
		ended <- string(said)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case said := <-ended:
			return time.Since(begun), said
		case <-tick.C:
			_, _ = io.WriteString(c, "a") // an error shows in the reader
		}
	}
}

// quickLogin logs alice in on a connection of its own: in a hurry the server closes idle ones soon.
func quickLogin(url string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Post(url+"/auth/login", "application/json", strings.NewReader(object("username", "alice", "password", canary)))
	if err != nil {
		return err
	}
	_ = got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return fmt.Errorf("a login: %s", got.Status)
	}
	return nil
}

// Clients that send a byte at a time are cut off, in the headers and in the body, and hold nobody up.
func TestSlowClients(t *testing.T) {
	r := newRig(t)
	s := hurried(t, r.service.Public(), 20)
	for name, begin := range map[string]string{
		"request line": "POST /auth/lo",
		"headers":      "POST /auth/login HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"body":         "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n",
		"chunk":        "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n270f\r\n",
		"form":         "POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9999\r\n\r\n",
		"unread body":  "POST /auth/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took, said := dribble(t, dial(t, s), begin)
			if took > 20*time.Second { // of the 30 after which dial gives up
				t.Errorf("cut off after %s", took)
			}
			if strings.Contains(begin, "\r\n\r\n") && !strings.HasPrefix(said, "HTTP/1.1 4") {
				t.Errorf("said %q", said)
			}
			// Whoever is slow because the machine is busy is cut off too, and asks again.
			for limit := time.After(20 * time.Second); ; {
				err := quickLogin(s.URL)
				if err == nil {
					break
				}
				select {
				case <-limit:
					t.Fatalf("meanwhile nobody is served: %v", err)
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}

// A client that sends requests and never reads the answers is cut off, and is served one request at a time.
func TestPipelining(t *testing.T) {
	r := newRig(t)
	var now, most, total atomic.Int32
	public := r.service.Public()
	s := hurried(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		total.Add(1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		public.ServeHTTP(w, q)
	}), 20)
	c := dial(t, s)
	// The kernels on both sides buffer some megabytes; what is more than that cannot be served.
	request := strings.Repeat("GET /.well-known/openid-configuration HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
	var sent int
	for {
		n, err := io.WriteString(c, request)
		sent += n
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("still connected after %d bytes", sent)
			}
			break
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d requests of one connection at once", most.Load())
	}
	if total.Load() == 0 {
		t.Error("nothing was served")
	}
}

// What is no HTTP gets one answer and the end of the connection.
func TestBrokenHTTP(t *testing.T) {
	r := newRig(t)
	s := hurried(t, r.service.Public(), 1) // in a hurry it would not wait for what a busy machine sends late
	const head = "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	body := object("username", "alice", "password", canary)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for name, request := range map[string]string{
		"two lengths":                 head + length + "Content-Length: 3\r\n\r\n" + body,
		"two lengths in one":          head + fmt.Sprintf("Content-Length: %d, 3\r\n\r\n", len(body)) + body,
		"negative length":             head + "Content-Length: -1\r\n\r\n" + body,
		"length with a plus":          head + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(body)) + body,
		"huge length":                 head + "Content-Length: 99999999999999999999\r\n\r\n" + body,
		"an encoding nobody has":      head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two encodings":               head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"encoding twice":              head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a chunk of negative size":    head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + body,
		"a chunk without an end":      head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nab0\r\n\r\n",
		"space before the colon":      "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
		"folded header":               "POST /auth/login HTTP/1.1\r\nHost: x\r\n folded: 1\r\n\r\n",
		"NUL in a header":             head + "X-A: a\x00b\r\n\r\n",
		"line end in a header":        head + "X-A: a\rb\r\n\r\n",
		"no host":                     "POST /auth/login HTTP/1.1\r\n\r\n",
		"two hosts":                   "POST /auth/login HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"a host with a path":          "POST /auth/login HTTP/1.1\r\nHost: x/y\r\n\r\n",
		"no version":                  "GET /\r\n\r\n",
		"another version":             "GET / HTTP/3.7\r\nHost: x\r\n\r\n",
		"a word":                      "hello\r\n\r\n",
		"a TLS hello":                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"an HTTP/2 preface":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"everything":                  "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"a tunnel":                    "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
		"another's address":           "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		"large headers":               head + "X-A: " + strings.Repeat("a", 32<<10) + "\r\n\r\n",
		"many headers":                head + strings.Repeat("X-A: a\r\n", 4000) + "\r\n",
		"a long path":                 "GET /" + strings.Repeat("a", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"a large announced body":      head + "Content-Length: 1000000000\r\n\r\n" + body,
		"a path with a control octet": "GET /auth\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, s)
			go func() { _, _ = io.WriteString(c, request) }() // what the server does not read blocks
			answers := bufio.NewReader(c)
			first, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			said, _ := io.ReadAll(io.LimitReader(first.Body, 1<<16))
			// 501 and 505 are the library's words for encodings and versions that it does not have.
			if (first.StatusCode < 400 || first.StatusCode > 499) && first.StatusCode != http.StatusNotImplemented && first.StatusCode != http.StatusHTTPVersionNotSupported {
				t.Errorf("%d %s", first.StatusCode, said)
			}
			if strings.Contains(string(said), "canary") || strings.Contains(string(said), "evil") {
				t.Errorf("the answer quotes the request: %s", said)
			}
			if second, err := http.ReadResponse(answers, nil); err == nil {
				t.Errorf("a second answer: %d", second.StatusCode)
				_ = second.Body.Close()
			}
		})
	}
}
