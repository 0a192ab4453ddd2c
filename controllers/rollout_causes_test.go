package controllers

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// TestRollbackCauses: users of the cohort who wait, or must log in again, are a reason too; as long as it meets everybody
// it is none.
func TestRollbackCauses(t *testing.T) {
	counts := func(events, failures uint64) snapshot.EventCounts {
		return snapshot.EventCounts{Events: events, Failures: failures}
	}
	for cause, put := range map[string]func(t *traffic, cohort, control uint64){
		"Latency": func(t *traffic, cohort, control uint64) {
			t.slow = snapshot.EventSides{Cohort: counts(400, cohort), Control: counts(400, control)}
		},
		"ForcedLogins": func(t *traffic, cohort, control uint64) {
			t.logins = snapshot.EventSides{Cohort: counts(120, cohort), Control: counts(120, control)}
		},
	} {
		t.Run(cause, func(t *testing.T) {
			w := newWorld(t)
			moving(w)
			minute := func(cohort, control uint64) {
				next := calm(500)
				put(&next, cohort, control)
				w.minute(next)
			}
			minute(0, 0)
			w.rolledTo(10)
			for range 4 {
				minute(60, 60)
			}
			if s := w.rollout().Status; *s.Percent != 10 || s.State.Rollback != nil || s.Guard.Summary != "Passed" {
				t.Fatalf("what meets everybody moved it: %s", w.saying())
			}
			for range 2 {
				minute(60, 1)
			}
			w.sees(keyturnv1alpha1.ConditionGuardPassing, metav1.ConditionFalse, keyturnv1alpha1.ReasonGuardFailed)
			if s := w.rollout().Status; s.Guard.FailedBy != cause || s.Guard.Summary != "Failing 2/3" {
				t.Errorf("it says: %s", w.saying())
			}
			minute(60, 1)
			w.rolledTo(0)
			back := w.rollout().Status.State.Rollback
			if back == nil || back.Cause != cause || back.Verdict != "Failed" {
				t.Errorf("no evidence: %+v", back)
			}
			w.sees(keyturnv1alpha1.ConditionGuardPassing, metav1.ConditionFalse, keyturnv1alpha1.ReasonRolledBack)
			if why := w.rollout().Status.History[0].Why; !strings.HasPrefix(why, "Failed by "+cause+": ") {
				t.Errorf("the history says: %s", why)
			}
		})
	}
}
