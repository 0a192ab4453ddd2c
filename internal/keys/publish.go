package keys

import (
	"slices"
	"time"
)

func neverSigned(k *Key) bool { return k.State == Pending || k.State == Published }

// material is what is known about a key's private half. A key just generated has one.
func (p *planner) material(k *Key) MaterialState {
	if g := p.obs.Generated; g != nil && g.KID == k.KID {
		return MaterialPresent
	}
	return p.obs.Material[k.KID]
}

// acknowledged tells whether every replica is known to hold the public half. Zero replicas acknowledge nothing.
func (p *planner) acknowledged(kid string) bool {
	return len(p.obs.Replicas) > 0 && !slices.ContainsFunc(p.obs.Replicas, func(r Replica) bool { return !r.has(kid) })
}

// dropLost takes out keys that never signed and never can. Their public halves verify nothing.
func (p *planner) dropLost() {
	for _, k := range slices.Clone(p.ring.Keys) {
		if neverSigned(&k) && p.material(&k).lost() {
			p.find(KeyMaterialLost, k.KID, "the private half of standby kid %s is %s; another key takes its place", short(k.KID), lower(p.material(&k)))
			p.bury(k.KID, Removed, ReasonMaterialLost)
		}
	}
}

// adopt takes the generated key into the ring, if it is still wanted.
func (p *planner) adopt() {
	g := p.obs.Generated
	if g == nil || !p.adoptable(g) || p.missing() == 0 {
		return
	}
	p.ring.Keys = append(p.ring.Keys, Key{
		KID: g.KID, Algorithm: g.Algorithm, Bits: g.Bits, Brought: g.Brought, Sequence: g.Sequence, PublicJWK: slices.Clone(g.PublicJWK), Created: p.now,
	})
	p.ring.NextSequence = g.Sequence + 1
	why := ReasonGenerated
	if g.Brought {
		p.ring.remember(g.KID)
		why = ReasonTaken
	}
	p.move(&p.ring.Keys[len(p.ring.Keys)-1], Pending, why)
}

func (p *planner) adoptable(g *Key) bool {
	return g.KID != "" && p.policy.matches(g) && g.Sequence >= max(p.ring.NextSequence, 1) && !p.ring.Knows(g.KID) && !p.doomed(g.KID) &&
		(!g.Brought || len(p.ring.Taken) < MaxTaken)
}

// unpublish takes a standby back to Pending if a replica serves a document without it: whoever fetches a JWKS there
// must be given PrePublish again. A replica that has loaded nothing serves nothing.
func (p *planner) unpublish() {
	for i := range p.ring.Keys {
		k := &p.ring.Keys[i]
		if k.State != Published {
			continue
		}
		without := func(r Replica) bool { return r.Reachable && r.Epoch > 0 && !r.has(k.KID) }
		switch {
		case slices.ContainsFunc(p.obs.Replicas, without):
			p.move(k, Pending, ReasonUnacknowledged)
			k.Published = time.Time{}
		case p.inFuture(k.Published):
			p.move(k, Pending, ReasonClockCorrected)
			k.Created, k.Published = p.now, time.Time{}
		}
	}
}

// publish starts the clock of PrePublish for keys that every replica has.
func (p *planner) publish() {
	for i := range p.ring.Keys {
		k := &p.ring.Keys[i]
		if k.State == Pending && p.acknowledged(k.KID) && !p.doubted {
			p.move(k, Published, ReasonAcknowledged)
			k.Published = p.stamp(k.Created)
		}
	}
}

// dropMismatched takes out standby keys of another algorithm, size or origin, once a right one can stand in for them.
func (p *planner) dropMismatched() {
	ready := slices.ContainsFunc(p.ring.Keys, func(k Key) bool { return k.State == Published && p.policy.matches(&k) })
	if !ready && p.wanted() > 0 {
		return
	}
	for _, k := range slices.Clone(p.ring.Keys) {
		if neverSigned(&k) && !p.policy.matches(&k) {
			p.bury(k.KID, Removed, p.policy.changed(&k))
		}
	}
}

// wanted is how many keys should stand by.
func (p *planner) wanted() int {
	n := min(max(p.policy.Standby, 0), 2)
	if n > 0 {
		return n
	}
	active := p.ring.Active()
	if active == nil || p.material(active).lost() || p.doomed(active.KID) {
		return 1
	}
	if _, asked := p.asked(active); asked {
		return 1
	}
	if due, ok := p.due(active); ok && !p.now.Before(p.makeAt(due)) {
		return 1
	}
	return 0
}

// makeAt is when a set without standby keys makes the next key: PrePublish before it is due, and a tenth more for the replicas.
func (p *planner) makeAt(due time.Time) time.Time {
	return due.Add(-p.policy.PrePublish - max(p.policy.PrePublish/10, 5*time.Minute))
}

// missing is how many keys of the right kind the ring lacks.
func (p *planner) missing() int {
	n := p.wanted()
	for i := range p.ring.Keys {
		if k := &p.ring.Keys[i]; neverSigned(k) && p.policy.matches(k) {
			n--
		}
	}
	return max(n, 0)
}

// generate asks for one key, made or taken, under a sequence whose Secret does not exist yet.
func (p *planner) generate() {
	if p.plan.Ring != nil || p.missing() == 0 {
		return
	}
	active := p.ring.Active()
	if urgent := active == nil || p.material(active).lost() || p.doomed(active.KID); len(p.ring.Keys) >= MaxKeys && !urgent {
		p.find(RingFull, "", "the ring holds %d keys: no new one is made until an old one is removed", len(p.ring.Keys))
		return
	}
	wanted := Generate{Sequence: p.freeSequence(), Algorithm: p.policy.Algorithm, Bits: p.policy.bits()}
	if p.policy.Brought {
		next, none := p.offer()
		if next == nil {
			p.find(NoKeyLeft, "", "%s", none)
			return
		}
		wanted.Take, wanted.Bits = next.KID, next.Bits
	}
	p.plan.Generate = &wanted
}

// freeSequence is the first one that is not known to have a Secret. Sequences are asked for in their order, so those up to that of a
// key which was not adopted have been: each has a key that the set has no use for. Without this two such keys, left by two crashes,
// would be asked for in turn for ever.
func (p *planner) freeSequence() int64 {
	seq := max(p.ring.NextSequence, 1)
	if g := p.obs.Generated; g != nil {
		seq = max(seq, g.Sequence+1)
	}
	for slices.Contains(p.obs.Spoiled, seq) {
		seq++
	}
	return seq
}
