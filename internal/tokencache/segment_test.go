package tokencache

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/token"
)

// said is a verifier without signatures: it knows what each token says, and which key signed it.
type said map[string]token.Verified

// over makes a cache ask said instead of its own verifier, whose keys still count.
func (s said) over(c *Cache) *Cache {
	c.verify = func(now time.Time, raw string) token.Verified { return s.of(c.verifier, now, raw) }
	return c
}

func (s said) of(v *token.Verifier, now time.Time, raw string) token.Verified {
	switch found := s[raw]; {
	case v.Keys.Find(found.KID) == nil:
		return token.Verified{Outcome: policy.Invalid, Reason: policy.UnknownKey}
	case !now.Before(found.Claims.ExpiresAt.Add(v.Skew)):
		return token.Verified{Outcome: policy.Expired, Reason: policy.ReasonExpired}
	default:
		return found
	}
}

// claimsOf are long and short, with empty names and values among them.
func claimsOf(r *rand.Rand, n int, expires time.Time) token.Claims {
	name := strconv.Itoa(n)
	c := token.Claims{Subject: "sub-" + name, ID: "jti-" + name, ExpiresAt: expires, Custom: map[string]string{}}
	if r.IntN(2) == 0 {
		c.SessionID, c.ClientID = "sid-"+name, "client-"+name
	}
	for i := range r.IntN(5) {
		key := strconv.Itoa(i)
		switch r.IntN(4) {
		case 0:
			c.Custom[""] = ""
		case 1:
			c.Custom[key] = strings.Repeat("x", r.IntN(1500))
		case 2:
			c.Custom["of "+key] = name
		default:
			c.Custom[key] = ""
		}
	}
	return c
}

// Caches of documents that follow one another, in use at once with shared segments and next to no room: each answers as
// its verifier, and no answer changes afterwards. The race detector watches.
func TestSharedSegments(t *testing.T) {
	var verifiers []*token.Verifier
	for set := 1; set < 1<<len(signers()); set++ {
		var keys []signer
		for i, s := range signers() {
			if set>>i&1 == 1 {
				keys = append(keys, s)
			}
		}
		verifiers = append(verifiers, verifier(t, keys...))
	}
	budgets := []int64{100, 400, 1000, 5000, 20_000, 200_000} // of a shard
	for story := range soak(12, 600) {
		sharedStory(t, uint64(story), verifiers, shards*budgets[story%len(budgets)]) //nolint:gosec // small
	}
}

func sharedStory(t *testing.T, story uint64, verifiers []*token.Verifier, budget int64) {
	r, start := rand.New(rand.NewPCG(story, 3)), time.Unix(1_800_000_000, 0)
	all, raws, seconds := said{}, []string(nil), atomic.Int64{}
	for n := 0; len(raws) < 300; n++ {
		raw := fmt.Sprintf("%d of %d", n, story)
		if digestOf(raw)[0]%shards > 3 {
			continue // so that they meet
		}
		all[raw] = token.Verified{Outcome: policy.Valid, Reason: policy.OK, KID: signers()[r.IntN(len(signers()))].public.KID(),
			Claims: claimsOf(r, n, start.Add(time.Duration(r.IntN(100))*time.Second))}
		raws = append(raws, raw)
	}
	var caches [6]atomic.Pointer[Cache]
	first := all.over(New(verifiers[len(verifiers)-1], budget))
	for i := range caches {
		caches[i].Store(first)
	}
	var group sync.WaitGroup
	for worker := range uint64(4) {
		group.Go(func() {
			r, told := rand.New(rand.NewPCG(story, worker+10)), map[string]Verified{}
			for range 1000 {
				c, raw := caches[r.IntN(len(caches))].Load(), raws[int(float64(len(raws))*r.Float64()*r.Float64())]
				now := start.Add(time.Duration(seconds.Load())*time.Second - time.Duration(r.IntN(2))*time.Second)
				got, want := c.Verify(now, raw), all.of(c.verifier, now, raw)
				if got.Outcome != want.Outcome || got.Reason != want.Reason {
					t.Errorf("story %d: %v %v, want %v %v", story, got.Outcome, got.Reason, want.Outcome, want.Reason)
					return
				}
				if got.Outcome == policy.Valid {
					told[raw] = got
				}
			}
			for raw, v := range told {
				if c := all[raw].Claims; v.Subject() != c.Subject || v.TokenID() != c.ID || v.SessionID() != c.SessionID || v.ClientID() != c.ClientID ||
					v.KID() != all[raw].KID || !maps.Equal(v.Custom(), c.Custom) {
					t.Errorf("story %d: %q became %q of %q with %v", story, raw, v.Subject(), v.KID(), v.Custom())
				}
			}
		})
	}
	group.Go(func() {
		r := rand.New(rand.NewPCG(story, 99))
		for range 60 {
			last := caches[r.IntN(len(caches))].Load()
			if next := Next(last, verifiers[r.IntN(len(verifiers))], budget); next != last {
				caches[r.IntN(len(caches))].Store(all.over(next))
			}
			seconds.Add(int64(r.IntN(3)))
		}
	})
	group.Wait()
	for i := range caches {
		c := caches[i].Load()
		if s := c.Stats(); s.Bytes > budget || indexed(c) > s.Bytes {
			t.Errorf("story %d: %+v of %d, and what can be found takes %d", story, s, budget, indexed(c))
		}
	}
}

// The bound holds whatever the tokens say, and however many documents came meanwhile.
func TestBytesAreThoseOfTheHeap(t *testing.T) {
	const budget = 16 << 20
	now, kid := time.Now(), signers()[0].public.KID()
	two, one := verifier(t, signers()[:2]...), verifier(t, signers()[:1]...)
	for _, c := range []struct {
		name      string
		text      int
		documents int // in which so many tokens each are seen
		tokens    int
	}{
		{"short", 20, 1, 40_000},
		{"usual", 150, 1, 40_000},
		{"three a segment", 2100, 1, 12_000},
		{"one a segment", 4200, 1, 6000},
		{"one too long for a segment", 9000, 1, 3000},
		{"many documents", 100, 200, 64},
	} {
		text, seen := strings.Repeat("x", c.text), 0
		taught := func(cache *Cache) *Cache {
			cache.verify = func(time.Time, string) token.Verified {
				return token.Verified{Outcome: policy.Valid, Reason: policy.OK, KID: kid, Claims: token.Claims{Subject: text, ExpiresAt: now.Add(time.Hour)}}
			}
			return cache
		}
		before := heap()
		cache := taught(New(two, budget))
		for n := range c.documents {
			if n > 0 {
				cache = taught(Next(cache, []*token.Verifier{two, one}[n%2], budget))
			}
			for range c.tokens {
				seen++
				cache.Verify(now, strconv.Itoa(seen))
			}
		}
		took, s := heap()-before, cache.Stats()
		// Beside what is counted, each queue has a segment to go on with.
		if least := int64(1 << 20); s.Bytes < least || s.Bytes > budget || took > s.Bytes*5/4+shards*2*13_000 {
			t.Errorf("%s: %+v, and the heap grew by %d", c.name, s, took)
		}
		runtime.KeepAlive(cache)
	}
}
