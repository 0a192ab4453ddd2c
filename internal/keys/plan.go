package keys

import "time"

// Plan is what to do now. Carry it out in this order: Ring, then the projections, then Remove. After a Generate or a
// Ring plan again at once. The zero value does nothing.
type Plan struct {
	// Ring is the next ring to write, in place of exactly the one observed; nil: nothing to write.
	Ring *Ring
	// Generate asks for a key: make it, store its Secret, and call [Next] again with it as Observed.Generated.
	// It never comes together with Ring.
	Generate *Generate
	// Remove lists sequences whose private Secrets are not needed any more by the ring that was observed. It never depends
	// on Ring being written.
	Remove []int64
	// Transitions are what Ring changes, for Events.
	Transitions []Transition
	// Next is the next activation, else the next removal, that is known; nil if none is.
	Next *NextTransition
	// Requeue is when to look again; 0: not without an event.
	Requeue time.Duration
	// Waiting names the replicas that have not acknowledged the ring, sorted.
	Waiting []string
	// Message answers the on-call question in one line; empty if nothing is waited for.
	Message string
	// Loaded of Total replicas have acknowledged the ring.
	Loaded, Total int
	// Findings are what is wrong, in a stable order.
	Findings []Finding
}

// Again tells that the plan changes something, so that the caller should plan again at once afterwards.
func (p *Plan) Again() bool { return p.Ring != nil || p.Generate != nil }

// Found returns the first finding of that kind, nil if there is none.
func (p *Plan) Found(kind FindingKind) *Finding {
	for i := range p.Findings {
		if p.Findings[i].Kind == kind {
			return &p.Findings[i]
		}
	}
	return nil
}

// Generate describes the key to make. Its Secret is created, never updated: a second manager collides. If the Secret
// exists already, load it and pass it as Observed.Generated, or as Observed.Spoiled if it is refused, and plan again: one that is of
// no use is passed over, and the next plan asks for a higher sequence.
type Generate struct {
	Sequence  int64
	Algorithm Algorithm
	Bits      int // zero unless RSA
	// Take is the kid of the offered key that is stored in place of one that is made; empty: make one.
	Take string
}

// Reason says why a transition happened. The values are stable.
type Reason string

// The reasons of transitions.
const (
	ReasonGenerated        Reason = "Generated"        // a new key is in the ring
	ReasonTaken            Reason = "Taken"            // a brought key is in the ring
	ReasonAcknowledged     Reason = "Acknowledged"     // every replica has loaded it
	ReasonUnacknowledged   Reason = "Unacknowledged"   // a replica was seen without it
	ReasonFirstKey         Reason = "FirstKey"         // the set had never signed
	ReasonInterval         Reason = "Interval"         // the interval is over
	ReasonRequested        Reason = "Requested"        // somebody asked
	ReasonAlgorithmChanged Reason = "AlgorithmChanged" // algorithm or size differ from the policy
	ReasonSourceChanged    Reason = "SourceChanged"    // it was made and keys are brought now, or the other way round
	ReasonMaterialLost     Reason = "MaterialLost"     // the private half is missing or refused
	ReasonNoActive         Reason = "NoActive"         // a rebuilt ring had no key that signs
	ReasonExpired          Reason = "Expired"          // the last token signed with it has expired
	ReasonRevoked          Reason = "Revoked"          // somebody distrusts the key
	ReasonClockCorrected   Reason = "ClockCorrected"   // its recorded time lies in the future
)

// Transition is one key's step. From is empty for a key that is new in the ring.
type Transition struct {
	KID      string
	Sequence int64
	From, To State
	Reason   Reason
}

// NextTransition announces a step. KID is empty if the key is not generated yet. NotBefore is zero if no time is
// waited for. BlockedBy is a line for humans; empty: only the time.
type NextTransition struct {
	KID       string
	To        State
	NotBefore time.Time
	BlockedBy string
}

// FindingKind is the kind of a finding; the values are stable and become condition types.
type FindingKind string

// The kinds of findings.
const (
	RotationOverdue FindingKind = "RotationOverdue" // late by more than 5 % of the interval, with replicas running
	KeyMaterialLost FindingKind = "KeyMaterialLost" // the private half of the Active key or a standby is missing or refused
	StandbyMissing  FindingKind = "StandbyMissing"  // fewer Published keys than the policy asks for
	ClockSkewed     FindingKind = "ClockSkewed"     // a clock is off by more than ClockSkew
	RestoreDetected FindingKind = "RestoreDetected" // a higher epoch is known: call Rebuild; nothing else is planned
	RingInvalid     FindingKind = "RingInvalid"     // the ring breaks its own rules: call Rebuild; nothing else is planned
	PolicyInvalid   FindingKind = "PolicyInvalid"   // no such algorithm or size; nothing is planned
	RingFull        FindingKind = "RingFull"        // MaxKeys reached: old keys wait for signers to acknowledge
	NoKeyLeft       FindingKind = "NoKeyLeft"       // a key is wanted, and the owner's source has none that can be taken

	RevocationPending     FindingKind = "RevocationPending"     // a revoked key is in the ring yet: the message says what it waits for
	RevocationUnconfirmed FindingKind = "RevocationUnconfirmed" // a revoked key has left the ring; some replicas may take it yet
	RevocationUnknown     FindingKind = "RevocationUnknown"     // a kid is to be revoked that the ring has never had
)

// Finding is something wrong, with one line for humans. KID is empty if it is about no single key.
type Finding struct {
	Kind    FindingKind
	KID     string
	Message string
}

// Remains is what is left of a set whose ring was deleted, edited or restored from an old backup.
type Remains struct {
	// Recorded are the keys as the object's status recorded them; PublicJWK may be empty, Removed and Revoked ones become
	// tombstones.
	Recorded []Key
	// Material are the public halves derived from the private Secrets that exist: KID, Algorithm, Bits, Sequence, PublicJWK.
	Material []Key
	// Seen are the public halves that replicas hold: KID, Algorithm, PublicJWK.
	Seen []Key
	// Tombstones are those known elsewhere (the restored ring, the session store); they win over everything.
	Tombstones []Tombstone
	// EpochFloor, RevisionFloor and SequenceFloor are the highest ones known from status, documents, replicas, Secrets and a ring.
	EpochFloor, RevisionFloor, SequenceFloor int64
	// Restored tells that the ring was brought back from an old backup: no recorded key may sign again, because replicas may
	// have forgotten it; all of them verify only, and a fresh key is made.
	Restored bool
	// Revoked are kids that are known to be revoked: they do not return.
	Revoked []string
	// Taken are kids of brought keys that the set is known to have had: none is taken again.
	Taken []string
	// Newer are the kids of a document that is newer than the ring which was restored; none: no such document is known. A key of
	// the restored ring that is not among them was buried after the backup, and does not return either.
	Newer []string
	// RotateHandled is the last rotation request that the status acknowledged.
	RotateHandled string
}
