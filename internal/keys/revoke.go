package keys

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// doomed tells whether somebody wants the key revoked.
func (p *planner) doomed(kid string) bool { return slices.Contains(p.obs.Revoke, kid) }

// condemn buries every doomed key that nobody signs with: at once, in the write that hears of it. A key that was Removed long
// ago becomes Revoked in its grave.
func (p *planner) condemn() {
	for _, k := range slices.Clone(p.ring.Keys) {
		if neverSigned(&k) && p.doomed(k.KID) {
			p.bury(k.KID, Revoked, ReasonRevoked)
		}
	}
	for i := range p.ring.Tombstones {
		if t := &p.ring.Tombstones[i]; t.State == Removed && p.doomed(t.KID) {
			p.plan.Transitions = append(p.plan.Transitions, Transition{KID: t.KID, Sequence: t.Sequence, From: Removed, To: Revoked, Reason: ReasonRevoked})
			t.State, p.changed = Revoked, true
		}
	}
}

// emergency tells that the key that signs is doomed, so that another must take over whatever PrePublish says. In a ring without
// an Active key that is any doomed one which a signer may still use.
func (p *planner) emergency() bool {
	if active := p.ring.Active(); active != nil {
		return p.doomed(active.KID)
	}
	return slices.ContainsFunc(p.ring.Keys, func(k Key) bool { return k.State == Retiring && p.doomed(k.KID) && p.mayBeUsed(k.KID) })
}

// mayBeUsed tells whether a signer is seen on the key, or cannot be asked.
func (p *planner) mayBeUsed(kid string) bool {
	return slices.ContainsFunc(p.signers(), func(r Replica) bool { return !r.Reachable || r.ActiveKID == kid })
}

// mayTakeOverAtOnce is the gate of an emergency: no replica that can be asked serves a document without the key. Published
// means that every replica had it once. Times are not compared, so a clock in doubt delays nothing.
func (p *planner) mayTakeOverAtOnce(k *Key) bool {
	without := func(r Replica) bool { return r.Reachable && r.Epoch > 0 && !r.has(k.KID) }
	has := func(r Replica) bool { return r.has(k.KID) }
	return !slices.ContainsFunc(p.obs.Replicas, without) && (k.State == Published || slices.ContainsFunc(p.obs.Replicas, has))
}

// ratherAtOnce prefers in an emergency the key that every replica has, then the one that verifiers have had the time to fetch.
func (p *planner) ratherAtOnce(a, b *Key) bool {
	if x, y := p.acknowledged(a.KID), p.acknowledged(b.KID); x != y {
		return x
	}
	if x, y := a.State == Published, b.State == Published; x != y {
		return x
	}
	if x, y := p.policy.matches(a), p.policy.matches(b); x != y {
		return x
	}
	return a.Published.Before(b.Published)
}

// execute buries doomed keys that have signed, once no signer uses them any more or their time is over.
func (p *planner) execute() {
	for _, k := range slices.Clone(p.ring.Keys) {
		if k.State == Retiring && p.doomed(k.KID) && p.left(&k) {
			p.bury(k.KID, Revoked, ReasonRevoked)
		}
	}
}

// left tells whether a doomed key may go: every signer is seen on another key, or MaxPropagation has passed since that key took
// over. A clock that says it did so in the future was wrong then or is wrong now; distrust does not wait for the truth.
func (p *planner) left(k *Key) bool {
	if p.ring.Active() == nil {
		return !p.mayBeUsed(k.KID)
	}
	passed := p.now.Sub(k.Retiring)
	return len(p.signers()) == 0 || p.switched() || passed < 0 || passed >= p.policy.MaxPropagation
}

// restart counts MaxPropagation from now on for doomed keys that were used while no key was Active.
func (p *planner) restart() {
	for i := range p.ring.Keys {
		if k := &p.ring.Keys[i]; k.State == Retiring && p.doomed(k.KID) {
			k.Retiring = p.stamp(k.Created, k.Published, k.Activated)
		}
	}
}

// reportRevocations says of every doomed key why it is not refused everywhere yet. Nothing to say: it is.
func (p *planner) reportRevocations() {
	for i, kid := range p.obs.Revoke {
		if slices.Contains(p.obs.Revoke[:i], kid) {
			continue
		}
		switch k := p.ring.Key(kid); {
		case k != nil:
			p.find(RevocationPending, kid, "%s", p.reprieve(k))
		case !buriedIn(p.ring, kid):
			p.find(RevocationUnknown, kid, "kid %s is to be revoked, and this set has never had it: compare it with the kids in the status", short(kid))
		default:
			p.reportUnconfirmed(kid)
		}
	}
}

func buriedIn(ring *Ring, kid string) bool {
	return slices.ContainsFunc(ring.Tombstones, func(t Tombstone) bool { return t.KID == kid })
}

// reprieve says what a doomed key that is in the ring waits for.
func (p *planner) reprieve(k *Key) string {
	active := p.ring.Active()
	if active != nil && active.KID != k.KID {
		over := k.Retiring.Add(p.policy.MaxPropagation).Sub(p.now)
		return fmt.Sprintf("kid %s is revoked; it verifies for %s more at most, until %s on kid %s", short(k.KID), max(over, 0), seenOn(p.unswitched()), short(active.KID))
	}
	why := "it is on its way"
	if heir := p.ring.Standby(); heir == nil && p.lacking() != "" {
		why = p.lacking()
	} else if heir == nil && !p.policy.Brought {
		why = "it is being made"
	} else if heir == nil {
		why = "it is being taken"
	} else if line := p.obstacle(heir); line != "" {
		why = line
	}
	return fmt.Sprintf("kid %s is revoked, and signs until another key takes over: %s", short(k.KID), why)
}

// obstacle says what keeps the heir of an emergency waiting.
func (p *planner) obstacle(heir *Key) string {
	if p.material(heir) != MaterialPresent {
		return fmt.Sprintf("the private half of kid %s is not known to be sound", short(heir.KID))
	}
	if p.acknowledged(heir.KID) || len(p.obs.Replicas) == 0 {
		return ""
	}
	return p.laggard(heir)
}

// unswitched names the signers that are not seen on the Active key.
func (p *planner) unswitched() []string {
	var names []string
	for _, r := range p.signers() {
		if active := p.ring.Active(); !r.Reachable || active == nil || r.ActiveKID != active.KID {
			names = append(names, r.Name)
		}
	}
	return names
}

func seenOn(names []string) string {
	if len(names) == 1 {
		return names[0] + " is seen"
	}
	return listed(names) + " are seen"
}

// listed names a few, in order, and counts the rest.
func listed(names []string) string {
	const few = 3
	slices.Sort(names)
	if n := len(names); n > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), n-few)
	}
	return strings.Join(names, ", ")
}

// reportUnconfirmed names the replicas that may still take a revoked key's tokens: those seen with it, and those that cannot be
// asked while such a token may live.
func (p *planner) reportUnconfirmed(kid string) {
	i := slices.IndexFunc(p.obs.Ring.Tombstones, func(t Tombstone) bool { return t.KID == kid })
	if i < 0 {
		return // it goes in this very plan: nobody can have heard of it
	}
	t := &p.obs.Ring.Tombstones[i]
	live := p.now.Before(t.Time.Add(max(MaxAccessTTL, p.policy.AccessTTL) + p.margin()))
	var names []string
	for _, r := range p.obs.Replicas {
		if r.has(t.KID) || r.ActiveKID == t.KID || !r.Reachable && live {
			names = append(names, r.Name)
		}
	}
	if len(names) > 0 {
		p.find(RevocationUnconfirmed, t.KID, "kid %s is revoked, and not confirmed by %s", short(t.KID), listed(names))
	}
}

// pollRevocation is how often the replicas are asked while a revocation waits for them: very often in the first minute.
func (p *planner) pollRevocation() time.Duration {
	for _, k := range p.ring.Keys {
		for _, since := range []time.Time{k.Created, k.Retiring} {
			if age := p.now.Sub(since); !since.IsZero() && age.Abs() < time.Minute {
				return pollUrgent
			}
		}
	}
	return pollFirst
}
