package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// everySample has another number at each place.
func everySample(n uint64) rollout.Sample {
	next := func() rollout.Counts { n += 10; return rollout.Counts{Events: n + 5, Failures: n} }
	return rollout.Sample{
		Cohort: next(), Control: next(), Endpoints: next(),
		Slow: rollout.Sides{Cohort: next(), Control: next()}, Logins: rollout.Sides{Cohort: next(), Control: next()},
	}
}

// The status keeps all of the state: what it forgets, a manager that starts anew would decide without.
func TestStateInTheStatus(t *testing.T) {
	at := time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)
	state := rollout.State{
		Position: 2, Percent: 50, Since: at, Gathered: everySample(100), Passed: true, Failures: 1, Cause: rollout.Latency, LoginFailures: 2,
		Judged: everySample(300), Baseline: rollout.Baseline{Events: rollout.Counts{Events: 9, Failures: 1}, Slow: rollout.Counts{Events: 8, Failures: 2}, Logins: rollout.Counts{Events: 7, Failures: 3}},
		Blind: true, HeldBy: rollout.Held, CooldownUntil: at.Add(time.Hour), Command: "1",
		Rollback: &rollout.Rollback{At: at, From: 50, To: 10, Verdict: rollout.Failed, Cause: rollout.ForcedLogins, Sample: everySample(500)},
	}
	status := keyturnv1alpha1.AuthRolloutStatus{State: stateStatus(state)}
	if diff := cmp.Diff(state, rolloutState(&status)); diff != "" {
		t.Error(diff)
	}
}

// Whoever is on call learns what failed, at which rate here and there, before anything else.
func TestEvidence(t *testing.T) {
	guard := &keyturnv1alpha1.GuardSpec{Latency: keyturnv1alpha1.LatencyGuard{Threshold: metav1.Duration{Duration: 250 * time.Millisecond}}}
	sample := rollout.Sample{
		Cohort: rollout.Counts{Events: 1000, Failures: 60}, Control: rollout.Counts{Events: 4000, Failures: 8}, Endpoints: rollout.Counts{Events: 200, Failures: 30},
		Slow:   rollout.Sides{Cohort: rollout.Counts{Events: 1000, Failures: 41}, Control: rollout.Counts{Events: 4000, Failures: 12}},
		Logins: rollout.Sides{Cohort: rollout.Counts{Events: 120, Failures: 60}, Control: rollout.Counts{Events: 480, Failures: 5}},
	}
	for cause, want := range map[rollout.Cause]string{
		rollout.Errors:       "decisions and logins of the cohort fail: 6.00% of 1000, others 0.20% of 4000",
		rollout.Endpoints:    "refreshes and exchanges fail: 15.00% of 200, where 0.20% of 4000 of the others",
		rollout.Latency:      "decisions and logins of the cohort take longer than 250ms: 4.10% of 1000, others 0.30% of 4000",
		rollout.ForcedLogins: "users of the cohort must log in again soon after they got a credential: 50.00% of 120, others 1.04% of 480",
	} {
		got := evidence(cause, sample, guard)
		if !strings.HasPrefix(got, want) || !strings.Contains(got, "60 of 1000 failed in the cohort") {
			t.Errorf("%s: %s", cause, got)
		}
		why := (&rolloutStep{aro: &keyturnv1alpha1.AuthRollout{Spec: keyturnv1alpha1.AuthRolloutSpec{Guard: *guard}}, decision: rollout.Decision{
			Change: rollout.RolledBack, State: rollout.State{Rollback: &rollout.Rollback{Verdict: rollout.Failed, Cause: cause, Sample: sample}},
		}}).why(rollout.Policy{})
		if !strings.HasPrefix(why, "Failed by "+string(cause)+": "+want) || len(want)+len("Failed by : ")+len(cause) > 256 {
			t.Errorf("the history says: %s", why)
		}
	}
	if got := compared(rollout.Sample{}); strings.Contains(got, "slow") || strings.Contains(got, "forced") {
		t.Errorf("without any: %s", got)
	}
}

// Slow and forced ones are differences as the rest is, and a counter that went back tells nothing.
func TestDifferencesOfSides(t *testing.T) {
	sides := func(n uint64) snapshot.EventSides {
		return snapshot.EventSides{Cohort: snapshot.EventCounts{Events: 10 * n, Failures: n}, Control: snapshot.EventCounts{Events: 20 * n, Failures: 2 * n}}
	}
	at := time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)
	until := func(before, now snapshot.RolloutCounts) rollout.Sample {
		begun, end := &tally{at: at, replicas: map[types.UID]snapshot.RolloutCounts{"a": before}}, &tally{replicas: map[types.UID]snapshot.RolloutCounts{"a": now}}
		sample, _, _ := begun.until(end)
		return sample
	}
	want := rollout.Sample{
		Slow:   rollout.Sides{Cohort: rollout.Counts{Events: 20, Failures: 2}, Control: rollout.Counts{Events: 40, Failures: 4}},
		Logins: rollout.Sides{Cohort: rollout.Counts{Events: 30, Failures: 3}, Control: rollout.Counts{Events: 60, Failures: 6}},
	}
	if diff := cmp.Diff(want, until(snapshot.RolloutCounts{Slow: sides(1), Logins: sides(2)}, snapshot.RolloutCounts{Slow: sides(3), Logins: sides(5)})); diff != "" {
		t.Error(diff)
	}
	torn := snapshot.RolloutCounts{Cohort: snapshot.EventCounts{Events: 10, Failures: 5}}
	if got := until(snapshot.RolloutCounts{Cohort: snapshot.EventCounts{Events: 10, Failures: 4}}, torn).Cohort; got != (rollout.Counts{}) {
		t.Errorf("more failures than events: %+v", got)
	}
	for name, now := range map[string]snapshot.RolloutCounts{"slow": {Slow: sides(1), Logins: sides(9)}, "logins": {Slow: sides(9), Logins: sides(1)}} {
		if got := until(snapshot.RolloutCounts{Slow: sides(2), Logins: sides(2)}, now); got != (rollout.Sample{}) {
			t.Errorf("%s went back: %+v", name, got)
		}
	}
}

// At 100 % without anything to compare with, the status says so, until there is a baseline or a judgement fails.
func TestNoBaselineInWords(t *testing.T) {
	for _, row := range []struct {
		state  rollout.State
		want   string
		reason string
	}{
		{rollout.State{Percent: 100}, "NoBaseline 0/500", keyturnv1alpha1.ReasonNoBaseline},
		{rollout.State{Percent: 100, Gathered: rollout.Sample{Cohort: rollout.Counts{Events: 20}}}, "NoBaseline 20/500", keyturnv1alpha1.ReasonNoBaseline},
		{rollout.State{Percent: 100, Failures: 1}, "Failing 1/3", keyturnv1alpha1.ReasonGuardFailed},
		{rollout.State{Percent: 50}, "Gathering 0/500", keyturnv1alpha1.ReasonTooFewSamples},
		{rollout.State{Percent: 100, Passed: true, Baseline: rollout.Baseline{Events: rollout.Counts{Events: 500}}}, "Passed", keyturnv1alpha1.ReasonAsExpected},
	} {
		aro := &keyturnv1alpha1.AuthRollout{Spec: keyturnv1alpha1.AuthRolloutSpec{Guard: keyturnv1alpha1.GuardSpec{MinSamples: 500, ConsecutiveFailures: 3}}}
		s := &rolloutStep{aro: aro, conds: conditions{&aro.Status.Conditions, 1}, decision: rollout.Decision{State: row.state}}
		guardCondition(s)
		if got := guardInWords(s); got != row.want || aro.Status.Conditions[0].Reason != row.reason {
			t.Errorf("%+v: %q, %+v", row.state, got, aro.Status.Conditions)
		}
	}
}
