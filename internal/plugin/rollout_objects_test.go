package plugin

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// bakingRollout is at 50 % since three days; the guard is content.
func bakingRollout() *v1alpha1.AuthRollout {
	bake, cooldown, percent := lasts(7*day), lasts(time.Hour), int32(50)
	judged := v1alpha1.RolloutSample{
		Cohort: v1alpha1.RolloutCounts{Events: 4210, Failures: 9}, Control: v1alpha1.RolloutCounts{Events: 4388, Failures: 10}, Endpoints: v1alpha1.RolloutCounts{Events: 301, Failures: 1},
	}
	return &v1alpha1.AuthRollout{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AuthRollout"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web", Generation: 1},
		Spec: v1alpha1.AuthRolloutSpec{
			TokenServiceRef: v1alpha1.TokenServiceReference{Name: "web"},
			Legacy: v1alpha1.LegacySpec{
				CookieName: "connect.sid", MaxSessionLife: lasts(30 * day),
				Validator: v1alpha1.LegacyValidator{HTTP: &v1alpha1.LegacyWebhook{URL: "https://shop.example.com/session", Timeout: lasts(2 * time.Second)}},
				Issuer:    &v1alpha1.LegacyWebhook{URL: "https://shop.example.com/sessions", Timeout: lasts(2 * time.Second)},
			},
			Bucketing: v1alpha1.BucketingSpec{Algorithm: v1alpha1.BucketingSHA256, Salt: "web-2026"},
			Steps: []v1alpha1.RolloutStep{
				{Percent: 10, Bake: &bake, Approval: v1alpha1.ApprovalAuto}, {Percent: 50, Bake: &bake, Approval: v1alpha1.ApprovalManual}, {Percent: 100, Bake: &bake, Approval: v1alpha1.ApprovalAuto},
			},
			Guard: v1alpha1.GuardSpec{
				Interval: lasts(time.Minute), MinSamples: 500, MaxIncrease: "0.5pp", ConsecutiveFailures: 3, FastFail: "5pp", MaxEndpointFailures: "5%", OnInconclusive: v1alpha1.InconclusiveHold,
			},
			Rollback:    v1alpha1.RollbackSpec{To: v1alpha1.RollbackPreviousStep, Cooldown: &cooldown},
			Deprecation: &v1alpha1.DeprecationSpec{At: at(-60 * day)},
			Sunset:      &v1alpha1.SunsetSpec{At: at(-90 * day), RequireLegacyBelow: "1%"},
		},
		Status: v1alpha1.AuthRolloutStatus{
			ObservedGeneration: 1, Stage: "Migrating", Step: "2/3", Percent: &percent, Since: at(3 * day), Next: "100% not before 2026-12-05T10:00Z", Replicas: "3/3",
			Guard:       v1alpha1.GuardStatus{Summary: "Passed", Cohort: "0.21% of 4210", Control: "0.23% of 4388", Endpoints: "0.33% of 301", SampledTime: at(30 * time.Second)},
			LegacyShare: "47.32%", Sunset: "2027-03-01T10:00Z",
			History: []v1alpha1.RolloutChange{
				{Time: at(3 * day), Change: "Promoted", From: 10, To: 50, Why: "7d at 10% and the guard: 3 of 1840 failed in the cohort (0.16%), 31 of 16530 among the others (0.19%); 0 of 102 refreshes and exchanges"},
				{Time: at(10 * day), Change: "Promoted", From: 0, To: 10, Why: "the A/A check and the guard: 2 of 1790 failed in the cohort (0.11%), 28 of 16288 among the others (0.17%); 0 of 0 refreshes and exchanges"},
			},
			State: &v1alpha1.RolloutState{Position: 2, Percent: 50, Since: at(3 * day), Passed: true, Judged: judged},
			Conditions: []metav1.Condition{
				condition("Ready", "True", "Ready", "the rollout is in force on every replica"),
				condition("Accepted", "True", "Accepted", "the rollout is valid and the only one of TokenService web"),
				condition("ResolvedRefs", "True", "Resolved", "TokenService web and every Secret that is named exist"),
				condition("InForce", "True", "AsExpected", "all 3 replicas work with 50%"),
				condition("GuardPassing", "True", "AsExpected", "9 of 4210 failed in the cohort (0.21%), 10 of 4388 among the others (0.23%); 1 of 301 refreshes and exchanges"),
				condition("Progressing", "True", "Baking", "2/3 of the steps are taken; the step is young (100% not before 2026-12-05T10:00Z)"),
				condition("RollbackSafe", "True", "AsExpected", "both credentials are accepted: a lower percentage logs nobody out"),
			},
		},
	}
}

// waitingRollout has baked and waits for somebody.
func waitingRollout() *v1alpha1.AuthRollout {
	aro := bakingRollout()
	aro.Status.Since, aro.Status.Next = at(8*day), "100% waits: AwaitingApproval"
	aro.Status.Conditions[5] = condition("Progressing", "False", "AwaitingApproval",
		"2/3 of the steps are taken; time and guard are satisfied: somebody must say kubectl keyturn rollout promote (100% waits: AwaitingApproval)")
	return aro
}

// takenBackRollout was taken back a quarter of an hour ago.
func takenBackRollout() *v1alpha1.AuthRollout {
	aro := bakingRollout()
	percent := int32(10)
	evidence := v1alpha1.RolloutSample{
		Cohort: v1alpha1.RolloutCounts{Events: 612, Failures: 29}, Control: v1alpha1.RolloutCounts{Events: 633, Failures: 2}, Endpoints: v1alpha1.RolloutCounts{Events: 44, Failures: 1},
	}
	const figures = "29 of 612 failed in the cohort (4.74%), 2 of 633 among the others (0.32%); 1 of 44 refreshes and exchanges"
	s := &aro.Status
	s.Step, s.Percent, s.Since, s.Next, s.Replicas = "1/3", &percent, at(12*time.Minute), "50% not before 2026-12-01T10:48Z", "2/3"
	s.WaitingFor = []string{"web-extauthz-7c9f6d-x2x4q does not answer: connection refused"}
	s.Guard = v1alpha1.GuardStatus{Summary: "RolledBack", Cohort: "4.74% of 612", Control: "0.32% of 633", Endpoints: "2.27% of 44", SampledTime: at(time.Minute)}
	s.History = append([]v1alpha1.RolloutChange{{Time: at(12 * time.Minute), Change: "RolledBack", From: 50, To: 10, Why: "Failed: " + figures}}, s.History...)
	s.State = &v1alpha1.RolloutState{
		Position: 1, Percent: 10, Since: s.Since, Judged: evidence, CooldownUntil: at(-48 * time.Minute),
		Rollback: &v1alpha1.RolloutRollback{At: s.Since, From: 50, To: 10, Verdict: "Failed", Sample: evidence},
	}
	s.Conditions[0] = condition("Ready", "False", "ReplicaUnreachable", s.WaitingFor[0])
	s.Conditions[3] = condition("InForce", "False", "ReplicaUnreachable", s.WaitingFor[0])
	s.Conditions[4] = condition("GuardPassing", "False", "RolledBack", "rolled back from 50% to 10% at 2026-12-01T09:48:00Z: "+figures)
	s.Conditions[5] = condition("Progressing", "False", "CoolingDown",
		"1/3 of the steps are taken; a step was taken back: mend the cause, then wait, or kubectl keyturn rollout resume (50% not before 2026-12-01T10:48Z)")
	return aro
}

// endedRollout is after its sunset.
func endedRollout() *v1alpha1.AuthRollout {
	aro := bakingRollout()
	percent := int32(100)
	s := &aro.Status
	s.Stage, s.Step, s.Percent, s.Next, s.Replicas, s.LegacyShare = "Sunset", "3/3", &percent, "none", "", "0.04%"
	s.Guard.Summary, s.Sunset, s.SunsetReachedTime, s.State.Position, s.State.Percent = "Ended", "reached 2026-11-30T10:00Z", at(day), 3, 100
	s.History = []v1alpha1.RolloutChange{{Time: at(day), Change: "SunsetReached", From: 100, To: 100, Why: "its time has come"}}
	s.Report = "web-report"
	s.Conditions[3] = condition("InForce", "True", "SunsetReached", "the sessions have ended: no percentage matters any more")
	s.Conditions[5] = condition("Progressing", "True", "SunsetReached", "the sessions have ended")
	s.Conditions[6] = condition("RollbackSafe", "False", "SunsetReached", "legacy sessions have ended and do not come back")
	return aro
}

// lateRollout is at 100 % and has users who still come with sessions.
func lateRollout() *v1alpha1.AuthRollout {
	aro := bakingRollout()
	percent := int32(100)
	s := &aro.Status
	s.Step, s.Percent, s.Since, s.Next, s.LegacyShare = "3/3", &percent, at(day), "none", "6.10%"
	s.State.Position, s.State.Percent, s.State.Since = 3, 100, s.Since
	s.History = append([]v1alpha1.RolloutChange{{Time: at(day), Change: "Promoted", From: 50, To: 100, By: "Command 2026-11-30T10:00:00Z", Why: "command 2026-11-30T10:00:00Z"}}, s.History...)
	s.Census.Legacy = v1alpha1.LegacyCensus{
		Since: at(40 * time.Hour), ReadTime: at(4 * time.Minute), Replicas: "2/2", Requests: 81204,
		Routes: []v1alpha1.CensusLine{{Value: "/customer-portal/*", Requests: 61877}, {Value: "/orders/*", Requests: 12040}, {Value: "/reports", Requests: 700}},
		Agents: []v1alpha1.CensusLine{{Value: "okhttp", Requests: 58112}, {Value: "chrome", Requests: 16098}},
		Roles:  []v1alpha1.CensusLine{{Value: "courier", Requests: 60001}, {Requests: 9120}},
	}
	s.Conditions[5] = condition("Progressing", "True", "Complete", "3/3 of the steps are taken; everybody is in the cohort (none)")
	return aro
}

// newRollout was applied a moment ago.
func newRollout() *v1alpha1.AuthRollout {
	aro := bakingRollout()
	aro.Status = v1alpha1.AuthRolloutStatus{}
	return aro
}
