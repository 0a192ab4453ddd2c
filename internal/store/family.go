package store

import "time"

// Owner is the user that a family belongs to, with what it takes to ask the identity source again.
type Owner struct {
	// Subject is `sub`.
	Subject string `json:"subject"`
	// Name is the user's name in the identity source Source.
	Name   string `json:"name"`
	Source string `json:"source"`
	// Client is the OAuth client that the tokens were issued to (RFC 6749, section 6); empty for none.
	Client string `json:"client,omitempty"`
	// Role and Claims are kept if the identity source cannot be asked for them again.
	Role   string            `json:"role,omitempty"`
	Claims map[string]string `json:"claims,omitempty"`
}

// Limits are the rules a family lives by; they come from the policy in force at each operation.
type Limits struct {
	// Idle is how long an unused token stays good, Absolute how long the family lives from its creation on.
	Idle, Absolute time.Duration
	// RetryWindow is how long the token just replaced still returns the same successor; 0 means never.
	RetryWindow time.Duration
	// MaxFamilies is how many families a user may have; 0 means any number.
	MaxFamilies int
	// Retention is how long the revocation of the family is kept.
	Retention Retention
}

// Retention says how long a revocation must be remembered: until no access token that it could hit is inside its
// life, by any clock.
type Retention struct {
	// AccessTTL is the longest life of an access token in force. A session that had one which lives longer is
	// remembered longer.
	AccessTTL time.Duration
	// Slack is added for clocks that disagree: twice the skew.
	Slack time.Duration
}

// From is when a revocation made at now may be forgotten; latest is the latest known `exp` of a token that it hits.
func (r Retention) From(now, latest time.Time) time.Time {
	expiry := now.Add(r.AccessTTL)
	if latest.After(expiry) {
		expiry = latest
	}
	return expiry.Add(r.Slack)
}

// Family is one login: what is stored of it.
type Family struct {
	Owner
	// SessionID is `sid`; it begins with Number.
	SessionID string `json:"sid"`
	Number    uint64 `json:"number"`
	// Generation counts rotations.
	Generation uint64    `json:"generation"`
	Created    time.Time `json:"created"`
	// LastUsed is the time of the last rotation.
	LastUsed time.Time `json:"lastUsed"`
	// IdleExpiry and AbsoluteExpiry end the family; the earlier counts.
	IdleExpiry     time.Time `json:"idleExpiry"`
	AbsoluteExpiry time.Time `json:"absoluteExpiry"`
	// AccessExpiry is the latest `exp` of an access token of this session.
	AccessExpiry time.Time `json:"accessExpiry"`
	// Current is the hash of the live token; Previous of the one it replaced, at LastUsed; Successor is the live
	// token sealed under the previous one.
	Current   TokenHash `json:"current"`
	Previous  TokenHash `json:"previous"`
	Successor []byte    `json:"successor,omitempty"`
	// RevokedSeq is the number of the entry that revoked the family; 0 while it lives.
	RevokedSeq uint64 `json:"revokedSeq,omitempty"`
	// ForgetAfter is when a revoked family may be forgotten.
	ForgetAfter time.Time `json:"forgetAfter,omitzero"`
}

// Expiry is when the family ends without further use.
func (f Family) Expiry() time.Time {
	if f.AbsoluteExpiry.Before(f.IdleExpiry) {
		return f.AbsoluteExpiry
	}
	return f.IdleExpiry
}

// Over tells whether the family has ended: revoked, by an entry of its own or of all, or expired.
func (f Family) Over(now time.Time, revokedBefore uint64) bool {
	return f.RevokedSeq != 0 || f.Number < revokedBefore || !now.Before(f.Expiry())
}

// TakesPlace tells whether the family counts against [Limits.MaxFamilies]. One that ends with its first access token, as
// exchanges without a refresh token make them, does not: many of them must not end a session that somebody lives in.
func (f Family) TakesPlace() bool { return f.Expiry().Sub(f.AccessExpiry) >= time.Second }

// Outcome is what became of a presented refresh token. The zero value denies.
type Outcome string

// The outcomes. Only Rotated and Retried carry a live token.
const (
	// Unknown: no such family.
	Unknown Outcome = ""
	// Rotated: the token was the live one; it is replaced.
	Rotated Outcome = "rotated"
	// Retried: the token was replaced a moment ago; here is the same successor again.
	Retried Outcome = "retried"
	// Reused: the token was replaced earlier. The family is revoked.
	Reused Outcome = "reused"
	// Expired: the family's time is over.
	Expired Outcome = "expired"
	// Revoked: the family was revoked before.
	Revoked Outcome = "revoked"
)

// Judge decides, without changing anything, what presenting a token of this family means. revokedBefore is the
// number below which all families are revoked, 0 for none. Every backend decides as this function does.
func (f Family) Judge(presented TokenHash, now time.Time, window time.Duration, revokedBefore uint64) Outcome {
	switch {
	case f.RevokedSeq != 0 || f.Number < revokedBefore:
		return Revoked
	case !now.Before(f.Expiry()):
		return Expired
	case f.Current.Equal(presented):
		return Rotated
	case f.Generation > 0 && f.Previous.Equal(presented) && now.Before(f.LastUsed.Add(window)):
		return Retried
	default:
		return Reused
	}
}
