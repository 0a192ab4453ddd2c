package controllers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// lose empties the status of the rollout, as a backup without it does.
func (w *world) lose() {
	w.Helper()
	for {
		aro := w.rollout()
		aro.Status = keyturnv1alpha1.AuthRolloutStatus{}
		err := admin.Status().Update(w.ctx, aro)
		if err == nil {
			return
		}
		if !isConflict(err) {
			w.Fatal(err)
		}
	}
}

// never wants both documents to carry at least this, at every look.
func (w *world) never(below int, reached bool) {
	w.Helper()
	edge, edgeErr := w.edgeDocument()
	issuer, issuerErr := w.issuerDocument()
	for what, doc := range map[string]*snapshot.Rollout{"edges": edge.Rollout, "token services": issuer.Rollout} {
		if edgeErr != nil || issuerErr != nil || doc == nil || doc.Percent < below || reached && !doc.SunsetReached {
			w.Errorf("the %s have %+v, want %d%% and the sunset %t: %v, %v", what, doc, below, reached, edgeErr, issuerErr)
		}
	}
}

// goesOn waits until a status is there again and has this percentage.
func (w *world) goesOn(percent int32, reached bool) keyturnv1alpha1.AuthRolloutStatus {
	w.Helper()
	var status keyturnv1alpha1.AuthRolloutStatus
	w.eventually("it goes on", func() string {
		w.never(int(percent), reached)
		if status = w.rollout().Status; status.State == nil || status.Percent == nil {
			return "no status yet"
		}
		return ""
	})
	if *status.Percent != percent || status.SunsetReachedTime.IsZero() == reached {
		w.Errorf("it goes on at %s", w.saying())
	}
	return status
}

// TestLostStatus: a status that is lost is recovered from the documents, at every moment; the step bakes anew, a command
// that was carried out is not repeated, and a hold goes on.
func TestLostStatus(t *testing.T) {
	w := newWorld(t)
	moving(w)
	w.minute(calm(1000))
	w.rolledTo(10)
	w.command("promote")
	w.rolledTo(50)
	w.carried(50)
	w.clock.step(5 * time.Minute)
	w.lose()
	status := w.goesOn(50, false)
	if status.State.Position != 2 || !status.State.Since.Time.Equal(w.clock.Now()) || status.State.Passed {
		t.Errorf("%+v, it is %s", status.State, w.clock.Now())
	}
	w.rolledTo(50)
	w.polls(2)
	w.history("Recovered 50->50") // the promote was carried out before
	if h := w.rollout().Status.History[0]; h.By != "Recovery" || !strings.Contains(h.Why, "50%") {
		t.Errorf("%+v", h)
	}
	w.eventually("an Event", func() string {
		if !slices.Contains(w.events(), keyturnv1alpha1.ReasonStatusRecovered) {
			return "StatusRecovered is missing"
		}
		return ""
	})
	w.minute(calm(500))
	w.minuteAfter(7*time.Minute, calm(500))
	w.rolledTo(50) // ten minutes from the recovery on, not from the first step
	w.command("hold")
	w.lose()
	if status = w.goesOn(50, false); status.State.HeldBy != "Held" {
		t.Errorf("a hold was lost: %+v", status.State)
	}
	w.command("resume")
	w.minuteAfter(10*time.Minute, calm(500))
	w.rolledTo(100)
	w.history("Recovered 50->50", "Promoted 50->100")
	if slices.Contains(w.events(), keyturnv1alpha1.ReasonDocumentRestored) {
		t.Error("a document was taken for somebody else's")
	}
}

// TestLostSunset: a sunset that was reached stays, whatever becomes of the status, also when the object is made anew while no
// manager looks.
func TestLostSunset(t *testing.T) {
	w := newWorld(t)
	ended(w)
	w.lose()
	status := w.goesOn(10, true)
	if status.Stage != "Sunset" {
		t.Error(w.saying())
	}
	w.eventually("the report", func() string { return map[bool]string{false: "none"}[w.rollout().Status.Report != ""] })
	w.stopManager()
	old := w.rollout()
	edit(w, old, func(aro *keyturnv1alpha1.AuthRollout) { aro.Finalizers = nil })
	w.remove(old)
	anew := w.newRollout()
	anew.Spec = *old.Spec.DeepCopy()
	w.create(anew)
	w.startManager()
	w.goesOn(10, true)
}

// TestForgedDocuments: while one document is as the manager wrote it, what the other says moves nobody, and ends nothing.
// Where neither is, what they say stays: a percentage that nobody is sure of moves nobody, and a sunset never goes back.
func TestForgedDocuments(t *testing.T) {
	for name, forge := range map[string]struct{ edge, issuer bool }{"edge": {edge: true}, "issuer": {issuer: true}, "both": {edge: true, issuer: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			moving(w)
			w.minute(calm(1000))
			w.rolledTo(10)
			w.carried(10)
			w.polls(2)
			w.stopManager()
			if forge.edge {
				doc, err := w.edgeDocument()
				w.forge(serviceName+"-edge-snapshot", doc.Rollout, err, func() ([]byte, error) { return snapshot.EncodeEdge(doc) })
			}
			if forge.issuer {
				doc, err := w.issuerDocument()
				w.forge(serviceName+"-issuer-snapshot", doc.Rollout, err, func() ([]byte, error) { return snapshot.EncodeIssuer(doc) })
			}
			w.lose()
			w.startManager()
			if forge.edge && forge.issuer {
				w.goesOn(100, true)
				return
			}
			w.eventually("it goes on", func() string {
				status := w.rollout().Status
				if status.State == nil {
					return "no status"
				}
				if status.State.Percent > 10 || !status.SunsetReachedTime.IsZero() {
					t.Fatalf("a forged document is believed: %s", w.saying())
				}
				return ""
			})
			w.rolledTo(10)
			w.carried(10)
		})
	}
}

// forge puts another percentage, and the sunset, into a document.
func (w *world) forge(name string, doc *snapshot.Rollout, err error, encode func() ([]byte, error)) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	doc.Percent, doc.SunsetReached = 100, true
	raw, err := encode()
	if err != nil {
		w.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: w.meta(name)}
	edit(w, secret, func(s *corev1.Secret) { s.Data[snapshotKey] = raw })
}

// TestKilledRecovery kills the manager at the writes of a recovery: whichever comes last, nobody goes back.
func TestKilledRecovery(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := int64(1); at <= 2; at++ {
			t.Run(fmt.Sprintf("write %d after %t", at, after), func(t *testing.T) {
				w := newWorld(t)
				moving(w)
				w.minute(calm(1000))
				w.rolledTo(10)
				w.carried(10)
				w.stopManager()
				// A change that the documents have to carry too, so that they are written at the same time.
				edit(w, w.newRollout(), func(aro *keyturnv1alpha1.AuthRollout) { aro.Spec.Include = []string{"carol"} })
				w.lose()
				g := axe(at, after)
				w.startManagerOver(func(next http.RoundTripper) http.RoundTripper {
					g.next = next
					return g
				})
				w.eventually("the manager dies", func() string {
					w.never(10, false)
					select {
					case <-g.dead:
						return ""
					default:
						return fmt.Sprintf("it has made %d writes", g.seen.Load())
					}
				})
				w.stopManager()
				w.startManager()
				w.goesOn(10, false)
				w.rolledTo(10)
				w.history("Recovered 10->10")
				w.eventually("the documents carry the change", func() string {
					w.never(10, false)
					if edge, _ := w.edgeDocument(); edge.Rollout == nil || len(edge.Rollout.Include) != 1 {
						return "not yet"
					}
					return ""
				})
			})
		}
	}
}

// TestBothStatusesLost: without any digest, both documents must agree.
func TestBothStatusesLost(t *testing.T) {
	w := newWorld(t)
	moving(w)
	w.minute(calm(1000))
	w.rolledTo(10)
	w.carried(10)
	w.stopManager()
	w.lose()
	service := w.service()
	service.Status = keyturnv1alpha1.TokenServiceStatus{}
	if err := admin.Status().Update(w.ctx, service); err != nil {
		t.Fatal(err)
	}
	w.startManager()
	w.goesOn(10, false)
}

// ended is a rollout that went to 10 % and through its sunset.
func ended(w *world) {
	w.Helper()
	start := w.clock.Now()
	moving(w, func(aro *keyturnv1alpha1.AuthRollout) {
		aro.Spec.Deprecation = &keyturnv1alpha1.DeprecationSpec{At: metav1.NewTime(start.Add(time.Hour))}
		aro.Spec.Sunset = &keyturnv1alpha1.SunsetSpec{At: metav1.NewTime(start.Add(2 * time.Hour)), RequireLegacyBelow: "100%"}
		aro.Spec.Steps[0].Approval = keyturnv1alpha1.ApprovalManual
	})
	w.minute(calm(1000))
	w.rolledTo(10)
	w.minuteAfter(3*time.Hour, calm(200))
	w.eventually("the sunset", func() string {
		edge, err := w.edgeDocument()
		if s := w.rollout().Status; err != nil || s.Stage != "Sunset" || !edge.Rollout.SunsetReached {
			return w.saying()
		}
		return ""
	})
}
