package steering

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// places is how many users a replica remembers at the most: 512 KiB. Two users may share a place, and then the later one
// has it, so that some forced logins are not seen. That happens on both sides alike.
const places = 1 << 16

// given remembers, in a fixed space, when users were given a credential. Each place has the half of a user's hash and the
// second. It is safe for concurrent use; nil remembers nobody.
type given struct {
	seen [places]atomic.Uint64
}

var givenSeed = maphash.MakeSeed()

func (g *given) place(user string) (place *atomic.Uint64, who uint64) {
	hash := maphash.String(givenSeed, user)
	return &g.seen[hash%places], hash >> 32 << 32
}

func (g *given) mark(user string, now time.Time) {
	place, who := g.place(user)
	place.Store(who | uint64(uint32(now.Unix()))) //nolint:gosec // compared with its like
}

func (g *given) forget(user string) {
	if g == nil {
		return
	}
	if place, who := g.place(user); place.Load()>>32 == who>>32 {
		place.Store(0)
	}
}

// lately tells whether a user was given a credential within a time up to now. A clock that went back says nothing.
func (g *given) lately(user string, now time.Time, within time.Duration) bool {
	if g == nil {
		return false
	}
	place, who := g.place(user)
	mark := place.Load()
	if mark == 0 || mark>>32 != who>>32 {
		return false
	}
	age := int32(uint32(now.Unix()) - uint32(mark)) //nolint:gosec // the difference fits
	return age >= 0 && time.Duration(age)*time.Second <= within
}
