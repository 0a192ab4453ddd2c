package feed

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// lostFor is how long an edge whose lease ran out still spoils the answer that all have applied a revocation: it may
// be cut off and deciding with an old list.
const lostFor = time.Minute

// ErrTooManyEdges is returned when more edges report than the service remembers.
var ErrTooManyEdges = errors.New("too many edges")

// Longest keeps, over restarts, how long the longest lease lasts that may still hold; stores implement it.
type Longest interface {
	// LongestLease returns what was kept last, 0 if nothing was.
	LongestLease(ctx context.Context) (time.Duration, error)
	// KeepLongestLease returns when it is stored.
	KeepLongestLease(ctx context.Context, length time.Duration) error
}

// Leases remembers in memory which edges there are and what they have applied. It is for a token service of one
// replica. Because it forgets with the process, [Leases.Wait] does not answer before one lease has passed since the
// start: by then every edge that still holds a lease of the process before has reported. Where that process granted
// longer ones than today's, it does not claim that all edges have applied anything before those have run out too. Safe
// for concurrent use.
type Leases struct {
	now     func() time.Time
	length  func() time.Duration
	kept    Longest // nil: nothing is
	started time.Time
	inherit time.Duration // the longest lease of the processes before

	mu      sync.Mutex
	longest time.Duration // as kept
	granted time.Time     // when a lease of that length was granted last
	edges   map[string]lease
	changed chan struct{} // closed and replaced at every report
}

type lease struct {
	applied uint64
	until   time.Time
	// superseded: another process of the same name has reported since, so this one has probably ended.
	superseded bool
}

// NewLeases starts now and keeps nothing over restarts. length is how long a lease lasts at present; now must carry a
// monotonic reading.
func NewLeases(length func() time.Duration, now func() time.Time) *Leases {
	started := now()
	return &Leases{now: now, length: length, started: started, granted: started, edges: map[string]lease{}, changed: make(chan struct{})}
}

// OpenLeases is [NewLeases] for a process that may have had others before it.
func OpenLeases(ctx context.Context, kept Longest, length func() time.Duration, now func() time.Time) (*Leases, error) {
	longest, err := kept.LongestLease(ctx)
	if err != nil {
		return nil, err
	}
	l := NewLeases(length, now)
	l.kept, l.inherit, l.longest = kept, longest, longest
	return l, nil
}

// Report notes that an edge has applied everything up to a number, and returns how long that counts. An edge is named
// name#process; its lease is its own, whatever other process has the same name.
func (l *Leases) Report(ctx context.Context, edge string, applied uint64) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, length := l.now(), l.length()
	if _, known := l.edges[edge]; !known {
		if len(l.edges) >= maxEdges {
			l.forget(now)
			if len(l.edges) >= maxEdges {
				return 0, ErrTooManyEdges
			}
		}
		l.supersede(edge)
	}
	if err := l.keep(ctx, now, length); err != nil {
		return 0, err
	}
	l.edges[edge] = lease{applied: applied, until: now.Add(length)}
	l.announce()
	return length, nil
}

// keep stores a length before the first lease of it is granted, and a shorter one when all longer leases have run out.
func (l *Leases) keep(ctx context.Context, now time.Time, length time.Duration) error {
	if l.kept == nil {
		return nil
	}
	if length > l.longest || length < l.longest && now.Sub(l.granted) > l.longest {
		if err := l.kept.KeepLongestLease(ctx, length); err != nil {
			return err
		}
		l.longest = length
	}
	if length == l.longest {
		l.granted = now
	}
	return nil
}

// supersede marks the other processes of an edge's name.
func (l *Leases) supersede(edge string) {
	name := nameOf(edge)
	for other, e := range l.edges {
		if nameOf(other) == name {
			e.superseded = true
			l.edges[other] = e
		}
	}
}

func nameOf(edge string) string {
	if end := strings.LastIndexByte(edge, '#'); end >= 0 {
		return edge[:end]
	}
	return edge
}

// Leave forgets an edge that has stopped to decide. It never fails.
func (l *Leases) Leave(_ context.Context, edge string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.edges, edge)
	l.announce()
	return nil
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
	lost = now.Before(l.started.Add(l.inherit)) // an edge that nobody knows may hold one of those
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
		if left := e.until.Sub(now); left < -lostFor || e.superseded && left <= 0 {
			delete(l.edges, name)
		}
	}
}

func (l *Leases) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}
