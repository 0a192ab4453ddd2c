package ingress_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/token"
)

// The headers of a yes for root, without and with what makes it Keyturn's.
const (
	rootIdentity = "X-Auth-User: root\r\nX-Auth-Role: admin\r\nX-Auth-Method: jwt\r\n"
	rootAllowed  = rootIdentity + "X-Keyturn-Allowed: true\r\n"
)

// behaving listens as an authorizer that does the same with each connection, and closes it. It tells its address, and
// counts the connections.
func behaving(t *testing.T, behave func(c net.Conn, number int64)) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			number := asked.Add(1)
			go func() {
				defer conn.Close() //nolint:errcheck // the proxy notices
				buffer := make([]byte, 64<<10)
				_, _ = conn.Read(buffer)
				behave(conn, number)
			}()
		}
	}()
	return l.Addr().String(), asked
}

// A status from 200 to 299 is no yes: something else may have got the authorizer's address.
func TestProxiesRefuseOtherYeses(t *testing.T) {
	var answers atomic.Value
	address, _ := behaving(t, func(c net.Conn, _ int64) { _, _ = io.WriteString(c, answers.Load().(string)) })
	for _, p := range proxies {
		f := p.put(t, address)
		for name, text := range map[string]string{
			"200 with a page":                  "200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
			"200 with nothing":                 "200 OK\r\nContent-Length: 0\r\n\r\n",
			"200 with an identity":             "200 OK\r\n" + rootIdentity + "Content-Length: 0\r\n\r\n",
			"200 with an identity and a page":  "200 OK\r\n" + rootIdentity + "Content-Length: 5\r\n\r\nhello",
			"200 with a page that is cut":      "200 OK\r\nContent-Length: 5000\r\n\r\nhello",
			"200 that ends in the first chunk": "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5000\r\nhello",
			"200 that says no":                 "200 OK\r\n" + rootIdentity + "X-Keyturn-Allowed: false\r\nContent-Length: 0\r\n\r\n",
			"200 of a denial":                  "200 OK\r\nX-Keyturn-Code: no_credential\r\nX-Keyturn-Decision: 1\r\nContent-Length: 0\r\n\r\n",
			"201":                              "201 Created\r\n" + rootAllowed + "Content-Length: 0\r\n\r\n",
			"204":                              "204 No Content\r\n\r\n",
			"204 with an identity":             "204 No Content\r\n" + rootAllowed + "\r\n",
			"206":                              "206 Partial Content\r\n" + rootAllowed + "Content-Length: 0\r\n\r\n",
			"403 that says yes":                "403 Forbidden\r\n" + rootAllowed + "Content-Length: 0\r\n\r\n",
		} {
			answers.Store("HTTP/1.1 " + text)
			got := f.ask(t, "GET /", "Authorization: Bearer x")
			want := map[string]int{"nginx": 503, "haproxy": 503, "caddy": 502, "current caddy": 502}[p.name]
			if strings.HasPrefix(name, "403") {
				want = 403
			}
			if got.status != want || strings.Contains(got.body, "hello") {
				t.Errorf("%s, %s: %d %s, want %d", p.name, name, got.status, got.body, want)
			}
			for _, r := range f.application.take() {
				t.Errorf("%s, %s: the application is asked: %v", p.name, name, r.Header)
			}
		}
		answers.Store("HTTP/1.1 200 OK\r\n" + rootAllowed + "Content-Length: 0\r\n\r\n") // so it is that which was lacking
		if got := f.ask(t, "GET /"); got.status != 200 || got.body != "root|admin|jwt|" {
			t.Errorf("%s, Keyturn's own: %d %s", p.name, got.status, got.body)
		}
	}
}

// A slow answer counts, and one that comes in pieces; a request that waits for the end of one goes nowhere.
func TestProxiesWaitForTheAnswer(t *testing.T) {
	yes := "HTTP/1.1 200 OK\r\n" + rootAllowed + "Content-Length: 0\r\n\r\n"
	drip := func(c net.Conn, text string, pieces int, each time.Duration) {
		tick := time.NewTicker(each)
		defer tick.Stop()
		size := len(text)/pieces + 1
		for len(text) > 0 {
			<-tick.C
			n := min(size, len(text))
			if _, err := io.WriteString(c, text[:n]); err != nil {
				return
			}
			text = text[n:]
		}
	}
	for name, row := range map[string]struct {
		behave func(c net.Conn)
		passes bool
	}{
		// Half of the 2 s that the recipes wait: the other half is for a machine with other work to do.
		"a slow yes":            {func(c net.Conn) { drip(c, yes, 1, time.Second) }, true},
		"a yes in pieces":       {func(c net.Conn) { drip(c, yes, 6, 150*time.Millisecond) }, true},
		"a yes that never ends": {func(c net.Conn) { drip(c, yes[:len(yes)-2], 20, 150*time.Millisecond) }, false},
		"headers that go on for 3 s": {func(c net.Conn) {
			drip(c, yes[:len(yes)-2]+strings.Repeat("X-Pad: x\r\n", 300), 20, 150*time.Millisecond)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := behaving(t, func(c net.Conn, _ int64) { row.behave(c) })
			for _, p := range proxies {
				t.Run(p.name, func(t *testing.T) {
					t.Parallel()
					f := p.put(t, address)
					got := f.ask(t, "GET /")
					asked := len(f.application.take())
					switch {
					case row.passes && (got.status != 200 || got.body != "root|admin|jwt|" || asked != 1):
						t.Errorf("%d %s, the application is asked %d times", got.status, got.body, asked)
					case !row.passes && (got.status < 500 && got.status != 0 || asked != 0):
						t.Errorf("%d %s, the application is asked %d times", got.status, got.body, asked)
					}
				})
			}
		})
	}
}

// nginx asks twice where a connection breaks, and goes by the second answer.
func TestNginxGoesByTheLastAnswer(t *testing.T) {
	for _, row := range []struct {
		second string
		status int
		body   string
	}{
		{"200 OK\r\n" + rootAllowed, 200, "root|admin|jwt|"},
		{"200 OK\r\n" + rootIdentity, 503, "authorizer_unavailable"},
		{"401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nX-Keyturn-Code: expired\r\n", 401, `"code":"expired"`},
		{"403 Forbidden\r\nX-Keyturn-Code: insufficient_role\r\n", 403, `"code":"insufficient_role"`},
	} {
		address, asked := behaving(t, func(c net.Conn, number int64) {
			if number > 1 { // a connection that nginx kept would be one more that breaks
				_, _ = io.WriteString(c, "HTTP/1.1 "+row.second+"Connection: close\r\nContent-Length: 0\r\n\r\n")
			}
		})
		f := nginxProxy.put(t, address)
		if got := f.ask(t, "GET /"); got.status != row.status || !strings.Contains(got.body, row.body) || asked.Load() != 2 {
			t.Errorf("%.30q: %d %s, asked %d times", row.second, got.status, got.body, asked.Load())
		}
		asked.Store(0)
		got := f.ask(t, "GET /page", "Sec-Fetch-Mode: navigate")
		if want := map[bool]int{true: 302, false: row.status}[row.status == 401]; got.status != want {
			t.Errorf("%.30q, a page: %d, want %d", row.second, got.status, want)
		}
	}
}

// testLongHeaders: what is too long for a proxy it refuses itself, and what is not is decided.
func (f *front) testLongHeaders(t *testing.T) {
	good := "Authorization: " + f.bearer(t, "buyer", func(c *token.Claims) { c.ID = "long" })
	pad := strings.Repeat("x", 60<<10)
	lines := make([]string, 0, 10)
	for range 10 {
		lines = append(lines, "X-Pad: "+pad[:6<<10])
	}
	for _, row := range []struct {
		name    string
		headers []string
		want    map[string]int
	}{
		{"a line of 60 kB", []string{good, "X-Pad: " + pad}, map[string]int{"nginx": 400, "haproxy": 400, "caddy": 200, "current caddy": 431}},
		{"five lines of 6 kB", append(lines[:5:5], good), map[string]int{"nginx": 200, "haproxy": 200, "caddy": 200, "current caddy": 431}},
		{"ten lines of 6 kB", append(lines, good), map[string]int{"nginx": 400, "haproxy": 400, "caddy": 200, "current caddy": 431}},
		{"a token of 60 kB", []string{"Authorization: Bearer " + pad}, map[string]int{"nginx": 400, "haproxy": 400, "caddy": 401, "current caddy": 431}},
		{"a cookie of 60 kB", []string{"Cookie: a=" + pad}, map[string]int{"nginx": 400, "haproxy": 400, "caddy": 401, "current caddy": 431}},
		{"an identity beside 60 kB", []string{"X-Auth-User: root", "X-Pad: " + pad}, map[string]int{"nginx": 400, "haproxy": 400, "caddy": 401, "current caddy": 431}},
	} {
		before := f.decisions(t)
		got := f.ask(t, "GET /", row.headers...)
		decided, seen := f.decisions(t)-before, f.application.take()
		want := row.want[f.name]
		byKeyturn := want == http.StatusOK || want == http.StatusUnauthorized
		if got.status != want || (decided == 1) != byKeyturn || (len(seen) == 1) != (want == http.StatusOK) {
			t.Errorf("%s: %d, want %d; %d decisions; the application is asked %d times", row.name, got.status, want, decided, len(seen))
		}
		for _, r := range seen {
			if r.Header.Get("X-Auth-User") != "ann" || r.Header.Get("X-Auth-Role") != "buyer" {
				t.Errorf("%s: the application is told %v", row.name, r.Header["X-Auth-User"])
			}
		}
	}
}
