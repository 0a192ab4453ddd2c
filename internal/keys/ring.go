package keys

import (
	"bytes"
	"slices"
	"time"
)

// Algorithm is a JWS algorithm (RFC 7518, RFC 8037). The zero value is invalid.
type Algorithm string

// The algorithms that a set may use.
const (
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
)

// RSA tells whether the key size is a choice.
func (a Algorithm) RSA() bool { return a == RS256 || a == PS256 }

// State is where a key is in its life. The zero value is invalid.
type State string

// The states in their order. A key goes forward only, but for Published, which falls back to Pending when a replica is
// seen without the key.
const (
	Pending   State = "Pending"   // in the ring and in JWKS, not yet loaded by every replica
	Published State = "Published" // loaded by every replica; the standby
	Active    State = "Active"    // signs
	Retiring  State = "Retiring"  // verifies only
	Removed   State = "Removed"   // tombstone: expired
	Revoked   State = "Revoked"   // tombstone: distrusted
)

// Key is one key of the ring. It never holds the private half.
type Key struct {
	// KID is the RFC 7638 thumbprint of PublicJWK. This package compares it and never computes it.
	KID       string
	Algorithm Algorithm
	// Bits is the RSA modulus size; zero for other algorithms.
	Bits int
	// Brought tells that the key was taken from its owner's source, not made for the set.
	Brought bool
	// Sequence names the private Secret and orders the keys of a set; it begins at 1 and is never used twice.
	Sequence int64
	State    State
	// PublicJWK is the public half as JSON. This package never reads it.
	PublicJWK []byte

	// The instants of the transitions, by the manager's clock; zero until it happened.
	Created, Published, Activated, Retiring time.Time
	// VerifyUntil is when a Retiring key may go. Zero means open: a signer may still use the key.
	VerifyUntil time.Time
	// MaxTTL is the highest access-token lifetime in force while the key signed.
	MaxTTL time.Duration
}

// signed tells whether a token may exist that was signed with the key.
func (k *Key) signed() bool { return k.State == Active || k.State == Retiring }

// Tombstone remembers a kid that is gone, so that it never returns.
type Tombstone struct {
	KID      string
	Sequence int64
	State    State // Removed or Revoked
	Time     time.Time
}

// Ring is the truth about a key set. The zero value is a set that has no ring yet. A Ring is a value with slices: use
// Clone before changing one that is shared.
type Ring struct {
	// Epoch grows by one with each write. Replicas refuse a document with a lower one.
	Epoch int64
	// Revision grows by one when the set of published public keys changes: the revision of the JWKS.
	Revision int64
	// NextSequence is the lowest sequence that no key of this set has ever had; zero counts as 1.
	NextSequence int64
	// RotateHandled is the last rotation request that was carried out, in the words of the request.
	RotateHandled string
	// Keys are ordered by sequence.
	Keys []Key
	// Tombstones are ordered by time; the last MaxRemoved Removed ones and MaxRevoked Revoked ones are kept.
	Tombstones []Tombstone
	// Taken are the kids of all brought keys that the set has ever had, in the order in which they came: at most MaxTaken. A source
	// may offer them for ever, and none is taken twice.
	Taken []string
}

// Bounds of a ring.
const (
	// MaxKeys is how many keys a ring holds before ordinary rotations wait for older keys to be removed.
	MaxKeys = 16
	// MaxRemoved is how many tombstones of expired keys are kept.
	MaxRemoved = 64
	// MaxRevoked is how many tombstones of revoked keys are kept: as good as all, in a ring that still fits a Secret.
	MaxRevoked = 2000
	// MaxTaken is how many brought keys are remembered. A set that has had so many takes none any more: it could not tell a new
	// one from one that was removed.
	MaxTaken = 1000
)

// Active returns the key that signs, nil if there is none. It points into the ring.
func (r *Ring) Active() *Key {
	for i := range r.Keys {
		if r.Keys[i].State == Active {
			return &r.Keys[i]
		}
	}
	return nil
}

// Standby returns the key that would be activated next, Published before Pending, then by sequence; nil if there is none.
func (r *Ring) Standby() *Key {
	for _, state := range []State{Published, Pending} {
		for i := range r.Keys {
			if r.Keys[i].State == state {
				return &r.Keys[i]
			}
		}
	}
	return nil
}

// Publishable returns the keys whose public halves replicas and JWKS carry (Pending, Published, Active, Retiring),
// ordered by sequence. The slice is new; the JWKs are shared.
func (r *Ring) Publishable() []Key { return slices.Clone(r.Keys) }

// Key returns the key with that kid, nil if there is none. It points into the ring.
func (r *Ring) Key(kid string) *Key {
	for i := range r.Keys {
		if r.Keys[i].KID == kid {
			return &r.Keys[i]
		}
	}
	return nil
}

// TTLCap is the longest access-token lifetime that a signer may grant: the Active key's MaxTTL, zero if nothing signs.
// An issuer snapshot carries the lower of the policy's lifetime and this; see the package documentation.
func (r *Ring) TTLCap() time.Duration {
	if k := r.Active(); k != nil {
		return k.MaxTTL
	}
	return 0
}

// EverActive tells whether a key of the set has ever signed. A key that signed leaves the ring only after another one has.
func (r *Ring) EverActive() bool {
	return slices.ContainsFunc(r.Keys, func(k Key) bool { return k.signed() })
}

// Clone returns a deep copy.
func (r *Ring) Clone() *Ring {
	c := *r
	c.Keys = slices.Clone(r.Keys)
	for i := range c.Keys {
		c.Keys[i].PublicJWK = bytes.Clone(c.Keys[i].PublicJWK)
	}
	c.Tombstones = slices.Clone(r.Tombstones)
	c.Taken = slices.Clone(r.Taken)
	return &c
}
