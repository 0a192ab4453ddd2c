package keys_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// reconcile is one run of the manager; it may die anywhere, and another run may begin before this one has written.
func (w *world) reconcile() {
	if w.t.Before(w.managerBack) {
		w.after(w.managerBack.Sub(w.t), w.reconcile)
		return
	}
	w.uptime += min(w.t.Sub(w.looked), time.Hour)
	w.looked = w.t
	if w.ring == nil && w.floors[0] > 0 {
		w.rebuild(false)
	}
	o, version := w.observe(), w.version
	plan := w.plan(&o)
	w.counts["reconciles"]++
	if w.counts["reconciles"] > 400*int(w.t.Sub(start)/time.Hour+24) {
		w.fail("the manager never comes to rest: %+v", plan)
		return
	}
	if plan.Found(keys.RestoreDetected) != nil && w.version == version {
		w.rebuild(true)
	}
	if f := plan.Found(keys.RingInvalid); f != nil {
		w.fail("%s", f.Message)
	}
	if plan.Found(keys.ClockSkewed) != nil && w.managerLeap != 0 {
		w.counts["leaps noticed"]++
	}
	w.starve(&plan)
	policy := w.policy
	w.after(w.span(0, 10*time.Second), func() { w.judged = policy; w.apply(plan, version, o.Replicas) })

	again := w.span(time.Minute, 40*time.Minute) // something else wakes the manager
	if plan.Requeue > 0 && !w.chance(4) {
		again = min(again, plan.Requeue)
	}
	if plan.Again() {
		again = w.span(0, 20*time.Second) // sometimes before this plan is written
	}
	w.after(again, w.reconcile)
}

// apply carries out a plan in the documented order.
func (w *world) apply(plan keys.Plan, version int, asked []keys.Replica) {
	if g := plan.Generate; g != nil {
		w.make(g)
	}
	if w.chance(20) {
		return // killed between key Secret and ring
	}
	if plan.Ring != nil {
		if w.version != version {
			w.counts["conflicts"]++
			return
		}
		w.record(plan.Ring)
		if w.chance(20) {
			return // killed between the status that remembers what is revoked and the ring
		}
		w.write(plan, asked)
	}
	if w.chance(20) {
		return // killed between ring and projections
	}
	w.project()
	for _, s := range plan.Remove {
		if k := w.secrets[s]; w.ring != nil && w.ring.Key(k.KID) != nil {
			w.fail("the plan deletes the Secret of live key %s", k.KID)
		}
		delete(w.secrets, s)
		w.counts["secrets deleted"]++
	}
}

// write replaces the ring and judges the step.
func (w *world) write(plan keys.Plan, asked []keys.Replica) {
	old, next := w.ring, plan.Ring
	if old == nil {
		old = &keys.Ring{}
	}
	if err := next.Validate(); err != nil {
		w.fail("the next ring is invalid: %v", err)
	}
	if next.Epoch != old.Epoch+1 {
		w.fail("epoch %d after %d", next.Epoch, old.Epoch)
	}
	w.judgeEpoch(next.Epoch)
	if old.Active() != nil && next.Active() == nil {
		w.fail("epoch %d has no Active key any more", next.Epoch)
	}
	for _, t := range plan.Transitions {
		w.judge(t, asked)
		w.judgeSource(t, next)
		w.log("ring %d: %s %s → %s (%s)", next.Epoch, t.KID, t.From, t.To, t.Reason)
		w.counts[string(t.To)+"/"+string(t.Reason)]++
		if t.To == keys.Active && (t.Reason == keys.ReasonMaterialLost || t.Reason == keys.ReasonNoActive || t.Reason == keys.ReasonFirstKey || t.Reason == keys.ReasonRevoked) {
			w.excused[t.KID] = w.t.Add(w.limit + 20*time.Minute)
		}
	}
	w.ring = next.Clone()
	w.version++
	if w.oldRings = append(w.oldRings, w.ring); len(w.oldRings) > 40 {
		w.oldRings = w.oldRings[1:]
	}
}

// rebuild is what the manager does without a ring that it can trust.
func (w *world) rebuild(restored bool) {
	remains := keys.Remains{
		Recorded: w.status, EpochFloor: w.floors[0], RevisionFloor: w.floors[1], SequenceFloor: w.floors[2], RotateHandled: w.handled,
		Restored: restored, Revoked: w.revoked, Taken: w.taken,
	}
	if restored {
		remains.Recorded = append(slices.Clone(w.ring.Keys), w.status...)
		remains.Tombstones, remains.Newer = w.ring.Tombstones, w.newer()
		remains.Taken = append(slices.Clone(w.ring.Taken), w.taken...)
	}
	remains.EpochFloor = w.epochFloor()
	for _, k := range w.secrets {
		remains.Material = append(remains.Material, k)
	}
	for _, p := range w.pods {
		if p.doc != nil {
			remains.EpochFloor = max(remains.EpochFloor, p.doc.epoch)
			remains.Seen = append(remains.Seen, p.doc.keys...)
		}
	}
	slices.SortFunc(remains.Material, func(a, b keys.Key) int { return int(a.Sequence - b.Sequence) })
	ring := keys.Rebuild(w.now(), w.policy, remains)
	if err := ring.Validate(); err != nil {
		w.fail("the rebuilt ring is invalid: %v", err)
	}
	w.judgeEpoch(ring.Epoch)
	for _, k := range ring.Keys {
		w.judgeReturn(&k)
		if _, ok := w.secrets[k.Sequence]; !ok {
			w.excused["lost "+k.KID] = w.t // only its public half is left
		}
	}
	w.log("rebuilt (restored %t) as epoch %d: %s", restored, ring.Epoch, brief(&ring))
	w.ring = ring.Clone()
	w.version++
	w.counts["rebuilds"]++
}

func brief(r *keys.Ring) string {
	s := ""
	for _, k := range r.Keys {
		s += fmt.Sprintf("%s=%s ", k.KID, k.State)
	}
	return s
}

// project compiles the documents and the status from the ring, one after the other.
func (w *world) project() {
	if w.ring == nil {
		return
	}
	for _, signer := range []bool{w.chance(2), true, false} {
		w.projectTo(signer)
		if w.chance(30) {
			return // killed between the projections
		}
	}
	w.status, w.handled = slices.Clone(w.ring.Keys), w.ring.RotateHandled
	for i := range w.status {
		w.status[i].PublicJWK, w.status[i].MaxTTL = nil, 0 // the status does not carry them
	}
	w.floors = [3]int64{w.ring.Epoch, w.ring.Revision, w.ring.NextSequence - 1}
	w.tell(w.ring.Epoch)
}

func (w *world) projectTo(signer bool) {
	head := w.heads[signer]
	w.names++
	d := &document{epoch: w.ring.Epoch, version: int64(w.names), keys: w.ring.Publishable(), at: w.t}
	for _, k := range d.keys {
		d.kids = append(d.kids, k.KID)
	}
	if signer {
		w.fillSigner(d, head)
	}
	if head != nil && head.epoch == d.epoch && slices.Equal(head.kids, d.kids) && head.active == d.active && head.ttl == d.ttl {
		w.deliver(signer)
		return
	}
	if head != nil && d.epoch < head.epoch {
		return
	}
	for _, kid := range d.kids {
		if w.dead[kid] {
			w.fail("document %d brings back the revoked %s", d.epoch, kid)
		}
	}
	w.heads[signer] = d
	w.tell(d.epoch)
	if w.history[signer] = append(w.history[signer], d); len(w.history[signer]) > 20 {
		w.history[signer] = w.history[signer][10:]
	}
	if w.chance(5) { // somebody scales up at the worst moment
		w.after(w.span(0, 15*time.Second), func() { w.removePod(); w.addPod(signer) })
	}
	w.deliver(signer)
}

// fillSigner adds what only signers get: the key to sign with and the lifetime, never above the ring's cap.
func (w *world) fillSigner(d, head *document) {
	d.ttl = min(w.policy.AccessTTL, w.ring.TTLCap())
	if a := w.ring.Active(); a != nil {
		if s, ok := w.secrets[a.Sequence]; ok && s.KID == a.KID || head != nil && head.active == a.KID {
			d.active = a.KID // a private half that is lost lives on in the last good document
		}
		return
	}
	if head != nil && d.has(head.active) {
		d.active, d.ttl = head.active, head.ttl // nothing is Active: the last good key goes on
	}
}

// deliver brings the newest document to every pod that lacks it, sooner or later.
func (w *world) deliver(signer bool) {
	d := w.heads[signer]
	for _, p := range w.pods {
		if p.signer == signer && d.newer(p.doc) {
			w.send(p, d, w.delay())
		}
	}
}

func (w *world) delay() time.Duration {
	switch n := w.rng.IntN(50); {
	case n < 40:
		return w.span(300*time.Millisecond, 5*time.Second)
	case n < 49:
		return w.span(0, 90*time.Second)
	}
	return w.span(0, 10*time.Minute)
}

func (w *world) send(p *pod, d *document, delay time.Duration) {
	for _, until := range []time.Time{p.partitionUntil, p.slowUntil} {
		if until.After(w.t.Add(delay)) {
			delay = until.Sub(w.t)
		}
	}
	w.after(delay, func() {
		if p.gone || p.partitionUntil.After(w.t) {
			return // lost; a later reconcile sends again
		}
		if d.newer(p.mounted) {
			p.mounted = d
		}
		if !w.t.Before(p.downUntil) && d.newer(p.doc) {
			p.doc = d
		}
	})
}
