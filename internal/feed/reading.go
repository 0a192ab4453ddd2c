package feed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// A store with many edges behind it must not be read once an edge: those that are at the same number share a reading.
// For a heart-beat one that is younger than shareFor will do; forgetAfter is when nobody can want it any more.
const (
	shareFor    = beatEvery / 2
	forgetAfter = 5 * time.Second
)

// readings reads the pages of a log for all streams of a server. Safe for concurrent use.
type readings struct {
	source Log
	now    func() time.Time

	mu sync.Mutex
	at map[uint64]*place
}

// place is the readings of what is above one number.
type place struct {
	last, next *reading // next begins when last is done
}

// reading is one page. All but done is written before done is closed.
type reading struct {
	began   time.Time
	done    chan struct{}
	entries []revocation.Entry
	more    bool
	err     error
}

func newReadings(source Log, now func() time.Time) *readings {
	return &readings{source: source, now: now, at: map[uint64]*place{}}
}

// page returns what [Log.Revocations] does for a page, read no earlier than since. Nobody may change the entries.
func (r *readings) page(ctx context.Context, after uint64, since time.Time) ([]revocation.Entry, bool, error) {
	page := r.join(after, since)
	select {
	case <-page.done:
		return page.entries, page.more, page.err
	case <-ctx.Done():
		return nil, false, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
}

// join finds a reading that began at since or later, or begins one.
func (r *readings) join(after uint64, since time.Time) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.at[after]
	if p == nil {
		r.forget()
		p = &place{}
		r.at[after] = p
	}
	switch {
	case p.last != nil && !p.last.began.Before(since) && !p.last.failed():
		return p.last
	case p.last == nil || p.last.finished():
		p.last = &reading{began: r.now(), done: make(chan struct{})}
		go r.read(after, p, p.last)
		return p.last
	case p.next == nil:
		p.next = &reading{done: make(chan struct{})}
	}
	return p.next // began after this moment
}

func (r *readings) read(after uint64, p *place, page *reading) {
	for page != nil {
		ctx, cancel := context.WithTimeout(context.Background(), silenceAfter)
		page.entries, page.more, page.err = r.source.Revocations(ctx, after, pageSize)
		cancel()
		r.mu.Lock()
		close(page.done)
		if page = p.next; page != nil {
			page.began = r.now()
			p.last, p.next = page, nil
		}
		r.mu.Unlock()
	}
}

// forget drops what was read long ago. Numbers only grow, so nobody asks for it again.
func (r *readings) forget() {
	old := r.now().Add(-forgetAfter)
	for after, p := range r.at {
		if p.next == nil && p.last.finished() && p.last.began.Before(old) {
			delete(r.at, after)
		}
	}
}

func (r *reading) finished() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *reading) failed() bool { return r.finished() && r.err != nil }
