package keys

import (
	"hash/fnv"
	"slices"
	"time"
)

// jitter spreads the rotations of sets that were created together over 5 % of the interval, in whole seconds.
func (p *Policy) jitter() time.Duration {
	if p.UID == "" {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.UID)) // a hash never fails
	const steps = 1 << 16
	return time.Duration(float64(p.Interval) / 20 * float64(h.Sum64()%steps) / steps).Truncate(time.Second)
}

// due is when the interval of the Active key is over; false if rotation is manual.
func (p *planner) due(active *Key) (time.Time, bool) {
	if p.policy.Manual || p.policy.Interval <= 0 {
		return time.Time{}, false
	}
	return active.Activated.Add(p.policy.Interval + p.policy.jitter()), true
}

// asked tells whether a rotation is wanted whatever the time is.
func (p *planner) asked(active *Key) (Reason, bool) {
	switch {
	case p.obs.RotateRequested != "" && p.obs.RotateRequested != p.ring.RotateHandled:
		return ReasonRequested, true
	case !p.policy.matches(active):
		return p.policy.changed(active), true
	case !p.policy.Manual && p.inFuture(active.Activated):
		return ReasonClockCorrected, true
	}
	return "", false
}

// rotate lets the next key take over, if that is wanted and the gate is passed.
func (p *planner) rotate() {
	active := p.ring.Active()
	if active == nil || p.material(active).lost() || p.doomed(active.KID) || p.doubted {
		return
	}
	why, wanted := p.asked(active)
	if due, ok := p.due(active); !wanted && ok && !p.now.Before(due) {
		why, wanted = ReasonInterval, true
	}
	if !wanted {
		return
	}
	for i := range p.ring.Keys {
		if k := &p.ring.Keys[i]; p.ready(k) {
			p.activate(k, why)
			return
		}
	}
}

// ready is the gate: published long enough, and every replica that exists now has it.
func (p *planner) ready(k *Key) bool {
	return k.State == Published && p.policy.matches(k) && p.material(k) == MaterialPresent &&
		!p.now.Before(k.Published.Add(p.policy.PrePublish)) && p.acknowledged(k.KID)
}

// takeOver finds a key to sign when none can or may: the first of a set, or the heir of a lost or revoked one.
func (p *planner) takeOver() {
	active := p.ring.Active()
	urgent := p.emergency()
	if active != nil && !p.material(active).lost() && !urgent {
		return
	}
	var heir *Key
	for i := range p.ring.Keys {
		if k := &p.ring.Keys[i]; p.mayTakeOver(k) && (heir == nil || p.rather(k, heir)) {
			heir = k
		}
	}
	if active != nil && p.material(active).lost() {
		p.find(KeyMaterialLost, active.KID, "the private half of Active kid %s is %s: %s", short(active.KID), lower(p.material(active)), p.succession(heir))
	}
	if heir == nil {
		return
	}
	switch {
	case urgent:
		p.restart()
		p.activate(heir, ReasonRevoked)
	case active != nil:
		p.activate(heir, ReasonMaterialLost)
	case p.ring.EverActive():
		p.activate(heir, ReasonNoActive)
	default:
		p.activate(heir, ReasonFirstKey)
	}
}

// mayTakeOver is the gate without PrePublish: every replica has the key, and it has been published for the clock margin, so
// that a pod that starts at this moment does not begin with a document from before. Only the first key of a set need not
// settle: an edge without any key serves nobody. Where no replica runs, no document is in use, but the next pod may begin with one
// from before the key came.
func (p *planner) mayTakeOver(k *Key) bool {
	if !neverSigned(k) || p.material(k) != MaterialPresent {
		return false
	}
	if p.emergency() && len(p.obs.Replicas) > 0 {
		return p.mayTakeOverAtOnce(k)
	}
	if settled := !p.now.Before(p.settledAt(k)) || !p.ring.EverActive() || p.emergency(); !settled {
		return false
	}
	return len(p.obs.Replicas) == 0 || k.State == Published && p.acknowledged(k.KID)
}

// settledAt is from when no pod begins with a document without the key. Where no replica runs nothing hurries, and the document is
// given a minute to be written.
func (p *planner) settledAt(k *Key) time.Time {
	if len(p.obs.Replicas) == 0 {
		return k.Created.Add(p.margin() + time.Minute)
	}
	return k.Published.Add(p.margin())
}

// rather prefers the kind that the policy asks for, then the key that has been published longest.
func (p *planner) rather(a, b *Key) bool {
	if p.emergency() {
		return p.ratherAtOnce(a, b)
	}
	if x, y := p.policy.matches(a), p.policy.matches(b); x != y {
		return x
	}
	if x, y := a.State == Published, b.State == Published; x != y {
		return x
	}
	return a.Published.Before(b.Published)
}

func (p *planner) succession(heir *Key) string {
	if heir == nil && p.ring.Standby() == nil && p.lacking() != "" {
		return p.lacking()
	}
	if heir == nil {
		return "no standby that every replica has can take over yet"
	}
	return "kid " + short(heir.KID) + " takes over"
}

// activate makes k sign and its predecessor verify only, in one write.
func (p *planner) activate(k *Key, why Reason) {
	if old := p.ring.Active(); old != nil {
		p.move(old, Retiring, why)
		old.Retiring, old.VerifyUntil = p.stamp(old.Activated), time.Time{}
	}
	if k.Published.IsZero() {
		k.Published = p.stamp(k.Created)
	}
	p.move(k, Active, why)
	k.Activated = p.stamp(k.Published)
	k.MaxTTL = p.policy.AccessTTL
	if p.obs.RotateRequested != "" {
		p.ring.RotateHandled = p.obs.RotateRequested
	}
}

// raiseTTL tells the ring of a longer lifetime before any snapshot may grant it. It never lowers.
func (p *planner) raiseTTL() {
	if k := p.ring.Active(); k != nil && k.MaxTTL < p.policy.AccessTTL {
		k.MaxTTL = p.policy.AccessTTL
		p.changed = true
	}
}

// signers are the replicas that sign.
func (p *planner) signers() []Replica {
	return slices.DeleteFunc(slices.Clone(p.obs.Replicas), func(r Replica) bool { return !r.Signer })
}
