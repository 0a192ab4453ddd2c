package feed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/keyturn/keyturn/internal/store"
)

// How often the table is read for what need not be the newest, and how long one reading may take.
const (
	readEvery  = time.Second
	readWithin = 2 * time.Second
)

// SharedLeases keeps the leases of all edges in the store that several token services share. Safe for concurrent use;
// make it with [NewSharedLeases].
//
// Every edge that may decide has a lease in the table, but for those that the store has lost: a server that took over
// from a failed one may lack what was written in the last moments, and an emptied one lacks everything. It says how long
// it has kept leases, and whatever it lost was granted before that. So no wait ends before it has kept them for one
// lease, by when every edge that can has reported again, and none claims that all edges have applied anything before
// the longest lease that is known to have been granted would have run out.
type SharedLeases struct {
	store  store.Leases
	length func() time.Duration
	now    func() time.Time
	group  singleflight.Group

	mu      sync.Mutex
	last    *table // nil before the first reading
	names   map[string]bool
	granted map[time.Duration]time.Time // until when leases of a length may be granted; more than the table knows
	waiters map[*waiter]bool
	polling bool
	woken   chan struct{} // gets a value when an edge reported here what somebody waits for
}

// NewSharedLeases returns the leases in s. length is how long a lease lasts at present; now must carry a monotonic
// reading.
func NewSharedLeases(s store.Leases, length func() time.Duration, now func() time.Time) *SharedLeases {
	return &SharedLeases{
		store: s, length: length, now: now, names: map[string]bool{}, granted: map[time.Duration]time.Time{},
		waiters: map[*waiter]bool{}, woken: make(chan struct{}, 1),
	}
}

// Report implements [Leaser]. The lease is in the store when it returns.
func (l *SharedLeases) Report(ctx context.Context, edge string, applied uint64) (time.Duration, error) {
	length := l.length()
	known, err := l.recent(ctx)
	if err != nil {
		return 0, err
	}
	if !l.knows(edge) {
		if len(known.edges) >= maxEdges {
			return 0, ErrTooManyEdges
		}
		if err := l.follow(ctx, known, edge, length); err != nil {
			return 0, err
		}
	}
	if err := l.note(ctx, known, length); err != nil {
		return 0, err
	}
	if err := l.store.PutLease(ctx, edge, applied, heldFor(length)); err != nil {
		return 0, err
	}
	l.reported(edge, applied)
	return length, nil
}

func (l *SharedLeases) knows(edge string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[edge]
}

// follow notes of every other process of the edge's name that this one came after it.
func (l *SharedLeases) follow(ctx context.Context, known *table, edge string, length time.Duration) error {
	name := nameOf(edge)
	for _, other := range known.edges {
		if other.Edge == edge || nameOf(other.Edge) != name || known.followed(other, length) {
			continue
		}
		if err := l.store.PutLease(ctx, endedNoteOf(other.Edge), 0, endedFor); err != nil {
			return err
		}
	}
	return nil
}

// note tells the other token services, now and later, that leases of this length are granted.
func (l *SharedLeases) note(ctx context.Context, known *table, length time.Duration) error {
	l.mu.Lock()
	now := l.now()
	// The table must have it, also after the store has lost it; what this process wrote since is in granted.
	fresh := known.lengths[length]-now.Sub(known.read) > noteFor/2 || known.read.Before(l.granted[length].Add(-noteFor))
	l.mu.Unlock()
	if fresh {
		return nil
	}
	if err := l.store.PutLease(ctx, fmt.Sprint(lengthNote, length), uint64(length), noteFor); err != nil { //nolint:gosec // a lease is longer than 0
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.granted[length] = l.now().Add(noteFor)
	return nil
}

func (l *SharedLeases) reported(edge string, applied uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[edge] = true
	for w := range l.waiters {
		if w.number <= applied {
			l.wake()
			return
		}
	}
}

func (l *SharedLeases) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// Leave implements [Leaser].
func (l *SharedLeases) Leave(ctx context.Context, edge string) error {
	if err := l.store.DropLease(ctx, edge); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, edge)
	l.wake()
	return nil
}

// Leased is how many edges hold a lease, at any token service. It reads the table at most once a second; where the
// store does not answer, it counts by what was read last.
func (l *SharedLeases) Leased() int {
	ctx, cancel := context.WithTimeout(context.Background(), readEvery)
	defer cancel()
	known, err := l.recent(ctx)
	if err != nil {
		l.mu.Lock()
		known = l.last
		l.mu.Unlock()
		if known == nil {
			return 0
		}
	}
	n, since := 0, l.now().Sub(known.read)
	for _, e := range known.edges {
		if e.Left > since {
			n++
		}
	}
	return n
}

// recent returns a table that is at most readEvery old. Those who ask at the same moment share one reading.
func (l *SharedLeases) recent(ctx context.Context) (*table, error) {
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	if last != nil && l.now().Sub(last.read) < readEvery {
		return last, nil
	}
	reading := l.group.DoChan("", func() (any, error) { return l.read() })
	select {
	case done := <-reading:
		if done.Err != nil {
			return nil, done.Err
		}
		return done.Val.(*table), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
}

// read reads the table now.
func (l *SharedLeases) read() (*table, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	began := l.now()
	raw, err := l.store.Leases(ctx)
	if err != nil {
		return nil, err
	}
	t := newTable(raw, began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = t
	clear(l.names)
	for _, e := range t.edges {
		l.names[e.Edge] = true
	}
	for length, left := range t.lengths {
		if until := l.now().Add(left); until.After(l.granted[length]) {
			l.granted[length] = until
		}
	}
	return t, nil
}

// longest is the longest lease that may hold, also one that the store has lost. Call it with mu held.
func (l *SharedLeases) longest() time.Duration {
	longest, now := l.length(), l.now()
	for length, until := range l.granted {
		if now.After(until) {
			delete(l.granted, length)
			continue
		}
		longest = max(longest, length)
	}
	return longest
}
