package keys_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// settled is how long a pod lives at least: longer than the manager takes to notice it.
const settled = 45 * time.Minute

func (w *world) addPod(signer bool) {
	if len(w.pods) >= 9 {
		return
	}
	w.names++
	kind := map[bool]string{true: "tokenservice", false: "edge"}[signer]
	p := &pod{name: fmt.Sprintf("%s-%d", kind, w.names), signer: signer, offset: w.offset(), born: w.t, latestExp: map[string]time.Time{}}
	// A kubelet may read a Secret that is old, and may be slow to notice a newer one.
	lag, notice := min(10*time.Second, 2*w.policy.ClockSkew), 90*time.Second
	if w.chance(5) {
		lag, notice = 2*w.policy.ClockSkew, 3*time.Hour
	}
	seen := w.t.Add(-w.span(0, lag))
	for _, d := range w.history[signer] {
		if !d.at.After(seen) {
			p.doc, p.mounted = d, d
		}
	}
	w.pods = append(w.pods, p)
	if head := w.heads[signer]; head != nil && head.newer(p.doc) {
		p.slowUntil = w.t.Add(w.span(0, notice))
		w.send(p, head, 0)
	}
}

// spare finds a pod that may go or restart while others of its kind serve.
func (w *world) spare() *pod {
	if len(w.pods) == 0 {
		return nil
	}
	p := w.pods[w.rng.IntN(len(w.pods))]
	others := 0
	for _, o := range w.pods {
		if o != p && o.signer == p.signer && w.ready(o) {
			others++
		}
	}
	if others == 0 || w.t.Sub(p.born) < settled {
		return nil
	}
	return p
}

func (w *world) removePod() {
	if p := w.spare(); p != nil {
		w.drop(p)
	}
}

func (w *world) drop(p *pod) {
	p.gone = true
	w.pods = slices.DeleteFunc(w.pods, func(o *pod) bool { return o == p })
	w.log("%s is gone", p.name)
}

func (w *world) restartPod() {
	p := w.spare()
	if p == nil {
		return
	}
	p.downUntil, p.born = w.t.Add(w.span(time.Second, 30*time.Second)), w.t
	p.latestExp = map[string]time.Time{}
	p.doc = p.mounted
	if w.chance(3) && !p.leapt {
		p.offset = w.offset() // on another node
	}
}

func (w *world) partition() {
	if p := w.spare(); p != nil {
		p.partitionUntil = w.t.Add(w.span(time.Minute, 24*time.Hour))
		w.log("%s is cut off until %s", p.name, p.partitionUntil.Format(time.RFC3339))
		w.counts["partitions"]++
	}
}

func (w *world) editTTL() { w.policy.AccessTTL = w.span(time.Minute, time.Hour) }

func (w *world) editPolicy() {
	switch w.rng.IntN(5) {
	case 0:
		w.policy.Standby = w.rng.IntN(3)
	case 1:
		w.policy.Algorithm = []keys.Algorithm{keys.RS256, keys.ES256, keys.EdDSA}[w.rng.IntN(3)]
		w.log("algorithm %s", w.policy.Algorithm)
	case 2:
		w.policy.Manual = true
		w.after(w.span(time.Hour, 96*time.Hour), func() { w.policy.Manual = false })
	case 3:
		w.policy.Brought = !w.policy.Brought
		w.log("keys are brought: %t", w.policy.Brought)
	default:
		w.names++
		w.request = fmt.Sprint("request ", w.names)
	}
}

// loseKey deletes a private Secret behind the manager's back.
func (w *world) loseKey() {
	if w.ring == nil || len(w.ring.Keys) == 0 {
		return
	}
	k := w.ring.Keys[w.rng.IntN(len(w.ring.Keys))]
	w.log("somebody deletes the Secret of %s (%s)", k.KID, k.State)
	w.excused["lost "+k.KID] = w.t
	delete(w.secrets, k.Sequence)
	w.counts["keys lost"]++
}

// managerDown stops every run of the manager for hours or days.
func (w *world) managerDown() {
	w.managerBack = w.t.Add(w.span(time.Hour, 72*time.Hour))
	w.log("the manager is down until %s", w.managerBack.Format(time.RFC3339))
}

// leap makes the manager's clock wrong by days for some minutes. The replicas contradict it.
func (w *world) leap() {
	if len(w.pods) < 3 {
		return // with nobody to ask, a leap cannot be told from a long sleep
	}
	w.managerLeap = w.span(10*time.Minute, 200*time.Hour)
	if w.chance(2) {
		w.managerLeap = -w.managerLeap
	}
	w.log("the manager's clock leaps by %s", w.managerLeap)
	w.after(w.span(time.Minute, time.Hour), func() { w.managerLeap = 0 })
}

// leapSigner puts the clock of a signer ahead, by hours or years, for a while. Every edge refuses what it signs meanwhile, and it
// remembers the expiry until it restarts.
func (w *world) leapSigner() {
	p := w.spare()
	if p == nil || !p.signer || p.leapt {
		return
	}
	leap := w.span(2*time.Hour, 20000*time.Hour)
	w.log("the clock of %s leaps by %s", p.name, leap)
	w.counts["signers leapt"]++
	p.leapt = true
	p.offset += leap
	w.after(w.span(time.Minute, time.Hour), func() {
		p.leapt, p.offset = false, w.offset()
	})
}

// loseRing deletes the ring Secret.
func (w *world) loseRing() {
	if w.ring == nil || w.managerLeap != 0 {
		return
	}
	w.log("somebody deletes the ring")
	w.ring = nil
	w.version++
}

// restoreRing puts an older ring in the place of the present one.
func (w *world) restoreRing() {
	if w.ring == nil || len(w.oldRings) == 0 || w.managerLeap != 0 {
		return
	}
	w.ring = w.oldRings[w.rng.IntN(len(w.oldRings))].Clone()
	for _, k := range w.ring.Keys {
		w.excused["lost "+k.KID] = w.t
	}
	w.log("somebody restores ring %d", w.ring.Epoch)
	w.forget()
	w.again()
	w.version++
	w.counts["restores"]++
}

func (w *world) scaleToZero() {
	w.log("scaled to zero")
	for _, p := range slices.Clone(w.pods) {
		w.drop(p)
	}
	back := w.span(time.Minute, 48*time.Hour)
	for range 2 {
		w.after(back, func() { w.addPod(true) })
		w.after(back, func() { w.addPod(false) })
	}
}
