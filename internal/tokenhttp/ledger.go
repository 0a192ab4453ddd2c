package tokenhttp

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ledger remembers what each key has signed since the start: the latest expiry, and how many tokens live. The zero value is
// ready; it is safe for concurrent use.
type ledger struct {
	mu     sync.Mutex
	latest map[string]time.Time
	living map[string]map[int64]int64 // by kid, tokens that expire within each span
}

// ledgerSpan is how exactly lives are counted: a token counts until the end of the span in which it expires. With the longest
// lifetime that a policy allows, an hour, a key has some 240 spans.
const ledgerSpan = 15 * time.Second

// note must be called before the signature is made: a status read at any later instant includes it.
func (l *ledger) note(kid string, expires time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == nil {
		l.latest, l.living = map[string]time.Time{}, map[string]map[int64]int64{}
	}
	if expires.After(l.latest[kid]) {
		l.latest[kid] = expires
	}
	if l.living[kid] == nil {
		l.living[kid] = map[int64]int64{}
	}
	l.living[kid][spanOf(expires)]++
}

func spanOf(t time.Time) int64 { return t.Unix() / int64(ledgerSpan/time.Second) }

// live counts the tokens of each key that have not expired, and forgets those that have.
func (l *ledger) live(now time.Time) map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	live, oldest := map[string]int64{}, spanOf(now)
	for kid, spans := range l.living {
		for span, n := range spans {
			if span < oldest {
				delete(spans, span)
				continue
			}
			live[kid] += n
		}
		if len(spans) == 0 {
			delete(l.living, kid)
		}
	}
	return live
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
