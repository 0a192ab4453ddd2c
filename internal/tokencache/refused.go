package tokencache

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// places is how many tokens with a bad signature are remembered at most: some 300 kB.
const places = 4096

// refusals are tokens whose signature was computed and is bad. Each has one place, by its hash, and the last one there
// stays: a flood of them takes places of each other and of nothing else.
type refusals [places]atomic.Pointer[refusal]

// refusal is one of them. It does not change.
type refusal struct {
	key digest
	// from and until are nanoseconds of Unix time: when the signature was computed, and when the token expires.
	from, until int64
}

func (r *refusals) place(key digest) *atomic.Pointer[refusal] {
	return &r[binary.BigEndian.Uint16(key[8:])%places]
}

// has tells whether the verifier would say now what it said then. What it asks before the signature is the same at any
// later time, but for `exp`.
func (r *refusals) has(key digest, now int64) bool {
	found := r.place(key).Load()
	return found != nil && found.key == key && found.from <= now && now < found.until
}

// add remembers a token until it expires.
func (r *refusals) add(key digest, now, until time.Time) {
	if !until.IsZero() && until.Unix() < latest {
		r.place(key).Store(&refusal{key: key, from: now.UnixNano(), until: until.UnixNano()})
	}
}
