package controllers

import (
	"fmt"
	"strings"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
)

// sides says how much of the same events was bad on both sides; nothing where there were none.
func sides(s rollout.Sides) string {
	if s.Cohort.Events+s.Control.Events == 0 {
		return ""
	}
	return fmt.Sprintf("%s, others %s", orNone(rate(s.Cohort)), orNone(rate(s.Control)))
}

// compared says what a sample compares.
func compared(sample rollout.Sample) string {
	text := fmt.Sprintf("%d of %d failed in the cohort (%.2f%%), %d of %d among the others (%.2f%%); %d of %d refreshes and exchanges",
		sample.Cohort.Failures, sample.Cohort.Events, sample.Cohort.Rate()*100, sample.Control.Failures, sample.Control.Events, sample.Control.Rate()*100,
		sample.Endpoints.Failures, sample.Endpoints.Events)
	if slow := sides(sample.Slow); slow != "" {
		text += "; slow: " + slow
	}
	if forced := sides(sample.Logins); forced != "" {
		text += "; forced logins: " + forced
	}
	return text
}

// blamed says what a sample failed by, with both rates, and where to look.
func blamed(cause rollout.Cause, sample rollout.Sample, guard *keyturnv1alpha1.GuardSpec) string {
	switch cause {
	case rollout.Endpoints:
		return fmt.Sprintf("refreshes and exchanges fail: %s, where %s of the others' events do", rate(sample.Endpoints), rate(sample.Control))
	case rollout.Latency:
		return fmt.Sprintf("decisions and logins of the cohort take longer than %s: %s", guard.Latency.Threshold.Duration, sides(sample.Slow))
	case rollout.ForcedLogins:
		return fmt.Sprintf("users of the cohort must log in again soon after they got a credential: %s of the logins; look for refreshes that are refused", sides(sample.Logins))
	default:
		return fmt.Sprintf("decisions and logins of the cohort fail: %s", sides(rollout.Sides{Cohort: sample.Cohort, Control: sample.Control}))
	}
}

// evidence is what failed first, and the rest after it.
func evidence(cause rollout.Cause, sample rollout.Sample, guard *keyturnv1alpha1.GuardSpec) string {
	return strings.Join([]string{blamed(cause, sample, guard), compared(sample)}, "; ")
}
