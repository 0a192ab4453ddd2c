package tokencache

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/token"
)

// DefaultBytes is room for some 200,000 tokens.
const DefaultBytes = 64 << 20

// shards is how many parts there are, each with a lock of its own that is held for one look or one change.
const shards = 64

// Cache is a [token.Verifier] with a memory. It is safe for concurrent use. Use [New] or [Next].
type Cache struct {
	verifier *token.Verifier
	// verify is verifier.Verify; tests put another one there.
	verify func(now time.Time, raw string) token.Verified
	budget int64
	parts  [shards]shard
	// kids are those of the verifier, and of the verifiers before it as long as entries were taken over: a record knows its
	// own by its place here, which stays.
	kids []string
	// refused is of this verifier alone: [Next] takes none over.
	refused refusals
	counts  *counts // shared with the caches before and after
}

// Stats are figures of a cache. The counters go on over [Next].
type Stats struct {
	// Hits are the questions that an entry answered, Misses those that the verifier did. Evicted are the entries that
	// were pushed out before their time.
	Hits, Misses, Evicted uint64
	// Entries and Bytes are what is held now, expired ones included.
	Entries, Bytes int64
}

// counts are kept by shard, so that cores do not wait for each other's.
type counts [shards]struct {
	hits, misses, evicted atomic.Uint64
	_                     [40]byte
}

// New returns an empty cache that holds about so many bytes, 0 for [DefaultBytes]. The verifier must not change.
func New(verifier *token.Verifier, budget int64) *Cache {
	if budget <= 0 {
		budget = DefaultBytes
	}
	c := &Cache{verifier: verifier, verify: verifier.Verify, budget: budget, counts: new(counts), kids: verifier.Keys.KIDs()}
	for i := range c.parts {
		c.parts[i] = newShard(budget / shards)
	}
	return c
}

// Verify is what [token.Verifier.Verify] of the cache's verifier answers.
func (c *Cache) Verify(now time.Time, raw string) Verified {
	if raw == "" || len(raw) > token.MaxBytes {
		return withoutClaims(c.verify(now, raw)) // is refused unread
	}
	key := digestOf(raw)
	part, count := &c.parts[key[0]%shards], &c.counts[key[0]%shards]
	nanos := now.UnixNano()
	if e, found := part.find(key); found && e.holdsAt(nanos) {
		e.used()
		count.hits.Add(1)
		return Verified{policy.Valid, policy.OK, e, c.kids[e.kid]}
	}
	count.misses.Add(1)
	if c.refused.has(key, nanos) {
		return Verified{Outcome: policy.Invalid, Reason: policy.BadSignature}
	}
	v := c.verify(now, raw)
	if v.Outcome != policy.Valid {
		if v.Outcome == policy.Invalid && v.Reason == policy.BadSignature {
			c.refused.add(key, now, v.Until)
		}
		return withoutClaims(v)
	}
	r, text := newRecord(make([]byte, 0, 2*textOfRecord), key, now, c.verifier.Skew, v.Claims)
	e, kid := entry{&r, unsafe.String(unsafe.SliceData(text), len(text))}, slices.Index(c.kids, v.KID)
	if kid < 0 { // cannot be
		return Verified{policy.Valid, policy.OK, e, v.KID}
	}
	r.kid = uint16(kid) //nolint:gosec // see maxKIDs
	if r.holdsAt(nanos) {
		count.evicted.Add(part.put(r, e.text, nanos))
	}
	return Verified{policy.Valid, policy.OK, e, c.kids[kid]}
}

func withoutClaims(v token.Verified) Verified { return Verified{Outcome: v.Outcome, Reason: v.Reason} }

// Next returns the cache for the verifier that takes the place of last's. If nothing changed it is last itself. If only
// keys came or went, or changed, it is a new one with the entries whose key is the same in both; else it is empty. last
// may be nil, and may go on answering: what it learns from now on stays with it.
func Next(last *Cache, verifier *token.Verifier, budget int64) *Cache {
	next := New(verifier, budget)
	if last == nil {
		return next
	}
	next.counts = last.counts
	if !sameQuestions(last.verifier, verifier) {
		return next
	}
	same := sameKeys(last.verifier.Keys, verifier.Keys)
	if len(same) == len(last.verifier.Keys.KIDs()) && len(same) == len(verifier.Keys.KIDs()) && next.budget == last.budget {
		return last
	}
	kids, keys := slices.Clip(last.kids), map[uint16]bool{}
	for _, kid := range next.kids {
		if !slices.Contains(kids, kid) {
			kids = append(kids, kid)
		}
	}
	if len(kids) > maxKIDs {
		return next
	}
	next.kids = kids
	for i, kid := range kids {
		keys[uint16(i)] = same[kid] //nolint:gosec // up to maxKIDs
	}
	for i := range last.parts {
		next.parts[i].take(&last.parts[i], keys)
	}
	return next
}

// maxKIDs is after how many keys, one after the other, a cache begins empty.
const maxKIDs = 4096

// sameQuestions tells whether two verifiers differ in their keys at most.
func sameQuestions(a, b *token.Verifier) bool {
	return a.Issuer == b.Issuer && slices.Equal(a.Audiences, b.Audiences) && a.AnyAudience == b.AnyAudience && a.MaxTTL == b.MaxTTL && a.Skew == b.Skew
}

// sameKeys are the kids that mean the same key in both sets, used in the same way.
func sameKeys(a, b token.KeySet) map[string]bool {
	same := map[string]bool{}
	for _, kid := range a.KIDs() {
		if x, y := a.Find(kid), b.Find(kid); y != nil && x.Algorithm() == y.Algorithm() && bytes.Equal(x.JWK(), y.JWK()) {
			same[kid] = true
		}
	}
	return same
}

// Stats returns the figures.
func (c *Cache) Stats() Stats {
	var s Stats
	for i := range c.parts {
		count := &c.counts[i]
		s.Hits += count.hits.Load()
		s.Misses += count.misses.Load()
		s.Evicted += count.evicted.Load()
		entries, size := c.parts[i].held()
		s.Entries += int64(entries)
		s.Bytes += size
	}
	return s
}
