package revocation

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what an [Entry] distrusts.
type Kind string

// The kinds of entries.
const (
	// Session distrusts the session whose id is Value.
	Session Kind = "session"
	// User distrusts every session of the user (`sub`) Value whose number is below Before.
	User Kind = "user"
	// All distrusts every session whose number is below Before.
	All Kind = "all"
	// Key distrusts every token signed by the key whose `kid` is Value.
	Key Kind = "key"
	// TokenID distrusts the one access token whose `jti` is Value.
	TokenID Kind = "jti"
	// Legacy distrusts the one legacy session whose cookie has the hash Value, see [LegacyHash].
	Legacy Kind = "legacy"
)

// MaxValueBytes bounds [Entry.Value].
const MaxValueBytes = 512

// Entry is one numbered revocation, as stored and as sent to the edges.
type Entry struct {
	// Seq is the entry's own number in the store's sequence; never 0, never used twice.
	Seq uint64 `json:"seq"`
	// Kind says what Value and Before mean.
	Kind Kind `json:"kind"`
	// Value is a session id, a user, a kid, a jti or a hash; empty for All.
	Value string `json:"value,omitempty"`
	// Before is a number of the sequence, for User and All; 0 otherwise.
	Before uint64 `json:"before,omitempty"`
	// Expires is when no credential that the entry could hit is alive any more.
	Expires time.Time `json:"expires"`
}

// ErrMalformed is returned for an entry that does not say what it distrusts.
var ErrMalformed = errors.New("malformed revocation")

// Check tells why an entry is not usable, with [ErrMalformed].
func (e Entry) Check() error {
	if e.Seq == 0 {
		return fmt.Errorf("%w: no number", ErrMalformed)
	}
	return e.CheckContent()
}

// CheckContent is [Entry.Check] for an entry that has no number yet.
func (e Entry) CheckContent() error {
	if len(e.Value) > MaxValueBytes {
		return fmt.Errorf("%w: the value has %d bytes, at most %d", ErrMalformed, len(e.Value), MaxValueBytes)
	}
	switch e.Kind {
	case Session, Key, TokenID, Legacy:
		if e.Value == "" || e.Before != 0 {
			return fmt.Errorf("%w: kind %s needs a value and no number", ErrMalformed, e.Kind)
		}
	case User:
		if e.Value == "" || e.Before == 0 {
			return fmt.Errorf("%w: kind user needs a user and a number", ErrMalformed)
		}
	case All:
		if e.Value != "" || e.Before == 0 {
			return fmt.Errorf("%w: kind all needs a number and no value", ErrMalformed)
		}
	default:
		return fmt.Errorf("%w: unknown kind", ErrMalformed)
	}
	if e.Expires.IsZero() {
		return fmt.Errorf("%w: no expiry", ErrMalformed)
	}
	return nil
}
