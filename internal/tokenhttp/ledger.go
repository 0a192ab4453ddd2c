package tokenhttp

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ledger remembers the latest expiry that each key has signed since the start.
type ledger struct {
	mu     sync.Mutex
	latest map[string]time.Time
}

// note must be called before the signature is made: a status read at any later instant includes it.
func (l *ledger) note(kid string, expires time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == nil {
		l.latest = map[string]time.Time{}
	}
	if expires.After(l.latest[kid]) {
		l.latest[kid] = expires
	}
}

func (l *ledger) all() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.latest)
}

// last is the latest of all, zero for none.
func (l *ledger) last() (latest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, expires := range l.latest {
		if expires.After(latest) {
			latest = expires
		}
	}
	return latest
}

// strangers remembers the last peer that was not a trusted proxy.
type strangers struct{ last atomic.Pointer[stranger] }

type stranger struct {
	address netip.Addr
	seen    time.Time
}

// strangerFor is how long a stranger is reported.
const strangerFor = 10 * time.Minute

func (s *strangers) note(a netip.Addr, now time.Time) { s.last.Store(&stranger{a, now}) }

func (s *strangers) report(now time.Time) string {
	if last := s.last.Load(); last != nil && now.Sub(last.seen) < strangerFor {
		return last.address.String()
	}
	return ""
}
