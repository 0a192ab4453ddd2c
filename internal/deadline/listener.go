// Package deadline makes the time limits of many connections cheap.
//
// A server of net/http sets some eight deadlines for each request, and each one of them that lies ahead is a timer of the
// runtime that is set, moved or stopped, although hardly any ever runs out. Here setting one only notes the instant; the
// [Listener] looks at all open connections once a period, and cuts off those whose instant has passed:
//
//	SetReadDeadline(ahead)  ──▶ instant noted ──┐
//	                                            ├─▶ each period: passed? ──▶ the connection's own deadline, in the past
//	SetReadDeadline(past)   ──▶ at once ────────┼──────────────────────────▶ the same
//	SetReadDeadline(never)  ──▶ forgotten, and the connection's own one lifted
//
// So a deadline comes late, by a period at most, and never early. There is no goroutine while nothing is looked at, and
// no timer while there is no connection.
package deadline

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Listener gives the connections that it accepts deadlines that are looked at once a period. It is safe for concurrent
// use; use [Listen].
type Listener struct {
	net.Listener
	period time.Duration
	// start is what instants are counted from; passed is how long after it the connections were looked at last.
	start  time.Time
	passed atomic.Int64

	mu      sync.Mutex
	open    []*conn // each knows its place
	look    *time.Timer
	looking bool // the timer runs
}

// Listen makes a Listener of another, which it closes when it is closed. The period must be above 0. Connections stay
// looked at until each of them is closed, however long the listener is.
//
// Deadlines of the connections must have a monotonic reading, as those that are made of time.Now have, or lie in the
// past.
func Listen(on net.Listener, period time.Duration) *Listener {
	l := &Listener{Listener: on, period: period, start: time.Now()}
	l.look = time.AfterFunc(period, l.sweep)
	l.look.Stop()
	return l
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, on: l}
	c.read.set, c.write.set = accepted.SetReadDeadline, accepted.SetWriteDeadline
	l.mu.Lock()
	defer l.mu.Unlock()
	c.place = len(l.open)
	if l.open = append(l.open, c); !l.looking {
		l.looking = true
		l.look.Reset(l.period)
	}
	return c, nil
}

// remove forgets a connection.
func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place < 0 {
		return // was closed before
	}
	last := len(l.open) - 1
	moved := l.open[last]
	l.open[c.place], moved.place = moved, c.place
	l.open[last] = nil
	l.open, c.place = l.open[:last], -1
}

// sweep cuts off what is over its time. The timer is not stopped with the last connection: where each request has one
// of its own, that would be once a request.
func (l *Listener) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := int64(time.Since(l.start))
	l.passed.Store(now)
	for _, c := range l.open {
		c.read.expire(now)
		c.write.expire(now)
	}
	if l.looking = len(l.open) > 0; l.looking {
		l.look.Reset(l.period)
	} else {
		l.open = nil // a flood's memory
	}
}

// instant is t as a limit keeps it.
func (l *Listener) instant(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	if at := int64(t.Sub(l.start)); at > l.passed.Load() {
		return at
	}
	return over
}
