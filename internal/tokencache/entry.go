package tokencache

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/token"
)

// Verified is what a token is worth. The zero value denies. The claims are there only where the outcome is Valid; else
// each is empty. It is a value that does not change.
type Verified struct {
	Outcome policy.Outcome
	// Reason is why the outcome is not Valid; [policy.OK] if it is.
	Reason policy.Reason
	entry  *entry
}

// Subject is `sub`.
func (v Verified) Subject() string { return v.entry.standard(0) }

// TokenID is `jti`.
func (v Verified) TokenID() string { return v.entry.standard(1) }

// SessionID is `sid`; empty if there is none.
func (v Verified) SessionID() string { return v.entry.standard(2) }

// ClientID is `client_id`; empty if there is none.
func (v Verified) ClientID() string { return v.entry.standard(3) }

// KID is the key that verified the signature.
func (v Verified) KID() string {
	if v.entry == nil {
		return ""
	}
	return v.entry.kid
}

// Claim returns a claim whose value is a text: `sub`, `jti`, `sid`, `client_id` or a custom one; empty if there is none.
func (v Verified) Claim(name string) string {
	for i, standard := range standardClaims {
		if name == standard {
			return v.entry.standard(i)
		}
	}
	return v.entry.custom(name)
}

// Custom returns the claims that are texts and none of the standard ones, as a map of the caller's own.
func (v Verified) Custom() map[string]string {
	if v.entry == nil {
		return nil
	}
	all := map[string]string{}
	for rest := v.entry.text[v.entry.ends[len(v.entry.ends)-1]:]; rest != ""; {
		var name string
		name, rest = next(rest)
		all[name], rest = next(rest)
	}
	return all
}

var standardClaims = [...]string{"sub", "jti", "sid", "client_id"}

type digest = [sha256.Size]byte

// entry is one valid token. Everything but hits stays as it was made.
type entry struct {
	key digest
	// from and until are nanoseconds of Unix time: when it was verified, and when it expires.
	from, until int64
	kid         string // the verifier's, shared by all entries
	// text holds the standard claims one after the other, then the custom ones: name and value, each after its length in
	// two bytes. One piece of memory a token, instead of a map and ten.
	text string
	ends [len(standardClaims)]uint16
	hits atomic.Uint32 // up to maxHits
}

// maxHits is how often the hand passes an entry that was used, at most.
const maxHits = 2

// latest is the last `exp` that is kept, in Unix time (the year 2242): later ones do not fit in nanoseconds.
const latest = 1 << 33

// newEntry makes the entry of a token that was found valid now. One that cannot be kept holds at no time.
func newEntry(key digest, now time.Time, skew time.Duration, kid string, c token.Claims) *entry {
	e := &entry{key: key, kid: kid}
	if c.ExpiresAt.Unix() < latest {
		e.from, e.until = now.UnixNano(), c.ExpiresAt.Add(skew).UnixNano()
	}
	size := len(c.Subject) + len(c.ID) + len(c.SessionID) + len(c.ClientID)
	for name, value := range c.Custom {
		size += 4 + len(name) + len(value)
	}
	text := make([]byte, 0, size)
	for i, value := range [...]string{c.Subject, c.ID, c.SessionID, c.ClientID} {
		text = append(text, value...)
		e.ends[i] = uint16(len(text)) //nolint:gosec // the claims are a part of a token, which has 8 KiB at most
	}
	for name, value := range c.Custom {
		for _, s := range [...]string{name, value} {
			text = binary.BigEndian.AppendUint16(text, uint16(len(s))) //nolint:gosec // as above
			text = append(text, s...)
		}
	}
	e.text = unsafe.String(unsafe.SliceData(text), len(text)) // nobody else has it
	return e
}

func (e *entry) standard(i int) string {
	if e == nil {
		return ""
	}
	begin := uint16(0)
	if i > 0 {
		begin = e.ends[i-1]
	}
	return e.text[begin:e.ends[i]]
}

func (e *entry) custom(name string) string {
	if e == nil {
		return ""
	}
	for rest := e.text[e.ends[len(e.ends)-1]:]; rest != ""; {
		var found, value string
		found, rest = next(rest)
		value, rest = next(rest)
		if found == name {
			return value
		}
	}
	return ""
}

// next takes one text off, and returns the rest.
func next(s string) (text, rest string) {
	n := 2 + int(s[0])<<8 + int(s[1])
	return s[2:n], s[n:]
}

// holdsAt tells whether what was true when the token was verified is true now.
func (e *entry) holdsAt(now int64) bool { return e.from <= now && now < e.until }

// used notes a hit.
func (e *entry) used() {
	if e.hits.Load() < maxHits { // mostly not: then nothing is written that other cores read
		e.hits.Add(1)
	}
}

// overhead is what an entry takes beside its text: itself, its place in the index, which is two thirds full on average,
// and in a queue. Measured; a test measures again.
const overhead = int64(unsafe.Sizeof(entry{})) + 40*3/2 + 8*3/2

func (e *entry) bytes() int64 { return overhead + int64(len(e.text)+15)&^15 }

// digestOf is the SHA-256 of raw, without a copy of it.
func digestOf(raw string) digest {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw)))
}
