package feed

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// What the token services note for each other beside the leases, as leases of edges whose names no edge may have.
//
//   - lengthNote and a length: leases of that length are granted. It holds noteFor, is written before the first of them,
//     and again when half of that has passed or it is found lost; so it is there for longer than they are, and tells a
//     token service how long it may have to wait for those that the store has lost.
//   - endedNote and the hash of an edge's name: at that moment another process of the name reported for the first time.
const (
	lengthNote = "\tlength "
	endedNote  = "\tended "
	noteFor    = 10 * time.Minute
	endedFor   = 5 * time.Minute
)

func endedNoteOf(edge string) string {
	sum := sha256.Sum256([]byte(edge))
	return endedNote + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// heldFor is how long the store keeps a lease of a length: somewhat longer than the edge counts, so that the clocks of
// the two may run at different rates. Quartz is wrong by less than one in a thousand; this is one in 64.
func heldFor(length time.Duration) time.Duration { return length + length/64 }

// table is the leases that a store knows, read at one moment. It is immutable.
type table struct {
	edges []store.Lease
	// ended is, for edges that were followed by another process of their name, how long the note of it still lasts.
	ended map[string]time.Duration
	// lengths is, for each length of leases, how long they are known to be granted.
	lengths map[time.Duration]time.Duration
	kept    time.Duration
	read    time.Time // when the reading began
}

func newTable(raw store.LeaseTable, read time.Time) *table {
	t := &table{ended: map[string]time.Duration{}, lengths: map[time.Duration]time.Duration{}, kept: raw.Kept, read: read}
	for _, l := range raw.Leases {
		switch {
		case strings.HasPrefix(l.Edge, lengthNote):
			if l.Left > 0 {
				t.lengths[time.Duration(l.Applied)] = l.Left //nolint:gosec // as written
			}
		case strings.HasPrefix(l.Edge, endedNote):
			t.ended[l.Edge] = l.Left
		default:
			t.edges = append(t.edges, l)
		}
	}
	return t
}

// followed tells whether an edge has not reported since another process of its name did for the first time. length is
// that of today's leases. One that was granted a longer one seems to have reported later, and counts on.
func (t *table) followed(l store.Lease, length time.Duration) bool {
	left, noted := t.ended[endedNoteOf(l.Edge)]
	return noted && l.Left-heldFor(length) <= left-endedFor
}

// judge decides about a number as [SharedLeases.Wait] does: wait while an edge that may decide without it holds a lease,
// and lost if one may decide without it nevertheless.
func (t *table) judge(number uint64, length, longest time.Duration) (wait, lost bool) {
	wait, lost = t.kept < heldFor(length), t.kept < heldFor(longest)
	for _, l := range t.edges {
		switch {
		case l.Applied >= number:
		case l.Left > 0:
			wait = true
		case !t.followed(l, length):
			lost = true
		}
	}
	return wait, lost
}
