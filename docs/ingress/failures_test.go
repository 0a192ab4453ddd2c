package ingress_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/port"
)

// An authorizer that fails lets nobody through, and is not asked for ever.
func TestProxiesWithoutAnAuthorizer(t *testing.T) {
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			buffer := make([]byte, 64<<10)
			_, _ = c.Read(buffer)
			_, _ = io.WriteString(c, text)
		}
	}
	identity := "X-Auth-User: root\r\nX-Auth-Role: admin\r\nX-Auth-Method: jwt\r\n"
	for name, behave := range map[string]func(net.Conn){
		"closes":                nil,
		"closes after reading":  say(""),
		"garbage":               say("\x00\x16\x03 not HTTP at all\r\n\r\n"),
		"half a head":           say("HTTP/1.1 200 OK\r\n" + identity),
		"less than it promises": say("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 10\r\n\r\nx"),
		"a status of no number": say("HTTP/1.1 2OO OK\r\n" + identity + "Content-Length: 0\r\n\r\n"),
		"500":                   say("HTTP/1.1 500 Internal Server Error\r\n" + identity + "Content-Length: 0\r\n\r\n"),
		"404":                   say("HTTP/1.1 404 Not Found\r\n" + identity + "Content-Length: 0\r\n\r\n"),
		"redirect":              say("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			l := listen(t)
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					asked.Add(1)
					if behave != nil {
						behave(conn)
					}
					_ = conn.Close()
				}
			}()
			for _, p := range proxies {
				asked.Store(0)
				p.put(t, l.Addr().String()).refuses(t)
				if n := asked.Load(); n < 1 || n > int64(p.tries) {
					t.Errorf("%s asks %d times", p.name, n)
				}
			}
		})
	}
	t.Run("down", func(t *testing.T) {
		nobody := port.For(t)
		for _, p := range proxies {
			p.put(t, nobody).refuses(t)
		}
	})
	t.Run("says nothing", func(t *testing.T) {
		l := listen(t) // the kernel accepts, and nobody answers
		t.Cleanup(func() { _ = l.Close() })
		for _, p := range proxies {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.put(t, l.Addr().String()).refuses(t)
			})
		}
	})
}

// refuses asks for something, and must get an error in bounded time.
func (f *front) refuses(t *testing.T) {
	t.Helper()
	started := time.Now()
	got := f.ask(t, "GET /", "Authorization: Bearer x")
	if got.status < 300 || got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%s: %d %s", f.name, got.status, got.body)
	}
	if took := time.Since(started); took > 10*time.Second { // HAProxy asks for 8 s, as its page says, and without a limit it would be 30 and more
		t.Errorf("%s: the client waits %s", f.name, took)
	}
	for _, r := range f.application.take() {
		t.Errorf("%s: the application is asked: %s", f.name, fmt.Sprint(r.Header))
	}
}
