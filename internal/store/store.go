package store

import (
	"context"
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
)

// ErrUnavailable is wrapped by every error of a store that could not do what was asked. Nothing is known about the
// outcome then; nothing was acknowledged.
var ErrUnavailable = errors.New("the session store is not available")

// ErrExists is returned where a family that lives has the selector of [NewFamily.Token] already. Nothing was changed.
var ErrExists = errors.New("a family with this token's selector lives already")

// NewFamily asks for a family.
type NewFamily struct {
	Owner  Owner
	Now    time.Time
	Limits Limits
	// AccessExpiry is the `exp` of the access token that goes with it.
	AccessExpiry time.Time
	// Token is the family's first token, such as [DeriveToken] makes; zero: a random one. A family that has its selector
	// and is over is replaced: what is still distrusted of it stays so.
	Token Token
	// Until is when the family ends at the latest, whatever the limits say; zero: they alone say it.
	Until time.Time
}

// First is the family's first token.
func (n NewFamily) First() Token {
	if n.Token.Zero() {
		return NewToken()
	}
	return n.Token
}

// Expiries are when the family ends if it is not used, and in any case.
func (n NewFamily) Expiries() (idle, absolute time.Time) {
	absolute = n.Now.Add(n.Limits.Absolute)
	if !n.Until.IsZero() && n.Until.Before(absolute) {
		absolute = n.Until
	}
	return n.Now.Add(n.Limits.Idle), absolute
}

// Created is a new family with its first token.
type Created struct {
	Family Family
	Token  Token
	// Evicted is how many older families of the user were revoked to make room.
	Evicted int
}

// RotateRequest presents a refresh token.
type RotateRequest struct {
	Token  Token
	Now    time.Time
	Limits Limits
	// AccessExpiry is the `exp` of the access token that goes out with the successor.
	AccessExpiry time.Time
	// Until moves the family's absolute end, if that is earlier; zero: it stays. What a family came of, a legacy session that
	// is used, may live longer than it seemed at first. A family that is over stays over.
	Until time.Time
}

// AbsoluteExpiry is when a family ends in any case, after the step.
func (r RotateRequest) AbsoluteExpiry(f Family) time.Time {
	if r.Until.After(f.AbsoluteExpiry) {
		return r.Until
	}
	return f.AbsoluteExpiry
}

// RotateResult is what became of it.
type RotateResult struct {
	Outcome Outcome
	// Family is the family after the step; zero for Unknown.
	Family Family
	// Successor is the live token, for Rotated and Retried.
	Successor Token
}

// Inspection is what presenting a token would mean.
type Inspection struct {
	Outcome Outcome
	Family  Family
}

// Revoke asks for the revocation of a session.
type Revoke struct {
	SessionID string
	Now       time.Time
	Retention Retention
	// LatestExpiry is the latest `exp` of the session that the caller has seen, zero for none: a store that does not
	// know the session cannot know how long its tokens live.
	LatestExpiry time.Time
}

// Counted is the answer of a rate limit.
type Counted struct {
	Allowed bool
	// Remaining is how many more events are allowed now.
	Remaining int
	// Reset is when one more will be allowed, counted from now; 0 if one is allowed already.
	Reset time.Duration
}

// Families is the life of token families.
type Families interface {
	// Create stores a new family. Past Limits.MaxFamilies it revokes the user's least recently used ones. It fails with
	// [ErrExists] where the token was chosen by the caller and its family lives.
	Create(ctx context.Context, request NewFamily) (Created, error)
	// Inspect tells what presenting token would mean at this moment. It changes nothing and promises nothing.
	Inspect(ctx context.Context, token Token, now time.Time, window time.Duration) (Inspection, error)
	// Rotate presents a token. The whole step is atomic; an error leaves the family either untouched or rotated,
	// and then the retry window returns the successor.
	Rotate(ctx context.Context, request RotateRequest) (RotateResult, error)
}

// Revoker distrusts.
type Revoker interface {
	// RevokeSession ends the session's family, if the store knows it, and appends an entry. It returns the entry's
	// number; for a session that was revoked already, the number it has.
	RevokeSession(ctx context.Context, request Revoke) (uint64, error)
	// Append writes an entry of any kind and returns its number. entry.Seq is ignored; Before 0 of a user or of all
	// becomes that number: every session so far. Families that the entry hits end with it. The same id, e.g. an
	// object's UID, is written once: again it returns the number it has. An empty id is always written.
	Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error)
}

// Log is the ordered list of revocations.
type Log interface {
	// Revocations returns up to limit live entries with a number above after, in order, and whether there are more.
	Revocations(ctx context.Context, after uint64, limit int) (entries []revocation.Entry, more bool, err error)
	// Last is the number of the newest revocation ever written, 0 for none.
	Last(ctx context.Context) (uint64, error)
	// Subscribe returns a channel that gets a value after a revocation was written (several may make one) and a
	// function that ends the subscription.
	Subscribe() (<-chan struct{}, func())
}

// Limiter counts events, so that somebody can do only so much in a time.
type Limiter interface {
	// Take counts one event under key, exactly limit in any span of window. Refused events do not count.
	Take(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (Counted, error)
	// Refund takes back the newest event that was counted under key. Where there is none, nothing happens.
	Refund(ctx context.Context, key string) error
}

// MaxPlaces is how many places an account is acquainted with; one more replaces the one used least recently.
const MaxPlaces = 32

// Acquaintances remembers from which places, such as client addresses, an account has logged in. Both are opaque.
type Acquaintances interface {
	// Acquaint notes place for account until expires. Noting it again moves the expiry.
	Acquaint(ctx context.Context, account, place string, now, expires time.Time) error
	// Acquainted tells whether place was noted for account and has not expired.
	Acquainted(ctx context.Context, account, place string, now time.Time) (bool, error)
}

// Lease is the promise of one edge: for Left it decides by a list that has every revocation up to Applied.
type Lease struct {
	Edge    string
	Applied uint64
	// Left is how long the lease lasts by the store's own clock; 0 or less: it ran out so long ago.
	Left time.Duration
}

// LeaseTable is every lease that the store knows.
type LeaseTable struct {
	Leases []Lease
	// Kept is how long, as far as this process knows, the server at hand has kept leases without losing any: one that
	// took over from a failed primary may lack those of the last moments. It is at least 0.
	Kept time.Duration
}

// Leases are the leases of all edges, where several token services share a store. Backends for one process have none:
// that process remembers them itself.
type Leases interface {
	// PutLease notes what an edge has applied; its lease lasts for length from now on, by the store's clock. It is
	// kept for a minute longer, as one that ran out.
	PutLease(ctx context.Context, edge string, applied uint64, length time.Duration) error
	// DropLease forgets an edge that has stopped to decide.
	DropLease(ctx context.Context, edge string) error
	// Leases returns the table.
	Leases(ctx context.Context) (LeaseTable, error)
}

// Keeper looks after the store.
type Keeper interface {
	// Compact forgets what expired before now and returns how many families and entries went.
	Compact(ctx context.Context, now time.Time) (int, error)
	// ID is random and stays with what is stored: numbers of another store mean something else. It is empty while it is
	// not known, and changes when the server behind it was emptied or replaced.
	ID() string
	// Close ends the store. Operations under way end first.
	Close() error
}

// Store is everything a backend does. Consumers declare the parts they use.
type Store interface {
	Families
	Revoker
	Log
	Limiter
	Acquaintances
	Keeper
}

// Shared is a store that several token services use at once.
type Shared interface {
	Store
	Leases
}
