package deadline

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

const period = 250 * time.Millisecond

// pipes is a listener without a network, for tests with a clock of their own.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, open := <-p; open {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial makes a connection that the server will accept.
func (p pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	p <- server
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	check(t, err)
}

// The bounds of the servers under test.
const (
	headerBound = 2 * time.Second
	writeBound  = 5 * time.Second
	idleBound   = 90 * time.Second
)

// serve runs a server in the test's bubble until the test ends, and sees that it leaves nothing behind.
func serve(t *testing.T, handler http.HandlerFunc) pipes {
	t.Helper()
	on := make(pipes)
	l := Listen(on, period)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerBound, ReadTimeout: headerBound, WriteTimeout: writeBound, IdleTimeout: idleBound}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		check(t, server.Shutdown(context.WithoutCancel(t.Context())))
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		time.Sleep(period) //nolint:forbidigo // by the bubble's clock
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.looking || len(l.open) > 0 {
			t.Errorf("after the end: looking %v at %d connections", l.looking, len(l.open))
		}
	})
	return on
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

const request = "GET / HTTP/1.1\r\nHost: app\r\n\r\n"

// answer reads one answer of hello.
func answer(t *testing.T, from *bufio.Reader) {
	t.Helper()
	response, err := http.ReadResponse(from, nil)
	check(t, err)
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "hello" {
		t.Fatal(string(body), err)
	}
	_ = response.Body.Close()
}

// closedWithin sees that the server closes the connection after the bound, and a period later at most.
func closedWithin(t *testing.T, c io.Reader, began time.Time, bound time.Duration) {
	t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
	if took := time.Since(began); took < bound || took > bound+period {
		t.Errorf("closed after %v, want %v and %v more at most", took, bound, period)
	}
}

func TestBounds(t *testing.T) {
	for name, test := range map[string]func(*testing.T, net.Conn){
		"nothing sent": func(t *testing.T, c net.Conn) { closedWithin(t, c, time.Now(), headerBound) },
		"header sent slowly": func(t *testing.T, c net.Conn) {
			began := time.Now()
			send(t, c, "GET / HTTP/1.1\r\n")
			go func() {
				for i := 0; ; i++ {
					if _, err := io.WriteString(c, "X-More: 1\r\n"); err != nil {
						return
					}
					time.Sleep(300 * time.Millisecond) //nolint:forbidigo // by the bubble's clock
				}
			}()
			closedWithin(t, c, began, headerBound)
		},
		"idle": func(t *testing.T, c net.Conn) {
			answers := bufio.NewReader(c)
			for range 3 { // each begins anew
				send(t, c, request)
				answer(t, answers)
				time.Sleep(idleBound - period) //nolint:forbidigo // by the bubble's clock
			}
			send(t, c, request)
			answer(t, answers)
			closedWithin(t, answers, time.Now(), idleBound)
		},
		"second header sent slowly": func(t *testing.T, c net.Conn) {
			answers := bufio.NewReader(c)
			send(t, c, request)
			answer(t, answers)
			time.Sleep(time.Minute) //nolint:forbidigo // by the bubble's clock
			began := time.Now()
			send(t, c, "GET / HTTP/1.1\r\n")
			closedWithin(t, answers, began, headerBound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, serve(t, hello).dial(t)) })
		})
	}
}

// Who does not read an answer is cut off, and who does so slowly.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		on := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, strings.Repeat("a", 8<<10)); err != nil {
					failed <- err
					return
				}
			}
		})
		c, began := on.dial(t), time.Now()
		send(t, c, request)
		go func() {
			for b := make([]byte, 1<<10); ; {
				if _, err := c.Read(b); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond) //nolint:forbidigo // by the bubble's clock
			}
		}()
		err := <-failed
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < writeBound || took > writeBound+period {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// Requests that come together are each answered: stopping the look for the end of the connection loses no byte.
func TestPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, hello).dial(t)
		answers := bufio.NewReader(c)
		for range 3 {
			go func() { _, _ = io.WriteString(c, request+request+request) }()
			for range 3 {
				answer(t, answers)
			}
		}
	})
}

// A client that goes away while the handler runs is noticed, also where the handler takes longer than any bound.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, gone := make(chan struct{}), make(chan struct{})
		on := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			<-r.Context().Done()
			close(gone)
		})
		c := on.dial(t)
		send(t, c, request)
		<-began
		time.Sleep(time.Hour) //nolint:forbidigo // by the bubble's clock
		synctest.Wait()
		select {
		case <-gone:
			t.Fatal("cancelled although the client waits")
		default:
		}
		check(t, c.Close())
		<-gone
	})
}

// Others that come and go all the time put nothing off.
func TestManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := serve(t, hello)
		idle, began, closed := on.dial(t), time.Now(), make(chan struct{})
		go func() {
			defer close(closed)
			closedWithin(t, idle, began, headerBound)
		}()
		for range 50 {
			c := on.dial(t)
			send(t, c, request)
			answer(t, bufio.NewReader(c))
			time.Sleep(period / 2) //nolint:forbidigo // by the bubble's clock
			check(t, c.Close())
		}
		<-closed
	})
}
