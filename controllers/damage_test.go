package controllers

import (
	"slices"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/token"
)

// damage is something that somebody does to a settled system.
type damage struct {
	name string
	do   func(*attack)
	// rotates: the damage takes a private half away, so that another key has to take over.
	rotates bool
	// event must have been recorded afterwards, if it is not empty.
	event string
}

// attack is a damage under way.
type attack struct {
	*world
	before *keys.Ring
	// foreign is a key that must never be in force after the repair.
	foreign *token.PrivateKey
}

func TestDamagedRing(t *testing.T)       { inflict(t, ringDamages) }
func TestDamagedKeys(t *testing.T)       { inflict(t, keyDamages) }
func TestNothingToSignWith(t *testing.T) { inflict(t, lastResort) }
func TestDamagedDocuments(t *testing.T)  { inflict(t, documentDamages) }
func TestDamagedWorkloads(t *testing.T)  { inflict(t, workloadDamages) }

// inflict does each damage to one settled system, one after the other: each must be repaired before the next. All the
// while the edges keep every key that a token may be signed with.
func inflict(t *testing.T, all []damage) {
	w := settled(t)
	for _, d := range all {
		w.Run(d.name, func(t *testing.T) {
			local := &world{T: t, ctx: w.ctx, ns: w.ns, clock: w.clock, fleet: w.fleet}
			local.inflict(d)
		})
		if w.Failed() {
			return // the rest would only fail for the same reason
		}
	}
}

func (w *world) inflict(d damage) {
	foreign, err := token.Generate("ES256", 0)
	if err != nil {
		w.Fatal(err)
	}
	a := &attack{world: w, before: w.ring(), foreign: foreign}
	live := w.lasting(a.before)
	w.fleet.holds(live...)
	defer w.fleet.report(w.T)
	defer w.fleet.holds()
	d.do(a)
	left := damageMargin
	w.eventually("repair", func() string {
		if d.rotates {
			w.settleHeir(&left)
		}
		if objection := w.unhealthy(); objection != "" {
			return objection
		}
		return a.unrepaired(d, live)
	})
}

// damageMargin is how far the clock may go during one repair.
const damageMargin = 10 * time.Minute

// lasting are the keys that must verify until the repair is done: those that expire meanwhile may go.
func (w *world) lasting(ring *keys.Ring) []string {
	live, _ := kids(ring)
	return slices.DeleteFunc(live, func(kid string) bool {
		until := ring.Key(kid).VerifyUntil
		return !until.IsZero() && until.Before(w.clock.Now().Add(damageMargin))
	})
}

// settleHeir moves the clock to where a key is to sign that has been published for a while, if the clock is what is waited for.
// Were it moved without need, what is allowed for one repair would be used up on a busy machine before the heir is published, and
// keys that retired earlier would expire. left is what is left of the margin.
func (w *world) settleHeir(left *time.Duration) {
	w.Helper()
	next, now := w.set().Status.NextTransition, w.clock.Now()
	if next == nil || next.To != keyturnv1alpha1.KeyActive {
		return
	}
	if wait := next.NotBefore.Add(time.Second).Sub(now); wait > 0 && wait < *left {
		w.step(wait)
		*left -= wait
	}
}

// unrepaired says what has not come back, apart from what a settled system has.
func (a *attack) unrepaired(d damage, live []string) string {
	ring := a.ring()
	now, all := kids(ring)
	if ring.Epoch < a.before.Epoch || a.set().Status.Epoch < a.before.Epoch {
		return "the epoch fell"
	}
	for _, kid := range live {
		if !slices.Contains(now, kid) {
			return "the ring lost " + short(kid)
		}
	}
	if slices.Contains(all, a.foreign.KID()) {
		return "the ring holds the attacker's key"
	}
	if rotated := ring.Active().KID != a.before.Active().KID; rotated != d.rotates {
		return "the active key is now " + short(ring.Active().KID) + ", it was " + short(a.before.Active().KID)
	}
	if d.event != "" && !slices.Contains(a.events(), d.event) {
		return "no Event " + d.event
	}
	edge, err := a.edgeDocument()
	if err != nil || edge.Revision < a.service().Status.EdgeRevision {
		return "the edge's revision fell"
	}
	return ""
}

const restored = keyturnv1alpha1.ReasonRingRestored
