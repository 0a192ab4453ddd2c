package steering

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// places is how many users of one side a replica remembers at the most: 512 KiB.
const places = 1 << 16

// held is how long a place is its user's at least. It covers the time between two refreshes.
const held = 30 * time.Minute

// given remembers, in a fixed space, when something of a user was last seen. Each place has the half of a user's hash and
// the second. It is safe for concurrent use.
type given struct {
	seen [places]atomic.Uint64
}

var givenSeed = maphash.MakeSeed()

func (g *given) place(user string) (place *atomic.Uint64, who uint64) {
	hash := maphash.String(givenSeed, user)
	return &g.seen[hash%places], hash >> 32 << 32
}

// mark takes the place, whoever had it.
func (g *given) mark(user string, now time.Time) {
	place, who := g.place(user)
	place.Store(who | second(now))
}

// hold takes the place unless it is held by somebody else.
func (g *given) hold(user string, now time.Time) {
	place, who := g.place(user)
	if mark := place.Load(); mark == 0 || mark>>32 == who>>32 || !young(mark, now, held) {
		place.Store(who | second(now))
	}
}

func (g *given) forget(user string) {
	if place, who := g.place(user); place.Load()>>32 == who>>32 {
		place.Store(0)
	}
}

// lately tells whether a user was seen within a time up to now. It is not known while somebody else has the place. A
// clock that went back says nothing.
func (g *given) lately(user string, now time.Time, within time.Duration) (seen, known bool) {
	place, who := g.place(user)
	mark := place.Load()
	switch {
	case mark == 0:
		return false, true
	case mark>>32 == who>>32:
		return young(mark, now, within), true
	default:
		return false, !young(mark, now, max(within, held))
	}
}

func second(now time.Time) uint64 { return uint64(uint32(now.Unix())) } //nolint:gosec // compared with its like

func young(mark uint64, now time.Time, within time.Duration) bool {
	age := int32(uint32(now.Unix()) - uint32(mark)) //nolint:gosec // the difference fits
	return age >= 0 && time.Duration(age)*time.Second <= within
}

// acquainted are those who were given a credential, each side in a space of its own: an edge asks about a session more
// often than tokens are refreshed, so in one space the control would push the cohort out. Whose place somebody else has is
// not counted, on either side. nil remembers nobody.
type acquainted struct {
	cohort, control given
}

func (a *acquainted) of(whose Side) *given {
	if whose == Cohort {
		return &a.cohort
	}
	return &a.control
}

// lately asks both sides: a step takes users from one to the other.
func (a *acquainted) lately(whose Side, user string, now time.Time, within time.Duration) (seen, known bool) {
	if a == nil {
		return false, true
	}
	for _, g := range []*given{&a.cohort, &a.control} {
		if seen, known := g.lately(user, now, within); seen && known {
			return true, true
		}
	}
	return a.of(whose).lately(user, now, within)
}

func (a *acquainted) forget(user string) {
	if a != nil {
		a.cohort.forget(user)
		a.control.forget(user)
	}
}

// once remembers what was counted of whom at one percentage. What shares a place with something newer may be counted twice.
type once struct {
	key  string
	seen given
}

// again is how long after something was counted of a user it is counted again.
const again = 24 * time.Hour

// first tells whether something has not been counted at this percentage, and notes it.
func (c *Counter) first(s *Steering, now time.Time, what string) bool {
	key := fmt.Sprint(s.percent, " ", s.key)
	o := c.once.Load()
	if o == nil || o.key != key {
		c.once.CompareAndSwap(o, &once{key: key})
		o = c.once.Load()
	}
	if seen, known := o.seen.lately(what, now, again); seen && known {
		return false
	}
	o.seen.mark(what, now)
	return true
}
