package v1alpha1_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// rollout is one as a controller writes it.
func rollout(meta metav1.ObjectMeta) *v1alpha1.AuthRollout {
	return &v1alpha1.AuthRollout{ObjectMeta: meta, Spec: v1alpha1.AuthRolloutSpec{
		TokenServiceRef: v1alpha1.TokenServiceReference{Name: "web"},
		Legacy: v1alpha1.LegacySpec{
			CookieName: "connect.sid", Validator: v1alpha1.LegacyValidator{HTTP: &v1alpha1.LegacyWebhook{URL: "https://shop.example.com/session"}},
		},
		Bucketing: v1alpha1.BucketingSpec{Salt: "web-2026"},
		Steps:     []v1alpha1.RolloutStep{{Percent: 10}, {Percent: 100}},
	}}
}

func rolloutStatus() v1alpha1.AuthRolloutStatus {
	percent := int32(10)
	sample := v1alpha1.RolloutSample{
		Cohort: v1alpha1.RolloutCounts{Events: 1200, Failures: 40}, Control: v1alpha1.RolloutCounts{Events: 9000, Failures: 12},
		Endpoints: v1alpha1.RolloutCounts{Events: 80},
	}
	return v1alpha1.AuthRolloutStatus{
		ObservedGeneration: 1, Stage: "Migrating", Step: "1/2", Percent: &percent, Since: ago(time.Hour), Next: "100% not before 2036-12-21T10:00Z",
		Replicas: "2/3", WaitingFor: []string{"web-extauthz-7c9f has 0%"},
		Guard:       v1alpha1.GuardStatus{Summary: "Failing 1/3", Cohort: "3.33% of 1200", Control: "0.13% of 9000", SampledTime: ago(time.Minute)},
		LegacyShare: "88.20%", Census: v1alpha1.CensusStatus{Current: v1alpha1.UsageStatus{From: ago(time.Hour), Until: ago(0), Sessions: 9000, Tokens: 1200},
			Days: []v1alpha1.UsageStatus{{From: ago(48 * time.Hour), Until: ago(24 * time.Hour), Sessions: 9000}},
			Legacy: v1alpha1.LegacyCensus{
				Since: ago(time.Hour), ReadTime: ago(0), Replicas: "2/2", Requests: 9000,
				Routes: []v1alpha1.CensusLine{{Value: "/orders/*", Requests: 8000}}, Agents: []v1alpha1.CensusLine{{Value: "curl", Requests: 8000}}, Roles: []v1alpha1.CensusLine{{Requests: 8000}},
			}},
		Report: "web-report",
		Sunset: "2037-03-31T09:00Z",
		History: []v1alpha1.RolloutChange{
			{Time: ago(time.Hour), Change: "Promoted", From: 0, To: 10, By: "Guard", Why: "time and guard"},
		},
		State: &v1alpha1.RolloutState{
			Position: 1, Percent: 10, Since: ago(time.Hour), Gathered: sample, Failures: 1, Judged: sample, HeldBy: "Held", CooldownUntil: ago(0),
			Rollback: &v1alpha1.RolloutRollback{At: ago(time.Hour), From: 100, To: 10, Verdict: "Failed", Sample: sample}, Command: "2026-11-21T10:00:00Z",
		},
		Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, "True"), condition(v1alpha1.ConditionRollbackSafe, "True")},
	}
}
