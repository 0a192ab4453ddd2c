package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/keyturn/keyturn/internal/store"
)

// maxCounters bounds the keys that are counted; past it the one unused for longest is forgotten.
const maxCounters = 100_000

// limits counts events in memory: for each key the instants of the last events that were allowed.
type limits struct {
	mu   sync.Mutex
	keys *simplelru.LRU[string, []time.Time]
}

func newLimits(size int) *limits {
	keys, err := simplelru.NewLRU[string, []time.Time](size, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &limits{keys: keys}
}

// Take implements [store.Limiter].
func (s *Store) Take(_ context.Context, key string, limit int, window time.Duration, now time.Time) (store.Counted, error) {
	return s.limits.take(key, limit, window, now), nil
}

// Refund implements [store.Limiter].
func (s *Store) Refund(_ context.Context, key string) error {
	s.limits.refund(key)
	return nil
}

func (l *limits) refund(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch events, _ := l.keys.Peek(key); len(events) {
	case 0:
	case 1:
		l.keys.Remove(key)
	default:
		l.keys.Add(key, events[:len(events)-1])
	}
}

func (l *limits) take(key string, limit int, window time.Duration, now time.Time) store.Counted {
	if limit <= 0 || window <= 0 {
		return store.Counted{Reset: window}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	events, _ := l.keys.Get(key)
	first := 0
	for first < len(events) && !now.Before(events[first].Add(window)) {
		first++
	}
	events = events[first:]
	if len(events) >= limit { // the limit may have been lowered: the event that must age is not always the first
		l.keys.Add(key, events)
		return store.Counted{Reset: events[len(events)-limit].Add(window).Sub(now)}
	}
	if len(events) > 0 && events[len(events)-1].After(now) {
		now = events[len(events)-1] // a clock set back must not free the past
	}
	kept := make([]time.Time, 0, len(events)+1)
	kept = append(append(kept, events...), now)
	l.keys.Add(key, kept)
	counted := store.Counted{Allowed: true, Remaining: limit - len(kept)}
	if counted.Remaining == 0 {
		counted.Reset = kept[0].Add(window).Sub(now)
	}
	return counted
}
