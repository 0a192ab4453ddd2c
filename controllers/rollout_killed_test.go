package controllers

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// axe ends a manager at one of its writes to a rollout or a document, before or after the API server has it, once it is armed.
func axe(at int64, after bool) *guillotine {
	return &guillotine{at: at, after: after, dead: make(chan struct{}), counts: func(path string) bool {
		return strings.Contains(path, "/authrollouts/") || strings.Contains(path, "-snapshot")
	}}
}

// TestKilledRollout kills a manager before and after each of the writes of a step: the finalizer, the first status, the
// judgement and promotion, the two documents, and the statuses after. No step is lost, none is taken twice, and none without
// evidence.
func TestKilledRollout(t *testing.T) {
	all := os.Getenv("KEYTURN_SOAK") == "1" // otherwise every other one
	for _, after := range []bool{false, true} {
		for at := int64(1); at <= 8; at++ {
			if !all && after == (at%2 == 0) {
				continue
			}
			t.Run(fmt.Sprintf("write %d after %t", at, after), func(t *testing.T) {
				w := newWorld(t)
				w.declare()
				w.eventually("settle", w.unhealthy)
				w.stopManager()
				g := axe(at, after)
				w.startManagerOver(func(next http.RoundTripper) http.RoundTripper {
					g.next = next
					return g
				})
				aro := w.newRollout()
				aro.Spec.Steps[0].Approval = keyturnv1alpha1.ApprovalManual
				w.create(aro)
				dead := func() bool {
					select {
					case <-g.dead:
						return true
					default:
						return false
					}
				}
				// Minutes of good traffic pass until it dies, whatever it was doing; and once more, unseen.
				w.eventually("the manager dies", func() string {
					if dead() {
						return ""
					}
					w.audit()
					w.fleet.serve(calm(1000))
					w.clock.step(time.Minute)
					w.poke()
					return fmt.Sprintf("it has made %d writes", g.seen.Load())
				})
				w.stopManager()
				before := w.rollout().Status
				w.fleet.serve(calm(1000))
				w.clock.step(time.Minute)
				w.startManager()
				w.eventually("the next manager goes on", func() string {
					w.audit()
					status := w.rollout().Status
					if status.State == nil || status.State.Position < 1 {
						w.fleet.serve(calm(1000))
						w.clock.step(time.Minute)
						w.poke()
						return w.saying()
					}
					return ""
				})
				w.rolledTo(10)
				w.carried(10)
				w.history("Promoted 0->10") // once, whoever wrote it
				if was := before.State; was != nil && was.Position == 1 && !was.Since.Equal(&w.rollout().Status.State.Since) {
					t.Errorf("the step began at %s and again at %s", was.Since, w.rollout().Status.State.Since)
				}
				if slices.Contains(w.events(), keyturnv1alpha1.ReasonDocumentRestored) {
					t.Error("a document was taken for somebody else's")
				}
			})
		}
	}
}

// audit holds the promises of a rollout at this instant: no document is ahead of the status, no status is ahead of the
// evidence.
func (w *world) audit() {
	w.Helper()
	edge, edgeErr := w.edgeDocument() // before the status: what it carries must have been written
	issuer, issuerErr := w.issuerDocument()
	status := w.rollout().Status
	percent := 0
	if status.State != nil {
		percent = int(status.State.Percent)
	}
	if edgeErr == nil && edge.Rollout != nil && edge.Rollout.Percent > percent {
		w.Errorf("the edges have %d%%, the status %d%%", edge.Rollout.Percent, percent)
	}
	if issuerErr == nil && issuer.Rollout != nil && issuer.Rollout.Percent > percent {
		w.Errorf("the token services have %d%%, the status %d%%", issuer.Rollout.Percent, percent)
	}
	if status.State != nil && len(status.History) != int(status.State.Position) {
		w.Errorf("position %d after %d promotions", status.State.Position, len(status.History))
	}
	if status.State != nil && status.State.Position > 0 && status.State.Judged.Cohort.Events < 500 {
		w.Errorf("promoted by %d events", status.State.Judged.Cohort.Events)
	}
}

// TestTwoManagersOneRollout: two managers without leader election count no interval twice and take no step twice. The one
// that did not write an interval down begins the next with what it reads then; what the replicas counted while it read is
// lost to it, so an interval can be counted short, but not each.
func TestTwoManagersOneRollout(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	moving(w, func(aro *keyturnv1alpha1.AuthRollout) {
		aro.Spec.Guard.MinSamples = 4000
		aro.Spec.Steps[0].Approval = keyturnv1alpha1.ApprovalManual
	})
	const each, events = 400, 3 * 400
	whole := 0
	for range 6 {
		at := w.rollout().Status.State
		w.minute(calm(1000))
		w.polls(2)
		now := w.rollout().Status.State
		if now.Position == at.Position && now.Judged == at.Judged {
			switch counted := now.Gathered.Cohort.Events - at.Gathered.Cohort.Events; {
			case counted < 0 || counted > events || counted%each != 0: // a replica's are counted or lost, never a part of them
				t.Errorf("an interval of %d events was counted as %d", events, counted)
			case counted == events:
				whole++
			}
		}
		if now.Position > at.Position+1 {
			t.Fatalf("from position %d to %d in one interval", at.Position, now.Position)
		}
		w.rolledTo(now.Percent)
	}
	w.history("Promoted 0->10")
	if whole == 0 {
		t.Error("no interval was counted as a whole")
	}
}
