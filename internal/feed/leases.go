package feed

import (
	"context"
	"errors"
	"sync"
	"time"
)

// lostFor is how long an edge whose lease ran out still spoils the answer that all have applied a revocation: it may
// be cut off and deciding with an old list.
const lostFor = time.Minute

// ErrTooManyEdges is returned when more edges report than the service remembers.
var ErrTooManyEdges = errors.New("too many edges")

// Leases remembers in memory which edges there are and what they have applied. It is for a token service of one
// replica. Because it forgets with the process, [Leases.Wait] does not answer before one lease has passed since the
// start: by then every edge that still holds a lease of the process before has reported. Safe for concurrent use.
type Leases struct {
	now     func() time.Time
	length  func() time.Duration
	started time.Time

	mu      sync.Mutex
	edges   map[string]lease
	changed chan struct{} // closed and replaced at every report
}

type lease struct {
	applied uint64
	until   time.Time
}

// NewLeases starts now. length is how long a lease lasts at present; now must carry a monotonic reading.
func NewLeases(length func() time.Duration, now func() time.Time) *Leases {
	return &Leases{now: now, length: length, started: now(), edges: map[string]lease{}, changed: make(chan struct{})}
}

// Report notes that an edge has applied everything up to a number, and returns how long that counts.
func (l *Leases) Report(edge string, applied uint64) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, length := l.now(), l.length()
	if _, known := l.edges[edge]; !known && len(l.edges) >= maxEdges {
		l.forget(now)
		if len(l.edges) >= maxEdges {
			return 0, ErrTooManyEdges
		}
	}
	l.edges[edge] = lease{applied: applied, until: now.Add(length)}
	l.announce()
	return length, nil
}

// Leave forgets an edge that has stopped to decide.
func (l *Leases) Leave(edge string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.edges, edge)
	l.announce()
}

// Leased is how many edges hold a lease.
func (l *Leases) Leased() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, n := l.now(), 0
	for _, e := range l.edges {
		if now.Before(e.until) {
			n++
		}
	}
	return n
}

// Wait returns when every edge that holds a lease has applied number, or its lease has run out, and tells whether
// all edges known of late have applied it. It returns false when ctx ends.
func (l *Leases) Wait(ctx context.Context, number uint64) bool {
	for {
		pause, lost, changed := l.look(number)
		if pause <= 0 {
			return !lost
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// look returns how long there is to wait at least if nothing changes; 0 if the question is decided.
func (l *Leases) look(number uint64) (pause time.Duration, lost bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.forget(now)
	pause = l.started.Add(l.length()).Sub(now)
	for _, e := range l.edges {
		if e.applied >= number {
			continue
		}
		if left := e.until.Sub(now); left > 0 {
			pause = max(pause, left)
		} else {
			lost = true
		}
	}
	return pause, lost, l.changed
}

func (l *Leases) forget(now time.Time) {
	for name, e := range l.edges {
		if now.Sub(e.until) > lostFor {
			delete(l.edges, name)
		}
	}
}

func (l *Leases) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}
