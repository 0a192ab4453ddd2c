package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
)

// why says what moved a step, for the history.
func (s *rolloutStep) why(policy rollout.Policy) string {
	state := &s.decision.State
	switch {
	case s.decision.Change == rollout.RolledBack:
		return fmt.Sprintf("%s by %s: %s", state.Rollback.Verdict, state.Rollback.Cause, evidence(state.Rollback.Cause, state.Rollback.Sample, &s.aro.Spec.Guard))
	case s.commanded.Action == rollout.Promote || s.commanded.Action == rollout.Abort:
		return fmt.Sprintf("command %s", s.commanded.ID)
	default:
		before := "the A/A check"
		if n := state.Position - 2; n >= 0 && n < len(policy.Steps) {
			before = fmt.Sprintf("%s at %d%%", duration.HumanDuration(policy.Steps[n].Bake), policy.Steps[n].Percent)
		}
		return fmt.Sprintf("%s and the guard: %s", before, compared(state.Judged))
	}
}

// by says who moved a step, for the history.
func (s *rolloutStep) by() string {
	if s.decision.Change != rollout.RolledBack && (s.commanded.Action == rollout.Promote || s.commanded.Action == rollout.Abort) {
		return "Command " + s.commanded.ID
	}
	return "Guard"
}

// announceStep tells as Events what the write of the status did.
func (r *authRolloutReconciler) announceStep(s *rolloutStep, before *keyturnv1alpha1.AuthRolloutStatus) {
	tell := func(kind, reason, action, format string, args ...any) {
		r.recorder.Eventf(s.aro, nil, kind, reason, action, "%s", clip(fmt.Sprintf(format, args...), 1024))
	}
	const normal, warning = corev1.EventTypeNormal, corev1.EventTypeWarning
	if s.recovered != "" {
		processMetrics().rollouts.change(s.aro, keyturnv1alpha1.ChangeRecovered)
		tell(warning, keyturnv1alpha1.ReasonStatusRecovered, "Recover", "%s: it goes on from there, and the step bakes anew", s.recovered)
	}
	if status := &s.aro.Status; before.Report == "" && status.Report != "" {
		tell(normal, keyturnv1alpha1.ReasonReportWritten, "Report", "the final report is in ConfigMap %s, as report.md and report.json", status.Report)
	}
	if s.decision.Change != rollout.Unchanged {
		last := s.aro.Status.History[0]
		if s.ended {
			last = s.aro.Status.History[1]
		}
		kind := warning
		if s.decision.Change == rollout.Promoted {
			kind = normal
		}
		processMetrics().rollouts.change(s.aro, string(s.decision.Change))
		tell(kind, string(s.decision.Change), "Steer", "%d%% -> %d%%: %s", last.From, last.To, last.Why)
	}
	switch s.commanded.Action {
	case rollout.Hold:
		tell(normal, keyturnv1alpha1.ReasonHeld, "Steer", "held at %d%% by command %s", s.decision.State.Percent, s.commanded.ID)
	case rollout.Resume:
		tell(normal, keyturnv1alpha1.ReasonResumed, "Steer", "resumed at %d%% by command %s", s.decision.State.Percent, s.commanded.ID)
	default: // its change was told
	}
	if s.refused != "" && before.RefusedCommand != s.aro.Status.RefusedCommand {
		tell(warning, keyturnv1alpha1.ReasonCommandRefused, "Steer", "%s", s.refused)
	}
	if s.ended {
		processMetrics().rollouts.change(s.aro, keyturnv1alpha1.ReasonSunsetReached)
		tell(normal, keyturnv1alpha1.ReasonSunsetReached, "Sunset", "legacy sessions are refused from now on; %s of the last requests had one", orNone(s.aro.Status.LegacyShare))
	}
	if before.Sunset != s.aro.Status.Sunset && (s.sunset == rollout.LegacyTraffic || s.sunset == rollout.NoCensus) {
		tell(warning, keyturnv1alpha1.ReasonSunsetWaits, "Sunset", "the sunset waits (%s): %s of the last requests had a legacy session, spec.sunset.requireLegacyBelow is %s",
			s.sunset, orNone(s.aro.Status.LegacyShare), s.aro.Spec.Sunset.RequireLegacyBelow)
	}
	r.announce(s.aro, before.Conditions, told(s.aro.Status.Conditions))
}

func orNone(share string) string {
	if share == "" {
		return "none"
	}
	return share
}

// told are the conditions whose changes are Events: not those that come and go with each step, which has an Event of its own.
func told(all []metav1.Condition) []metav1.Condition {
	var out []metav1.Condition
	for _, c := range all {
		switch c.Type {
		case keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ConditionResolvedRefs:
			out = append(out, c)
		case keyturnv1alpha1.ConditionReady:
			if c.Reason != keyturnv1alpha1.ReasonWaitingForReplicas {
				out = append(out, c)
			}
		case keyturnv1alpha1.ConditionGuardPassing:
			if c.Status == metav1.ConditionFalse {
				out = append(out, c)
			}
		}
	}
	return out
}
