package keys

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of how often the replicas are asked while something waits for them.
const (
	pollUrgent = 200 * time.Millisecond // in an emergency
	pollFirst  = 2 * time.Second
	pollLast   = time.Minute
)

// report tells what is waited for, what comes next and what is wrong. It speaks of the ring that was observed, unless the plan
// changes it: then the next call will.
func (p *planner) report() {
	p.reportReplicas()
	p.reportNext()
	p.reportFindings()
	p.reportRevocations()
	if !p.plan.Again() {
		p.plan.Requeue = p.requeue()
	}
}

// reportReplicas compares each replica with the observed ring.
func (p *planner) reportReplicas() {
	ring := &p.obs.Ring
	p.plan.Total = len(p.obs.Replicas)
	lines := map[string]string{}
	for i := range p.obs.Replicas {
		r := &p.obs.Replicas[i]
		if line := lag(ring, r); line != "" {
			p.plan.Waiting = append(p.plan.Waiting, r.Name)
			lines[r.Name] = line
		}
	}
	p.plan.Loaded = p.plan.Total - len(p.plan.Waiting)
	slices.Sort(p.plan.Waiting)
	if n := len(p.plan.Waiting); n > 0 {
		p.plan.Message = lines[p.plan.Waiting[0]]
		if n > 1 {
			p.plan.Message += fmt.Sprintf(", and %d more", n-1)
		}
	}
}

// lag says in one line what a replica has not acknowledged; empty if nothing.
func lag(ring *Ring, r *Replica) string {
	if !r.Reachable {
		return r.Name + " is unreachable, so it acknowledges nothing"
	}
	has := fmt.Sprintf("(has epoch %d, wants %d)", r.Epoch, ring.Epoch)
	if r.Epoch == 0 {
		has = fmt.Sprintf("(has loaded nothing, wants epoch %d)", ring.Epoch)
	}
	for _, k := range ring.Keys {
		if !r.has(k.KID) {
			return fmt.Sprintf("kid %s not yet loaded by %s %s", short(k.KID), r.Name, has)
		}
	}
	if active := ring.Active(); active != nil && r.Signer && r.ActiveKID != active.KID {
		with := "nothing"
		if r.ActiveKID != "" {
			with = "kid " + short(r.ActiveKID)
		}
		return fmt.Sprintf("kid %s not yet signed with by %s, which signs with %s %s", short(active.KID), r.Name, with, has)
	}
	return ""
}

// reportNext announces the next activation, or else the next removal.
func (p *planner) reportNext() {
	active := p.ring.Active()
	if active == nil || p.material(active).lost() || p.doomed(active.KID) {
		p.plan.Next = &NextTransition{To: Active, BlockedBy: p.blocked(p.ring.Standby())}
		if p.emergency() && p.ring.Standby() != nil {
			p.plan.Next.BlockedBy = p.obstacle(p.ring.Standby())
		}
		if k := p.ring.Standby(); k != nil {
			p.plan.Next.KID = k.KID
			if (k.State == Published || len(p.obs.Replicas) == 0) && p.ring.EverActive() && !p.emergency() {
				p.plan.Next.NotBefore = p.settledAt(k)
			}
		}
		return
	}
	due, timed := p.due(active)
	if _, asked := p.asked(active); asked {
		due, timed = time.Time{}, true
	}
	if timed {
		p.plan.Next = p.nextActivation(due)
		return
	}
	for _, k := range p.ring.Keys {
		if k.State == Retiring && !k.VerifyUntil.IsZero() && (p.plan.Next == nil || k.VerifyUntil.Before(p.plan.Next.NotBefore)) {
			p.plan.Next = &NextTransition{KID: k.KID, To: Removed, NotBefore: k.VerifyUntil}
		}
	}
}

func (p *planner) nextActivation(due time.Time) *NextTransition {
	n := &NextTransition{To: Active, NotBefore: due}
	var next *Key
	for i := range p.ring.Keys {
		if k := &p.ring.Keys[i]; neverSigned(k) && p.policy.matches(k) && (next == nil || k.State == Published && next.State == Pending) {
			next = k
		}
	}
	if next != nil {
		n.KID = next.KID
		if gate := next.Published.Add(p.policy.PrePublish); next.State == Published && gate.After(due) {
			n.NotBefore = gate
		}
	}
	late := !p.now.Before(n.NotBefore) || next == nil && (p.lacking() != "" || p.plan.Found(RingFull) != nil)
	if next != nil && next.State == Pending || late {
		n.BlockedBy = p.blocked(next)
	}
	return n
}

// blocked says what keeps a key from signing, apart from time.
func (p *planner) blocked(k *Key) string {
	switch {
	case p.doubted:
		return "the clocks of the replicas contradict the manager's"
	case k == nil && p.lacking() != "":
		return p.lacking()
	case k == nil && p.plan.Found(RingFull) != nil:
		return p.plan.Found(RingFull).Message
	case k == nil && p.policy.Brought:
		return "the next key is not taken yet"
	case k == nil:
		return "the next key is not generated yet"
	case len(p.obs.Replicas) == 0 && p.ring.EverActive():
		return fmt.Sprintf("no replica runs that could load kid %s", short(k.KID))
	case len(p.obs.Replicas) > 0 && !p.acknowledged(k.KID):
		return p.laggard(k)
	case p.material(k) != MaterialPresent:
		return fmt.Sprintf("the private half of kid %s is not known to be sound", short(k.KID))
	}
	return ""
}

// laggard names the first replica, in the order of names, that does not have a key.
func (p *planner) laggard(k *Key) string {
	name, line := "", ""
	for i := range p.obs.Replicas {
		r := &p.obs.Replicas[i]
		if r.has(k.KID) || name != "" && r.Name >= name {
			continue
		}
		name = r.Name
		if line = lag(&Ring{Epoch: p.ring.Epoch, Keys: []Key{*k}}, r); !r.Reachable {
			line = fmt.Sprintf("kid %s not yet loaded by %s, which is unreachable", short(k.KID), r.Name)
		}
	}
	return line
}

// keyless says why a key that is wanted is neither made nor taken; empty if nothing stands in its way.
func (p *planner) keyless() string {
	for _, kind := range []FindingKind{NoKeyLeft, RingFull} {
		if found := p.plan.Found(kind); found != nil {
			return found.Message
		}
	}
	return ""
}

func (p *planner) reportFindings() {
	standby := 0
	for i := range p.ring.Keys {
		if k := &p.ring.Keys[i]; k.State == Published && p.policy.matches(k) {
			standby++
		}
	}
	if want := min(max(p.policy.Standby, 0), 2); standby < want {
		why := ""
		if none := p.keyless(); none != "" {
			why = ": " + none
		}
		p.find(StandbyMissing, "", "%d of %d standby keys are published%s", standby, want, why)
	}
	active := p.ring.Active()
	if active == nil || len(p.obs.Replicas) == 0 {
		return // with no replica nothing signs, so nothing is overdue
	}
	if due, ok := p.due(active); ok && p.now.After(due.Add(p.policy.Interval/20)) {
		p.find(RotationOverdue, active.KID, "kid %s was due to be replaced at %s: %s", short(active.KID), due.Format(time.RFC3339), p.plan.why())
	}
}

func (p *Plan) why() string {
	switch {
	case p.Next == nil:
		return "the next key is on its way"
	case p.Next.BlockedBy != "":
		return p.Next.BlockedBy
	case p.Next.NotBefore.IsZero():
		return "the next key is on its way"
	}
	return "the next key is published until " + p.Next.NotBefore.Format(time.RFC3339)
}

// requeue is the first of: the next instant that changes the plan, and the next look at replicas that keep it waiting.
func (p *planner) requeue() time.Duration {
	first := time.Duration(0)
	soonest := time.Second
	if p.plan.Found(RevocationPending) != nil {
		soonest = pollUrgent
	}
	at := func(d time.Duration) {
		if d = max(d, soonest); first == 0 || d < first {
			first = d
		}
	}
	if p.plan.Found(RevocationPending) != nil && len(p.obs.Replicas) > 0 && !p.starved() {
		at(p.pollRevocation())
	}
	if p.doubted {
		at(pollLast)
	}
	for i := range p.ring.Keys {
		p.requeueKey(&p.ring.Keys[i], at)
	}
	active := p.ring.Active()
	if active != nil && p.policy.Standby <= 0 {
		if due, ok := p.due(active); ok && p.makeAt(due).After(p.now) {
			at(p.makeAt(due).Sub(p.now))
		}
	}
	idle := len(p.obs.Replicas) == 0 && active != nil && !p.material(active).lost() // an event will come
	if n := p.plan.Next; n != nil && n.To == Active && !idle {
		if n.NotBefore.After(p.now) {
			at(n.NotBefore.Sub(p.now))
		} else if n.BlockedBy != "" {
			at(p.poll(n.NotBefore))
		}
	}
	return first
}

func (p *planner) requeueKey(k *Key, at func(time.Duration)) {
	switch {
	case k.State == Pending && len(p.obs.Replicas) > 0:
		at(p.poll(k.Created))
	case k.State == Retiring && k.VerifyUntil.After(p.now):
		at(k.VerifyUntil.Sub(p.now) + time.Second) // removal is strictly after
	case k.State == Retiring && len(p.signers()) > 0:
		at(p.poll(k.Retiring))
	}
}

// poll asks often at first and less often the longer the wait has been.
func (p *planner) poll(since time.Time) time.Duration {
	return min(max(p.now.Sub(since)/10, pollFirst), pollLast)
}

// short is how a kid is written for humans.
func short(kid string) string { return kid[:min(len(kid), 8)] }

func lower(m MaterialState) string { return strings.ToLower(string(m)) }
