package keys

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Next decides what to do now. It never panics and changes nothing that it is given. Calling it again and again, each
// time after carrying out what it said, comes to rest: a plan that neither writes nor generates.
//
// One plan may take several steps, in one write. Steps that record or compare a time wait while the manager's clock is doubted.
func Next(now time.Time, policy Policy, observed Observed) Plan {
	p := planner{now: now.UTC().Round(0), policy: policy, obs: &observed, ring: observed.Ring.Clone()}
	if p.refuse() {
		return p.plan
	}
	p.readClocks()
	p.condemn()
	p.dropLost()
	p.adopt()
	p.unpublish()
	p.publish()
	p.dropMismatched()
	p.reopen()
	p.closeVerification()
	p.expire()
	p.raiseTTL()
	p.takeOver()
	p.execute()
	p.rotate()
	p.commit()
	p.generate()
	p.collect()
	p.report()
	return p.plan
}

// planner carries one call of Next. The ring is a copy that the steps change in place.
type planner struct {
	now     time.Time
	policy  Policy
	obs     *Observed
	ring    *Ring
	plan    Plan
	changed bool

	doubted   bool // the manager's clock disagrees with the replicas'
	witnessed bool // at least one replica's clock is known and most agree with the manager's
}

// refuse stops a plan that would be built on sand.
func (p *planner) refuse() bool {
	if err := p.obs.Ring.Validate(); err != nil {
		p.find(RingInvalid, "", "the ring is refused: %v", err)
		return true
	}
	if err := p.policy.validate(); err != nil {
		p.find(PolicyInvalid, "", "the policy is refused: %v", err)
		p.find(StandbyMissing, "", "%s", p.plan.Findings[0].Message)
		p.plan.Next = &NextTransition{To: Active, BlockedBy: p.plan.Findings[0].Message}
		return true
	}
	if p.obs.EpochFloor > p.ring.Epoch {
		p.find(RestoreDetected, "", "epoch %d was recorded, the ring is at %d: the ring was lost or restored from a backup", p.obs.EpochFloor, p.ring.Epoch)
		return true
	}
	for _, r := range p.obs.Replicas {
		if r.Reachable && r.Epoch > p.ring.Epoch {
			p.find(RestoreDetected, "", "%s has loaded epoch %d, the ring is at %d: the ring was lost or restored from a backup", r.Name, r.Epoch, p.ring.Epoch)
			return true
		}
	}
	return false
}

func (p *Policy) validate() error {
	switch {
	case !slices.Contains(algorithms, p.Algorithm):
		return fmt.Errorf("algorithm %q is not one of RS256, PS256, ES256, EdDSA", p.Algorithm)
	case p.Algorithm.RSA() && !p.Brought && p.RSABits < 2048:
		return fmt.Errorf("an RSA key of %d bits is too small, use 2048 or more", p.RSABits)
	}
	return nil
}

// move takes a key to a state and records why.
func (p *planner) move(k *Key, to State, why Reason) {
	p.plan.Transitions = append(p.plan.Transitions, Transition{KID: k.KID, Sequence: k.Sequence, From: k.State, To: to, Reason: why})
	k.State = to
	p.changed = true
}

// bury takes a key out of the ring and leaves a tombstone of the state Removed or Revoked.
func (p *planner) bury(kid string, to State, why Reason) {
	k := p.ring.Key(kid)
	p.move(k, to, why)
	if k.Brought || p.policy.Brought { // a key whose origin was lost is one that the owner may have brought
		p.ring.remember(k.KID)
	}
	p.ring.Tombstones = buried(p.ring.Tombstones, Tombstone{KID: k.KID, Sequence: k.Sequence, State: to, Time: p.now})
	p.ring.Keys = slices.DeleteFunc(p.ring.Keys, func(k Key) bool { return k.KID == kid })
}

// buried adds a tombstone and forgets the oldest ones past the bound of their state.
func buried(stones []Tombstone, t Tombstone) []Tombstone {
	stones = append(stones, t)
	left := map[State]int{Removed: MaxRemoved, Revoked: MaxRevoked}
	for i := len(stones) - 1; i >= 0; i-- {
		if left[stones[i].State]--; left[stones[i].State] < 0 {
			stones = slices.Delete(stones, i, i+1)
		}
	}
	return stones
}

// commit turns the changed copy into the next ring.
func (p *planner) commit() {
	if !p.changed {
		return
	}
	slices.SortFunc(p.ring.Keys, func(a, b Key) int { return cmp.Compare(a.Sequence, b.Sequence) })
	p.ring.Epoch++
	if !samePublished(p.obs.Ring.Keys, p.ring.Keys) {
		p.ring.Revision++
	}
	p.plan.Ring = p.ring
}

// samePublished compares two lists of keys, both ordered by sequence.
func samePublished(a, b []Key) bool {
	return slices.EqualFunc(a, b, func(x, y Key) bool { return x.KID == y.KID })
}

// collect lists private Secrets that the observed ring has no use for: those of keys that are gone and of keys that never came in.
// A sequence below NextSequence that is not in the ring can never enter it again.
func (p *planner) collect() {
	for _, s := range p.obs.Stored {
		used := slices.ContainsFunc(p.obs.Ring.Keys, func(k Key) bool { return k.Sequence == s })
		if s < p.obs.Ring.NextSequence && !used {
			p.plan.Remove = append(p.plan.Remove, s)
		}
	}
	slices.Sort(p.plan.Remove)
}

func (p *planner) find(kind FindingKind, kid, format string, args ...any) {
	p.plan.Findings = append(p.plan.Findings, Finding{Kind: kind, KID: kid, Message: fmt.Sprintf(format, args...)})
}

// stamp is the time to record for a step that comes after others: never before them, even if the clock went back.
func (p *planner) stamp(after ...time.Time) time.Time {
	t := p.now
	for _, a := range after {
		if a.After(t) {
			t = a
		}
	}
	return t
}
