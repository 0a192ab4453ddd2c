package deadline

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection whose deadlines its listener looks after.
type conn struct {
	net.Conn
	on          *Listener
	place       int // among the open ones; the listener's lock guards it; -1 once closed
	read, write limit
}

// Close closes the connection; its limits are not looked at any more.
func (c *conn) Close() error {
	c.on.remove(c)
	return c.Conn.Close()
}

// CloseWrite ends what is sent, where the connection can: net/http does it so that a client reads an answer that came
// before all of the request was read.
func (c *conn) CloseWrite() error {
	if half, can := c.Conn.(interface{ CloseWrite() error }); can {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Read reads, unless its time is over. net/http looks for the end of a connection while a handler runs, and stops that by
// a deadline in the past: often before it has begun, and then nothing needs to be stopped.
func (c *conn) Read(b []byte) (int, error) {
	if !c.read.begin() {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.Conn.Read(b)
	c.read.end()
	return n, err
}

// Write writes, unless its time is over.
func (c *conn) Write(b []byte) (int, error) {
	if !c.write.begin() {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.Conn.Write(b)
	c.write.end()
	return n, err
}

// SetReadDeadline is that of [net.Conn], late by a period of the listener at most. For one that lies ahead there is no
// error, also if the connection is closed.
func (c *conn) SetReadDeadline(t time.Time) error { return c.read.until(c.on.instant(t)) }

// SetWriteDeadline is as SetReadDeadline.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.write.until(c.on.instant(t)) }

// SetDeadline sets both.
func (c *conn) SetDeadline(t time.Time) error {
	at := c.on.instant(t)
	return errors.Join(c.read.until(at), c.write.until(at))
}

// limit is the time of one direction.
type limit struct {
	// at is when it ends, in nanoseconds since the listener's start, never, or over; users are the calls under way.
	at    atomic.Int64
	users atomic.Int32
	// set sets the connection's own deadline. mu is held while it is set, and guards cut: the own one is in the past.
	set func(time.Time) error
	mu  sync.Mutex
	cut bool
}

// Values of a limit that are no instant.
const (
	never int64 = 0
	over  int64 = -1
)

// begin tells whether a call may begin; if so, end must follow it. A call that begins while the limit is made over, or
// earlier, is seen by who makes it so; one that begins later sees it here.
func (l *limit) begin() bool {
	if l.users.Add(1); l.at.Load() == over {
		l.end()
		return false
	}
	return true
}

func (l *limit) end() { l.users.Add(-1) }

// until sets the limit. Nothing but the note changes, unless somebody is to be cut off or was.
func (l *limit) until(at int64) error {
	if was := l.at.Swap(at); was != over && (at != over || l.users.Load() == 0) {
		return nil
	}
	return l.follow()
}

// expire ends a limit whose instant has come. One that is set anew in between stays.
func (l *limit) expire(now int64) {
	if at := l.at.Load(); at > 0 && at <= now && l.at.CompareAndSwap(at, over) {
		_ = l.follow() // closed meanwhile
	}
}

// longAgo is a deadline that has passed, also by a clock that was set back.
var longAgo = time.Unix(1, 0)

// follow lets the connection's own deadline be what the limit is now. Whoever makes a limit over, or takes that back,
// calls it afterwards, so that the last one to come finds what is to be; the order of the others does not matter.
func (l *limit) follow() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	cut := l.at.Load() == over
	if cut == l.cut {
		return nil
	}
	var t time.Time
	if cut {
		t = longAgo
	}
	l.cut = cut
	return l.set(t)
}
