package tokencache

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/keyturn/keyturn/internal/token"
)

type digest = [sha256.Size]byte

// digestOf is the SHA-256 of raw, without a copy of it.
func digestOf(raw string) digest {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw)))
}

// short is the part of a digest by which a record is looked up, and then compared with all of it. Of two tokens with the
// same one, the cache knows the one that came last.
func short(key digest) uint64 { return binary.LittleEndian.Uint64(key[8:]) }

var standardClaims = [...]string{"sub", "jti", "sid", "client_id"}

// record is one valid token, without its text. It has no pointers: the collector never looks into a segment, however
// many tokens there are. Everything but hits stays as it was made.
type record struct {
	key digest
	// from and until are nanoseconds of Unix time: when it was verified, and when it expires.
	from, until int64
	hits        uint32 // atomic; up to maxHits
	// begin and size tell which part of the segment's text is its own, ends where in that each standard claim ends.
	begin, size uint16
	ends        [len(standardClaims)]uint16
	kid         uint16 // which of the cache's
}

// maxHits is how often the hand passes a record that was used, at most.
const maxHits = 2

// latest is the last `exp` that is kept, in Unix time (the year 2242): later ones do not fit in nanoseconds.
const latest = 1 << 33

// holdsAt tells whether what was true when the token was verified is true now.
func (r *record) holdsAt(now int64) bool { return r.from <= now && now < r.until }

// used notes a hit.
func (r *record) used() {
	if atomic.LoadUint32(&r.hits) < maxHits { // mostly not: then nothing is written that other cores read
		atomic.AddUint32(&r.hits, 1)
	}
}

// overhead is what a record takes beside its text: itself, its place in the index, which is two thirds full on average,
// and its share of what is empty in the segments; where more is empty, the queue counts it. Measured; a test measures again.
const (
	overhead    = recordBytes + 17*3/2 + emptyShare
	recordBytes = int64(unsafe.Sizeof(record{}))
	emptyShare  = 40
)

func (r *record) bytes() int64 { return overhead + int64(r.size) }

// newRecord makes the record of a token that was found valid now, and writes its text behind room: the standard claims
// one after the other, then the custom ones, name and value, each after its length in two bytes. One that cannot be kept
// holds at no time.
func newRecord(room []byte, key digest, now time.Time, skew time.Duration, c token.Claims) (record, []byte) {
	r, text := record{key: key}, room
	if c.ExpiresAt.Unix() < latest {
		r.from, r.until = now.UnixNano(), c.ExpiresAt.Add(skew).UnixNano()
	}
	for i, value := range [...]string{c.Subject, c.ID, c.SessionID, c.ClientID} {
		text = append(text, value...)
		r.ends[i] = uint16(len(text)) //nolint:gosec // the claims are a part of a token, which has 8 KiB at most
	}
	for name, value := range c.Custom {
		for _, s := range [...]string{name, value} {
			text = binary.BigEndian.AppendUint16(text, uint16(len(s))) //nolint:gosec // as above
			text = append(text, s...)
		}
	}
	r.size = uint16(len(text)) //nolint:gosec // as above
	return r, text
}

// entry is a record where it lies. The zero value is none. It stays what it is, also when the cache forgets it.
type entry struct {
	*record
	text string
}

func (e entry) standard(i int) string {
	if e.record == nil {
		return ""
	}
	begin := uint16(0)
	if i > 0 {
		begin = e.ends[i-1]
	}
	return e.text[begin:e.ends[i]]
}

// customs is the text of the custom claims.
func (e entry) customs() string {
	if e.record == nil {
		return ""
	}
	return e.text[e.ends[len(e.ends)-1]:]
}

func (e entry) custom(name string) string {
	for rest := e.customs(); rest != ""; {
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
