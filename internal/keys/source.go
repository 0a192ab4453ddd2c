package keys

import (
	"fmt"
	"slices"
)

// Knows tells whether the set has a key of that kid, or is known to have had one.
func (r *Ring) Knows(kid string) bool {
	return r.Key(kid) != nil || buriedIn(r, kid) || slices.Contains(r.Taken, kid)
}

// remember notes that a brought key was used. A list that is full need not grow: nothing is taken any more.
func (r *Ring) remember(kid string) {
	if len(r.Taken) < MaxTaken && !slices.Contains(r.Taken, kid) {
		r.Taken = append(r.Taken, kid)
	}
}

// offer is the next key to take: the first offered one of the right algorithm that the set has never had and that nobody wants
// revoked. Without one it says why, in the words of the caller.
func (p *planner) offer() (*Key, string) {
	if len(p.ring.Taken) >= MaxTaken {
		return nil, fmt.Sprintf("this set has had %d brought keys, which is as many as it can remember: make another set", len(p.ring.Taken))
	}
	for i := range p.obs.Offered {
		k := p.obs.Offered[i]
		if k.Brought = true; k.KID != "" && p.policy.matches(&k) && !p.ring.Knows(k.KID) && !p.doomed(k.KID) {
			return &k, ""
		}
	}
	if p.obs.NoneLeft != "" {
		return nil, p.obs.NoneLeft
	}
	return nil, fmt.Sprintf("no %s key is left that was not used yet: bring another", p.policy.Algorithm)
}

// lacking says why the next key cannot come from the owner's source; empty if it can, or if keys are made.
func (p *planner) lacking() string {
	if !p.policy.Brought {
		return ""
	}
	_, none := p.offer()
	return none
}

// starved tells that an emergency waits for nothing but its owner to bring a key. There is no use in asking replicas often.
func (p *planner) starved() bool {
	return p.plan.Found(NoKeyLeft) != nil && p.emergency() && p.ring.Standby() == nil &&
		!slices.ContainsFunc(p.ring.Keys, func(k Key) bool { return k.State == Retiring && p.doomed(k.KID) })
}

// changed says in which way a key is not of the kind that the policy asks for.
func (p *Policy) changed(k *Key) Reason {
	if k.Algorithm == p.Algorithm && k.Brought != p.Brought {
		return ReasonSourceChanged
	}
	return ReasonAlgorithmChanged
}
