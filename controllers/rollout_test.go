package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// TestWholeRollout walks the users of legacy sessions over, from the A/A check to the sunset.
func TestWholeRollout(t *testing.T) {
	w := newWorld(t)
	start := w.clock.Now()
	moving(w, func(aro *keyturnv1alpha1.AuthRollout) {
		aro.Spec.Deprecation = &keyturnv1alpha1.DeprecationSpec{At: metav1.NewTime(start.Add(60 * 24 * time.Hour)), Link: new("https://www.example.com/new")}
		aro.Spec.Sunset = &keyturnv1alpha1.SunsetSpec{At: metav1.NewTime(start.Add(90 * 24 * time.Hour))}
		aro.Spec.Steps[1].Approval = keyturnv1alpha1.ApprovalManual
	})
	w.carried(0)
	w.minute(calm(1000))
	w.rolledTo(10) // the two sides are alike: the A/A check is over
	w.carried(10)
	w.sees(keyturnv1alpha1.ConditionRollbackSafe, metav1.ConditionTrue, keyturnv1alpha1.ReasonAsExpected)
	w.minute(calm(900))
	if status := w.rollout().Status; *status.Percent != 10 || status.Guard.Summary != "Passed" || !strings.HasPrefix(status.Next, "50% not before") {
		t.Errorf("after a minute: %s", w.saying())
	}
	w.minuteAfter(10*time.Minute, calm(900))
	w.rolledTo(50)
	w.minute(calm(500))
	w.minuteAfter(10*time.Minute, calm(500))
	w.sees(keyturnv1alpha1.ConditionProgressing, metav1.ConditionFalse, keyturnv1alpha1.ReasonAwaitingApproval)
	w.command("promote")
	w.rolledTo(100)
	w.carried(100)
	w.minute(calm(200))
	w.sees(keyturnv1alpha1.ConditionProgressing, metav1.ConditionTrue, keyturnv1alpha1.ReasonComplete)
	w.history("Promoted 0->10", "Promoted 10->50", "Promoted 50->100")

	w.minuteAfter(60*24*time.Hour, calm(200))
	w.sees(keyturnv1alpha1.ConditionRollbackSafe, metav1.ConditionFalse, keyturnv1alpha1.ReasonDeprecated)
	w.minuteAfter(30*24*time.Hour, calm(200))
	w.eventually("the sunset waits", func() string {
		if s := w.rollout().Status; s.Stage != "Deprecated" || s.Sunset != "waits: NoCensus" {
			return w.saying()
		}
		return ""
	})
	w.minuteAfter(24*time.Hour-time.Minute, calm(20)) // 22 % of a whole day
	w.eventually("the sunset waits for the traffic", func() string {
		if s := w.rollout().Status; s.Sunset != "waits: LegacyTraffic" {
			return w.saying()
		}
		return ""
	})
	w.minuteAfter(24*time.Hour-time.Minute, calm(5))
	w.eventually("the sunset", func() string {
		edge, err := w.edgeDocument()
		if s := w.rollout().Status; err != nil || s.Stage != "Sunset" || !edge.Rollout.SunsetReached {
			return w.saying()
		}
		return ""
	})
	w.command("abort")
	if s := w.rollout().Status; *s.Percent != 100 || s.SunsetReachedTime.IsZero() {
		t.Errorf("a command after the sunset: %s", w.saying())
	}
	w.history("Promoted 0->10", "Promoted 10->50", "Promoted 50->100", "SunsetReached 100->100")
	w.eventually("Events", func() string {
		for _, reason := range []string{"Promoted", "SunsetReached", "SunsetWaits", "CommandRefused"} {
			if !slices.Contains(w.events(), reason) {
				return reason + " is missing"
			}
		}
		return ""
	})
}

// TestRollback: an incident that meets the cohort alone takes the step back within four intervals; the same for all does not.
func TestRollback(t *testing.T) {
	w := newWorld(t)
	moving(w)
	w.minute(calm(1000))
	w.rolledTo(10)
	for range 4 {
		w.minute(incident(40, 40)) // the backend is down for everybody
	}
	if s := w.rollout().Status; *s.Percent != 10 || s.State.Rollback != nil {
		t.Fatalf("an incident of everybody moved it: %s", w.saying())
	}
	w.command("promote")
	w.rolledTo(50)
	intervals := 0
	for *w.rollout().Status.Percent == 50 && intervals < 4 {
		w.minute(incident(16, 1)) // 4 % against 0.25 %
		intervals++
	}
	w.rolledTo(10)
	w.carried(10)
	state := w.rollout().Status.State
	if state.Rollback == nil || state.Rollback.From != 50 || state.Rollback.To != 10 || state.Rollback.Sample.Cohort.Failures == 0 {
		t.Errorf("no evidence: %+v", state.Rollback)
	}
	t.Logf("rolled back after %d intervals", intervals)
	w.sees(keyturnv1alpha1.ConditionGuardPassing, metav1.ConditionFalse, keyturnv1alpha1.ReasonRolledBack)
	// In the cooldown nothing is tried again, however good it looks.
	for range 12 {
		w.minute(calm(500))
	}
	if got := *w.rollout().Status.Percent; got != 10 {
		t.Errorf("%d %% in the cooldown", got)
	}
	w.sees(keyturnv1alpha1.ConditionProgressing, metav1.ConditionFalse, keyturnv1alpha1.ReasonCoolingDown)
	w.command("resume")
	w.rolledTo(50)
	w.history("Promoted 0->10", "Promoted 10->50", "RolledBack 50->10", "Promoted 10->50")
	w.eventually("Event", func() string {
		if !slices.Contains(w.events(), "RolledBack") {
			return "RolledBack is missing"
		}
		return ""
	})
}

// TestHeldWithoutData: a replica that cannot be read, or says nothing of the rollout, holds the step; it neither promotes nor
// takes back.
func TestHeldWithoutData(t *testing.T) {
	for name, does := range map[string]fault{"unreachable": {unreachable: true}, "silent": {silent: true}, "behind": {lag: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			moving(w)
			w.minute(calm(1000))
			if does.lag {
				w.fleet.set("edge", does)
				w.command("promote")
			} else {
				w.rolledTo(10)
				w.minute(calm(500))
				w.fleet.set("edge", does)
			}
			w.fleet.serve(incident(400, 0))
			w.clock.step(20 * time.Minute)
			w.poke()
			w.sees(keyturnv1alpha1.ConditionGuardPassing, metav1.ConditionUnknown, keyturnv1alpha1.ReasonNoData)
			w.sees(keyturnv1alpha1.ConditionProgressing, metav1.ConditionFalse, keyturnv1alpha1.ReasonNoData)
			held := w.rollout().Status
			if held.Guard.Summary != "NoData" || len(held.WaitingFor) == 0 || !strings.Contains(held.WaitingFor[0], "web-extauthz") {
				t.Errorf("it says: %s", w.saying())
			}
			w.polls(3)
			if now := w.rollout().Status; *now.Percent != *held.Percent || len(now.History) != len(held.History) {
				t.Errorf("it moved: %s", w.saying())
			}
			w.fleet.set("edge", fault{})
			w.fleet.restart() // whatever they had counted is gone
			w.sees(keyturnv1alpha1.ConditionInForce, metav1.ConditionTrue, keyturnv1alpha1.ReasonAsExpected)
			w.clock.step(time.Minute)
			w.poke()
			w.eventually("it goes on", func() string {
				if s := w.rollout().Status; s.Guard.Summary == "NoData" {
					return w.saying()
				}
				return ""
			})
		})
	}
}

// TestRolloutCommands: hold, resume, abort, and what is no command.
func TestRolloutCommands(t *testing.T) {
	w := newWorld(t)
	moving(w)
	w.command("hold")
	w.minute(calm(1000))
	w.sees(keyturnv1alpha1.ConditionProgressing, metav1.ConditionFalse, keyturnv1alpha1.ReasonHeld)
	w.command("resume")
	w.rolledTo(10)
	w.command("promote now")
	w.command("dance")
	w.rolledTo(10)
	w.command("abort")
	w.rolledTo(0)
	w.sees(keyturnv1alpha1.ConditionProgressing, metav1.ConditionFalse, keyturnv1alpha1.ReasonAborted)
	for range 2 {
		w.minute(calm(1000))
	}
	w.rolledTo(0)
	w.history("Promoted 0->10", "Aborted 10->0")
	// An annotation of yesterday, as a GitOps tool may put it back, is refused, and so is the one that was carried out.
	done := w.rollout().Status.State.Command
	put := func(id string) {
		edit(w, w.newRollout(), func(aro *keyturnv1alpha1.AuthRollout) {
			aro.Annotations[keyturnv1alpha1.AnnotationRolloutCommand] = id + " promote"
		})
	}
	put(w.clock.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339))
	w.eventually("the old command is refused", func() string {
		if s := w.rollout().Status; !strings.Contains(s.RefusedCommand, "came before that of") {
			return s.RefusedCommand
		}
		return ""
	})
	put(done)
	w.eventually("it was carried out before", func() string { return w.rollout().Status.RefusedCommand })
	w.polls(2)
	w.rolledTo(0)
	if got := w.rollout().Status.State.Command; got != done {
		t.Errorf("acknowledged %q, want %q", got, done)
	}
}

// TestConflictedRollout: the oldest counts; when it goes, the next one does.
func TestConflictedRollout(t *testing.T) {
	w := newWorld(t)
	moving(w)
	second := w.newRollout()
	second.Name = "zz-second"
	second.Spec.Bucketing.Salt = "other"
	w.create(second)
	w.eventually("the second is refused", func() string {
		w.get(second, second.Name)
		found := conditions{&second.Status.Conditions, 0}.find(keyturnv1alpha1.ConditionAccepted)
		if found == nil || found.Reason != keyturnv1alpha1.ReasonConflicted || second.Status.State != nil {
			return w.saying()
		}
		return ""
	})
	edge, err := w.edgeDocument()
	if err != nil || edge.Rollout.Salt != "web-2026" {
		t.Errorf("the edge has %+v: %v", edge.Rollout, err)
	}
	w.remove(w.newRollout())
	w.eventually("the second takes over", func() string {
		edge, err := w.edgeDocument()
		if err != nil || edge.Rollout == nil || edge.Rollout.Salt != "other" {
			return "the edge has another"
		}
		return ""
	})
}
