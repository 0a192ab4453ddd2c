package keys

import "time"

// MaxAccessTTL is the longest access-token lifetime that the API allows.
const MaxAccessTTL = time.Hour

// Policy is what the owner of the set wants. Durations that are zero or negative mean "no wait".
type Policy struct {
	// UID is the identity of the set; it spreads rotations of many sets over 5 % of the interval. Empty:
	// no spread.
	UID       string
	Algorithm Algorithm
	// RSABits is the modulus size of new keys; used with RS256 and PS256 only, and not with Brought.
	RSABits int
	// Brought tells that the owner brings the keys: where one would be made, the next of Observed.Offered is taken, or none.
	// A brought key has the size that it has. A change of it is like one of the algorithm: the next key is of the other kind.
	Brought bool
	// Manual turns off rotation by time. Requests, lost keys and algorithm changes still rotate.
	Manual bool
	// Interval is how long a key signs. Zero with Manual false counts as Manual.
	Interval time.Duration
	// PrePublish is how long a key is published everywhere before it may sign.
	PrePublish time.Duration
	// Standby is how many keys are kept published ahead, 0 to 2.
	Standby int
	// ClockSkew is the largest difference between any two clocks.
	ClockSkew time.Duration
	// AccessTTL is the highest access-token lifetime over all token policies that use the set.
	AccessTTL time.Duration
	// MaxPropagation is how long a revoked key that signed goes on verifying, at most, while its signers change over to the next:
	// the highest over all token policies that use the set.
	MaxPropagation time.Duration
}

// bits is the size of a new key that is made: zero where the algorithm fixes it.
func (p *Policy) bits() int {
	if p.Algorithm.RSA() && !p.Brought {
		return p.RSABits
	}
	return 0
}

// matches tells whether a key is of the kind that the policy asks for.
func (p *Policy) matches(k *Key) bool {
	sized := k.Bits == p.bits() || p.Brought && p.Algorithm.RSA() && k.Bits >= 2048
	return k.Algorithm == p.Algorithm && k.Brought == p.Brought && sized
}

// MaterialState is what is known about the private half of a key. The zero value is "not known": such a key is not
// activated, and it does not count as lost.
type MaterialState string

// The states of a private half.
const (
	MaterialPresent MaterialState = "Present"
	MaterialMissing MaterialState = "Missing" // a live read found no Secret
	MaterialInvalid MaterialState = "Invalid" // a Secret that was refused: foreign, edited, swapped, undersized
)

func (m MaterialState) lost() bool { return m == MaterialMissing || m == MaterialInvalid }

// Replica is what one pod reported about itself, from its container's start until it is gone, terminating included.
type Replica struct {
	Name string
	// Signer is true for a token service, false for an edge.
	Signer bool
	// Reachable tells that the rest is a report; an unreachable replica acknowledges nothing.
	Reachable bool
	// Epoch of the document it has loaded; zero: none yet.
	Epoch int64
	// KIDs are the public keys of that document.
	KIDs []string
	// ActiveKID is what a signer signs with; empty if it cannot sign.
	ActiveKID string
	// LatestExp is the latest expiry that a signer has signed, by kid.
	LatestExp map[string]time.Time
	// Clock is what the replica said the time was, Read what the manager's clock said when the answer came. Either may be
	// zero: unknown. A report read more than ten minutes ago counts as one that contradicts the clock.
	Clock, Read time.Time
}

// has tells whether the replica is known to hold the public half of kid.
func (r *Replica) has(kid string) bool {
	if !r.Reachable {
		return false
	}
	for _, k := range r.KIDs {
		if k == kid {
			return true
		}
	}
	return false
}

// Observed is what the caller has read. Read the ring live and first, then list the replicas and ask them, then take the
// time: that order errs on the safe side.
type Observed struct {
	// Ring is zero if the set has none. If a ring should be there and is not, call [Rebuild] first.
	Ring Ring
	// EpochFloor is the highest epoch known from elsewhere, such as the status and the documents; zero if none is. A ring below it
	// was lost or restored, even if no replica runs that remembers.
	EpochFloor int64
	// Replicas is complete. An empty list acknowledges nothing.
	Replicas []Replica
	// Material is the state of the private half by kid.
	Material map[string]MaterialState
	// Stored lists the sequences of the private Secrets of this set that exist and are ours to delete.
	Stored []int64
	// Offered are the keys of the owner's source, in the order in which they are to be taken: KID, Algorithm and Bits are read. Keys
	// that the set has had may be among them. It counts only with Policy.Brought.
	Offered []Key
	// NoneLeft says in one line why nothing more can be taken, and how to mend that; repeated wherever a key is missing.
	NoneLeft string
	// Generated is a key whose private Secret exists and is sound, and which is not in the ring: the answer to
	// [Plan.Generate], or what a crash left behind (the Secret of Ring.NextSequence or above). State and times are ignored. One that is
	// not adopted says that no lower sequence is free either.
	Generated *Key
	// Spoiled lists sequences from Ring.NextSequence on whose Secret exists and cannot be used.
	Spoiled []int64
	// RotateRequested is the rotation request, in the words of the annotation. It is carried out once, when it differs
	// from Ring.RotateHandled.
	RotateRequested string
	// Revoke lists the kids that somebody wants revoked, in a stable order. A kid stays listed for as long as it is wanted; one
	// that is revoked already costs nothing.
	Revoke []string
}
