package storetest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/embedded"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

// replica is one store under several names: what a shared backend must look like.
type replica struct {
	store.Store
	*leases
}

type leases struct {
	mu    sync.Mutex
	began time.Time
	all   map[string]held
}

type held struct {
	applied uint64
	until   time.Time
}

func (l *leases) PutLease(_ context.Context, edge string, applied uint64, length time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[edge] = held{applied, time.Now().Add(length)}
	return nil
}

func (l *leases) DropLease(_ context.Context, edge string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, edge)
	return nil
}

func (l *leases) Leases(context.Context) (store.LeaseTable, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	table := store.LeaseTable{Kept: time.Since(l.began)}
	for edge, h := range l.all {
		left := time.Until(h.until)
		if left < -time.Minute {
			delete(l.all, edge)
			continue
		}
		table.Leases = append(table.Leases, store.Lease{Edge: edge, Applied: h.applied, Left: left})
	}
	return table, nil
}

func (l *leases) Clock(context.Context) (time.Time, error) { return time.Now(), nil }

func TestSharedSuite(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T) []store.Shared {
		s, err := embedded.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		l := &leases{began: time.Now(), all: map[string]held{}}
		return []store.Shared{replica{s, l}, replica{s, l}, replica{s, l}}
	})
}
