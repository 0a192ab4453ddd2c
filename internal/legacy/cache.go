package legacy

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The numbers of the cache.
const (
	// rememberGood is how long a session is believed without asking again, rememberBad how long a refusal.
	rememberGood = 10 * time.Second
	rememberBad  = time.Second
	// maxRemembered bounds the sessions, and the refusals, that are remembered: strangers' cookies push out no session.
	maxRemembered = 10_000
)

// cache remembers answers by the hash of the cookie. It is safe for concurrent use.
type cache struct {
	now func() time.Time

	mu         sync.Mutex
	generation uint64 // grows with each removal: an answer to an older question is not kept
	good       *simplelru.LRU[string, remembered]
	bad        *simplelru.LRU[string, time.Time] // until when
}

type remembered struct {
	session     Session
	from, until time.Time
}

func newCache(now func() time.Time) *cache {
	good, _ := simplelru.NewLRU[string, remembered](maxRemembered, nil) // fails for sizes below 1 only
	bad, _ := simplelru.NewLRU[string, time.Time](maxRemembered, nil)
	return &cache{now: now, good: good, bad: bad}
}

// get returns what is remembered: a session, or that there is none.
func (c *cache) get(hash string) (Session, error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if r, ok := c.good.Get(hash); ok {
		if now.Before(r.until) && !now.Before(r.from) { // a clock that went back remembers nothing
			return r.session.clone(), nil, true
		}
		c.good.Remove(hash)
	}
	if until, ok := c.bad.Get(hash); ok {
		if left := until.Sub(now); left > 0 && left <= rememberBad {
			return Session{}, ErrInvalid, true
		}
		c.bad.Remove(hash)
	}
	return Session{}, nil, false
}

// asking returns the generation of a question that begins now.
func (c *cache) asking() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// put remembers an answer to a question of a generation.
func (c *cache) put(generation uint64, hash string, s Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	now := c.now()
	until := now.Add(rememberGood)
	if !s.Expires.IsZero() && s.Expires.Before(until) {
		until = s.Expires
	}
	c.bad.Remove(hash)
	c.good.Add(hash, remembered{s.clone(), now, until})
}

// refuse remembers for a moment that there is no such session.
func (c *cache) refuse(generation uint64, hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation == c.generation {
		c.good.Remove(hash)
		c.bad.Add(hash, c.now().Add(rememberBad))
	}
}

// forget removes a session, and what is just being asked.
func (c *cache) forget(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.good.Remove(hash)
	c.bad.Remove(hash)
}

// forgetUser removes all sessions of a user.
func (c *cache) forgetUser(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for _, hash := range c.good.Keys() {
		if r, ok := c.good.Peek(hash); ok && r.session.User == user {
			c.good.Remove(hash)
		}
	}
}
