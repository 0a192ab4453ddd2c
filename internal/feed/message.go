package feed

import (
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// The paths of the feed.
const (
	StreamPath = "/feed/v1/revocations"
	LeasePath  = "/feed/v1/leases"
)

// The rhythm of the feed. A client takes silence of silenceAfter for a dead connection.
const (
	beatEvery    = time.Second
	reportEvery  = time.Second
	reportFast   = 100 * time.Millisecond
	silenceAfter = 5 * time.Second
	writeWithin  = 5 * time.Second
)

// Bounds.
const (
	maxLine    = 4 << 10
	maxStreams = 1024
	maxEdges   = 4096
	pageSize   = 1000
	// maxEdgeName leaves room for the process behind a name of the length that Kubernetes allows.
	maxEdgeName = 280
)

// message is one line of the stream. Exactly one of its kinds is set.
type message struct {
	// Entry is a revocation; after Synced was sent, Prev is the number of the line before it.
	Entry *revocation.Entry `json:"entry,omitempty"`
	Prev  uint64            `json:"prev,omitempty"`
	// Synced ends the complete list, which is everything up to this number.
	Synced *uint64 `json:"synced,omitempty"`
	// Store names, beside Synced, the store whose numbers these are.
	Store string `json:"store,omitempty"`
	// Beat says that nothing is newer than this number.
	Beat *uint64 `json:"beat,omitempty"`
}

// report is what an edge posts.
type report struct {
	// Edge is name#process: two processes of one name are two edges.
	Edge    string `json:"edge"`
	Applied uint64 `json:"applied"`
	// Store is the one that Applied is a number of.
	Store string `json:"store,omitempty"`
	// Leaving gives the lease back: the edge has stopped to decide.
	Leaving bool `json:"leaving,omitempty"`
}

// acknowledgement is the answer to a report.
type acknowledgement struct {
	// Lease is how long the server counts on the edge, from the receipt on.
	Lease snapshot.Duration `json:"lease"`
	// Last is the number of the newest revocation, read after the lease was noted.
	Last uint64 `json:"last"`
}

var errGap = errors.New("the stream has a gap")
