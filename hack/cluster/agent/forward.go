package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// dialLimit bounds the connection to a pod. On the loopback interface it is refused or taken at once,
// unless the pod's backlog is full.
const dialLimit = 5 * time.Second

// forwarder listens on one address and forwards each connection to one of its backends in turn. It
// listens only while it has backends, so that a client of a Service without ready pods is refused.
type forwarder struct {
	address string
	log     *slog.Logger

	mu       sync.Mutex
	backends []string
	next     int
	listener net.Listener
	failure  string // the last failure to listen, said once
}

func (f *forwarder) set(ctx context.Context, backends []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(backends, f.backends) {
		f.log.Info("backends", "address", f.address, "pods", backends)
		f.backends = backends
	}
	switch {
	case len(backends) == 0 && f.listener != nil:
		f.listener.Close()
		f.listener = nil
	case len(backends) > 0 && f.listener == nil:
		f.listen(ctx)
	}
}

func (f *forwarder) listen(ctx context.Context) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.address)
	if err != nil {
		if f.failure != err.Error() {
			f.failure = err.Error()
			hint := "is another program listening on all addresses?"
			if errors.Is(err, os.ErrPermission) {
				hint = "a port below 1024 needs root, or the sysctl net.ipv4.ip_unprivileged_port_start"
			}
			f.log.Warn("the Service's port is not served", "error", err, "hint", hint)
		}
		return
	}
	f.listener, f.failure = l, ""
	go f.accept(l)
}

func (f *forwarder) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-time.After(5 * time.Millisecond) // out of file descriptors: do not spin
			continue
		}
		go f.forward(c.(*net.TCPConn))
	}
}

// order gives the backends, beginning with the one whose turn it is.
func (f *forwarder) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.backends) == 0 {
		return nil
	}
	f.next = (f.next + 1) % len(f.backends)
	return slices.Concat(f.backends[f.next:], f.backends[:f.next])
}

func (f *forwarder) forward(client *net.TCPConn) {
	defer client.Close()
	dialer := net.Dialer{Timeout: dialLimit, LocalAddr: sourceAddress(client.RemoteAddr())}
	for _, backend := range f.order() {
		c, err := dialer.Dial("tcp", backend)
		if err != nil {
			continue
		}
		splice(client, c.(*net.TCPConn))
		return
	}
	_ = client.SetLinger(0) // a reset, the nearest to a refusal
}

// splice copies both ways until both directions are closed, and passes half-closes and resets on.
func splice(a, b *net.TCPConn) {
	defer b.Close()
	done := make(chan struct{})
	go func() {
		pipe(b, a)
		close(done)
	}()
	pipe(a, b)
	<-done
}

func pipe(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.SetLinger(0)
		_ = from.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
}
