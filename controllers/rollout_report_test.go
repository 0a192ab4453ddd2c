package controllers

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func (w *world) report() *corev1.ConfigMap {
	w.Helper()
	var found corev1.ConfigMap
	if !w.get(&found, rolloutName+"-report") {
		return nil
	}
	return &found
}

// TestFinalReport: it comes with the sunset, tells what no manager remembers, and is put right.
func TestFinalReport(t *testing.T) {
	w := newWorld(t)
	w.fleet.tells(snapshot.Census{Since: w.clock.Now(), Requests: 40, Routes: lines("/orders/*", 30), Roles: lines("a|b\n# c", 12)})
	start := w.clock.Now()
	moving(w, func(aro *keyturnv1alpha1.AuthRollout) {
		aro.Spec.Deprecation = &keyturnv1alpha1.DeprecationSpec{At: metav1.NewTime(start.Add(2 * time.Hour))}
		aro.Spec.Sunset = &keyturnv1alpha1.SunsetSpec{At: metav1.NewTime(start.Add(3 * time.Hour)), RequireLegacyBelow: "100%"}
	})
	w.minute(calm(1000))
	w.rolledTo(10)
	w.command("promote")
	w.rolledTo(50)
	for range 4 {
		if *w.rollout().Status.Percent == 50 {
			w.minute(incident(40, 1))
		}
	}
	w.rolledTo(10)
	if w.report() != nil {
		t.Error("a final report before the end")
	}
	w.stopManager()
	w.clock.step(3 * time.Hour)
	w.startManager()
	w.eventually("the report", func() string {
		if w.rollout().Status.Report != rolloutName+"-report" || w.report() == nil {
			return w.saying()
		}
		return ""
	})
	first := w.report()
	var got rolloutReport
	if err := json.Unmarshal([]byte(first.Data["report.json"]), &got); err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, c := range got.Timeline {
		changes = append(changes, c.Change+" "+strings.Fields(c.By)[0])
	}
	if want := []string{"Promoted Guard", "Promoted Command", "RolledBack Guard", "SunsetReached Schedule"}; !slices.Equal(changes, want) {
		t.Errorf("timeline %q, want %q", changes, want)
	}
	if got.Format != "keyturn.dev/rollout-report/v1" || len(got.Rollbacks) != 1 || got.Rollbacks[0].From != 50 || !strings.Contains(got.Rollbacks[0].Why, "failed in the cohort") ||
		len(got.LegacyTraffic) != 1 || got.LegacyTraffic[0].Sessions == 0 || got.Census == nil || got.Census.Requests != 80 || got.Percent != 10 || got.SunsetReached.IsZero() {
		t.Errorf("%+v", got)
	}
	text := first.Data["report.md"]
	for _, want := range []string{"| Promoted | 0% | 10% | Guard |", "| RolledBack | 50% | 10% | Guard | Failed", "share of sessions", "`/orders/*` | 60 |", "`a·b # c` | 24 |", "2/2 edges"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if owner := metav1.GetControllerOf(first); owner == nil || owner.UID != w.rollout().UID {
		t.Errorf("it does not go with the rollout: %+v", owner)
	}
	w.eventually("an Event names it", func() string {
		if !slices.Contains(w.events(), keyturnv1alpha1.ReasonReportWritten) {
			return "none"
		}
		return ""
	})
	right := func(what string) {
		w.eventually(what, func() string {
			if now := w.report(); now == nil || now.Data["report.md"] != text || now.Data["report.json"] != first.Data["report.json"] {
				return "not yet"
			}
			return ""
		})
	}
	edit(w, w.report(), func(c *corev1.ConfigMap) { c.Data["report.md"], c.Data["report.json"] = "all went well", "" })
	right("an edit is put right")
	w.remove(w.report())
	right("a deletion is put right")
	w.stopManager()
	w.remove(w.report())
	w.startManager()
	right("the next manager writes the same")
	version := w.report().ResourceVersion
	w.polls(3)
	if now := w.report(); now.ResourceVersion != version {
		t.Error("it is written again and again")
	}
}

// TestForeignReport: somebody's own ConfigMap of that name is not overwritten, and the rollout says so.
func TestForeignReport(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.ConfigMap{ObjectMeta: w.meta(rolloutName + "-report"), Data: map[string]string{"mine": "yes"}})
	ended(w)
	w.sees(keyturnv1alpha1.ConditionReady, metav1.ConditionFalse, keyturnv1alpha1.ReasonForeignObject)
	if now := w.report(); len(now.Data) != 1 || w.rollout().Status.Report != "" {
		t.Errorf("%v", now.Data)
	}
	w.remove(w.report())
	w.sees(keyturnv1alpha1.ConditionReady, metav1.ConditionTrue, keyturnv1alpha1.ReasonReady)
}

// TestRollbackNotSafe: while nobody can tell what a session is worth, nobody should be led back to one.
func TestRollbackNotSafe(t *testing.T) {
	w := newWorld(t)
	moving(w, func(aro *keyturnv1alpha1.AuthRollout) {
		aro.Spec.Legacy.Validator.HTTP.SecretRef = &keyturnv1alpha1.SecretReference{Name: "legacy"}
	})
	found := w.sees(keyturnv1alpha1.ConditionRollbackSafe, metav1.ConditionFalse, keyturnv1alpha1.ReasonRefNotFound)
	if !strings.Contains(found.Message, `"legacy"`) {
		t.Error(found.Message)
	}
	w.create(&corev1.Secret{ObjectMeta: w.meta("legacy"), Data: map[string][]byte{"token": []byte("t0k3n-of-the-application")}})
	w.sees(keyturnv1alpha1.ConditionRollbackSafe, metav1.ConditionTrue, keyturnv1alpha1.ReasonAsExpected)
}
