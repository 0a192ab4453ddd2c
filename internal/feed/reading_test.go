package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
)

// counted is a log that counts how often it is read, and takes its time.
type counted struct {
	memory
	reads atomic.Int64
	slow  atomic.Int64
	fails atomic.Bool
}

func (c *counted) Revocations(ctx context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	c.reads.Add(1)
	if c.fails.Load() {
		return nil, false, errDown
	}
	page, more, err := c.memory.Revocations(ctx, after, limit)
	<-time.After(time.Duration(c.slow.Load())) // what is written from here on is not in it
	return page, more, err
}

// Whoever asks after an entry was written gets it, also if another reading was under way.
func TestReadingsAreShared(t *testing.T) {
	source := &counted{}
	source.slow.Store(int64(5 * time.Millisecond))
	r := newReadings(source, time.Now)
	const rounds, streams = 40, 50
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			position := uint64(0)
			for range rounds {
				source.mu.Lock()
				last := source.last
				source.mu.Unlock()
				page, more, err := r.page(t.Context(), position, time.Now())
				if err != nil || more {
					t.Errorf("page: %t, %v", more, err)
					return
				}
				if n := len(page); n > 0 {
					position = page[n-1].Seq
				}
				if position < last {
					t.Errorf("read up to %d, the log was at %d before", position, last)
				}
			}
		})
	}
	for i := range rounds {
		source.append(fmt.Sprint(i))
		<-time.After(2 * time.Millisecond)
	}
	all.Wait()
	if n := source.reads.Load(); n > streams*rounds/4 {
		t.Errorf("%d readings for %d questions", n, streams*rounds)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) > rounds+1 {
		t.Errorf("%d places are kept", len(r.at))
	}
}

func TestReadingsThatFailAreNotKept(t *testing.T) {
	source, now := &counted{}, time.Unix(1000, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	advance := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	r := newReadings(source, clock)
	source.fails.Store(true)
	if _, _, err := r.page(t.Context(), 0, now); !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	source.fails.Store(false)
	number := source.append("x")
	for range 3 { // the first is read, the others share it
		if page, _, err := r.page(t.Context(), 0, now); err != nil || len(page) != 1 {
			t.Fatalf("%v, %v", page, err)
		}
	}
	if n := source.reads.Load(); n != 2 {
		t.Errorf("%d readings, want 2", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	source.slow.Store(int64(time.Second))
	advance(time.Second)
	if _, _, err := r.page(ctx, number, clock()); err == nil {
		t.Error("a stream that has ended waits on")
	}
	source.slow.Store(0)
	advance(forgetAfter + time.Second)
	_, _, _ = r.page(t.Context(), number+1, clock())
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, kept := r.at[0]; kept {
		t.Error("what was read long ago is kept")
	}
}

// Many edges behind one server cost the store no more than a few.
func TestManyEdgesReadTheLogOnce(t *testing.T) {
	source := &counted{}
	source.slow.Store(int64(3 * time.Millisecond)) // as a server does; who is quicker need not be spared
	r := &rig{T: t, log: &memory{}, leases: newLeases()}
	r.serveFrom(source, nil, "127.0.0.1:0")
	var edges []*Client
	for i := range 40 {
		c, _ := r.client(fmt.Sprint("edge-", i), "", nil)
		edges = append(edges, c)
	}
	for _, c := range edges {
		until(t, "loaded", func() bool { return c.Status().Loaded })
	}
	begun, before := time.Now(), source.reads.Load()
	const entries = 25
	for i := range entries {
		if !r.leases.Wait(t.Context(), source.append(fmt.Sprint(i))) {
			t.Fatal("not propagated")
		}
	}
	reads, seconds := source.reads.Load()-before, int64(time.Since(begun)/time.Second)+1
	if reads > 8*entries+4*seconds {
		t.Errorf("%d readings in %d s for %d entries to %d edges", reads, seconds, entries, len(edges))
	}
	t.Logf("%d readings for %d entries to %d edges", reads, entries, len(edges))
}
