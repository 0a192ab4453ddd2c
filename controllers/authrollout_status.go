package controllers

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
)

// reportRollout projects the state and what was decided into the rest of the status.
func reportRollout(s *rolloutStep) {
	status, state := &s.aro.Status, &s.decision.State
	percent := int32(state.Percent) //nolint:gosec // at most 100
	status.Stage = rolloutSchedule(s.aro).Stage(s.now).String()
	status.Step = fmt.Sprintf("%d/%d", state.Position, len(s.aro.Spec.Steps))
	status.Percent, status.Since = &percent, instantStatus(state.Since)
	status.LegacyShare = ""
	if share, known := censusOf(status.Census).Share(); known {
		status.LegacyShare = fmt.Sprintf("%.2f%%", share*100)
	}
	status.Sunset = sunsetInWords(s)
	status.Next = nextStepInWords(s)
	status.Guard.Summary = guardInWords(s)
	status.Guard.Cohort, status.Guard.Control, status.Guard.Endpoints = rate(state.Judged.Cohort), rate(state.Judged.Control), rate(state.Judged.Endpoints)
	status.Guard.FailedBy, status.Guard.Slow, status.Guard.ForcedLogins = string(state.Cause), sides(state.Judged.Slow), sides(state.Judged.Logins)
	inForceCondition(s)
	guardCondition(s)
	progressCondition(s)
	rollbackCondition(s)
}

func rate(c rollout.Counts) string {
	if c.Events == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f%% of %d", c.Rate()*100, c.Events)
}

const rolloutInstant = "2006-01-02T15:04Z"

// sunsetWaitsFor stands before what the sunset waits for; the metrics read it.
const sunsetWaitsFor = "waits: "

// sunsetInWords is the SUNSET column.
func sunsetInWords(s *rolloutStep) string {
	reached := s.aro.Status.SunsetReachedTime
	switch {
	case !reached.IsZero():
		return "reached " + reached.UTC().Format(rolloutInstant)
	case s.aro.Spec.Sunset == nil:
		return "none"
	case s.sunset == rollout.NotYet:
		return s.aro.Spec.Sunset.At.UTC().Format(rolloutInstant)
	default:
		return sunsetWaitsFor + string(s.sunset)
	}
}

// nextStepInWords says what comes next.
func nextStepInWords(s *rolloutStep) string {
	state, steps := &s.decision.State, s.aro.Spec.Steps
	if !s.aro.Status.SunsetReachedTime.IsZero() || state.Position >= len(steps) {
		return "none"
	}
	next := fmt.Sprintf("%d%%", steps[state.Position].Percent)
	if s.decision.After > 0 {
		return next + " not before " + s.now.Add(s.decision.After).UTC().Format(rolloutInstant)
	}
	if s.decision.Waiting == "" {
		return next + " now"
	}
	return next + " waits: " + string(s.decision.Waiting)
}

// guardInWords is the GUARD column.
func guardInWords(s *rolloutStep) string {
	state, guard := &s.decision.State, &s.aro.Spec.Guard
	switch {
	case !s.aro.Status.SunsetReachedTime.IsZero():
		return "Ended"
	case state.Blind:
		return "NoData"
	case state.HeldBy == rollout.UnevenSplit:
		return "UnevenSplit"
	case s.now.Before(state.CooldownUntil):
		return "RolledBack"
	case state.Failures > 0 || state.LoginFailures > 0:
		return fmt.Sprintf("Failing %d/%d", max(state.Failures, state.LoginFailures), guard.ConsecutiveFailures)
	case state.NoBaseline(rolloutPolicy(&s.aro.Spec).Guard):
		return fmt.Sprintf("NoBaseline %d/%d", state.Gathered.Cohort.Events, guard.MinSamples)
	case state.Passed:
		return "Passed"
	}
	fewest := state.Gathered.Cohort.Events
	if state.Percent < 100 {
		fewest = min(fewest, state.Gathered.Control.Events)
	}
	return fmt.Sprintf("Gathering %d/%d", fewest, guard.MinSamples)
}

// Bounds of what a status lists.
const maxShownLagging = 16

func inForceCondition(s *rolloutStep) {
	const kind = keyturnv1alpha1.ConditionInForce
	status, percent := &s.aro.Status, s.decision.State.Percent
	if s.seen.ended {
		status.Replicas, status.WaitingFor = "", nil
		s.conds.good(kind, keyturnv1alpha1.ReasonSunsetReached, "the sessions have ended: no percentage matters any more")
		return
	}
	if s.decision.Change != rollout.Unchanged { // no replica can have what is only being written
		s.seen.loaded, s.seen.lagging = 0, nil
	}
	status.Replicas = fmt.Sprintf("%d/%d", s.seen.loaded, s.seen.total)
	status.WaitingFor = nil
	for _, who := range s.seen.lagging[:min(len(s.seen.lagging), maxShownLagging)] {
		status.WaitingFor = append(status.WaitingFor, clip(who, 253))
	}
	switch {
	case s.seen.total == 0:
		s.conds.bad(kind, keyturnv1alpha1.ReasonNoReplicas, "no replica serves yet")
	case s.seen.unreachable:
		s.conds.bad(kind, keyturnv1alpha1.ReasonReplicaUnreachable, "%s", strings.Join(s.seen.lagging, "; "))
	case s.seen.loaded < s.seen.total:
		s.conds.bad(kind, keyturnv1alpha1.ReasonWaitingForReplicas, "%d of %d replicas work with %d%%: %s", s.seen.loaded, s.seen.total, percent, strings.Join(s.seen.lagging, "; "))
	default:
		s.conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "all %d replicas work with %d%%", s.seen.total, percent)
	}
}

func laggingOr(lagging []string, otherwise string) string {
	if len(lagging) == 0 {
		return otherwise
	}
	return strings.Join(lagging, "; ")
}

func guardCondition(s *rolloutStep) {
	const kind = keyturnv1alpha1.ConditionGuardPassing
	state, guard := &s.decision.State, &s.aro.Spec.Guard
	switch {
	case s.seen.ended:
		s.conds.good(kind, keyturnv1alpha1.ReasonSunsetReached, "the sessions have ended: there is nothing to compare any more")
	case state.Blind:
		s.conds.set(kind, metav1.ConditionUnknown, keyturnv1alpha1.ReasonNoData, "the counters of the last interval could not be read, so nothing moves: %s", laggingOr(s.seen.lagging, "all replicas answer again, the next interval is being counted"))
	case state.HeldBy == rollout.UnevenSplit:
		s.conds.bad(kind, keyturnv1alpha1.ReasonUnevenSplit, "the two sides differ although nobody got anything yet: %s; wait for the next judgement, or use another salt in another AuthRollout", compared(state.Judged))
	case s.now.Before(state.CooldownUntil) && state.Rollback != nil:
		s.conds.bad(kind, keyturnv1alpha1.ReasonRolledBack, "rolled back from %d%% to %d%% at %s: %s", state.Rollback.From, state.Rollback.To,
			state.Rollback.At.UTC().Format(time.RFC3339), evidence(state.Rollback.Cause, state.Rollback.Sample, guard))
	case state.Failures > 0 || state.LoginFailures > 0:
		s.conds.bad(kind, keyturnv1alpha1.ReasonGuardFailed, "%d of %d judgements in a row failed: %s", max(state.Failures, state.LoginFailures), guard.ConsecutiveFailures, evidence(state.Cause, state.Judged, guard))
	case state.NoBaseline(rolloutPolicy(&s.aro.Spec).Guard):
		s.conds.set(kind, metav1.ConditionUnknown, keyturnv1alpha1.ReasonNoBaseline,
			"everybody is in the cohort, and no earlier step is known to compare it with: until %d events (%d so far) keep the limits, at most guard.maxIncrease of them may fail, "+
				"and slow ones and forced logins are not judged; what keeps the limits is compared with from then on", guard.MinSamples, state.Gathered.Cohort.Events)
	case state.Passed:
		s.conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "%s", compared(state.Judged))
	default:
		s.conds.set(kind, metav1.ConditionUnknown, keyturnv1alpha1.ReasonTooFewSamples, "too few events to judge this step yet: %s of %d wanted on each side", strings.TrimPrefix(guardInWords(s), "Gathering "), guard.MinSamples)
	}
}

// progressing are the reasons that need nobody.
var progressing = map[rollout.Reason]bool{"": true, rollout.Baking: true, rollout.Watching: true, rollout.Complete: true}

// advice says what to do about a reason to wait.
var advice = map[rollout.Reason]string{
	"":                       "the next step comes now",
	rollout.Baking:           "the step is young",
	rollout.Watching:         "the guard has not had enough events at this step yet, or is counting an interval",
	rollout.Complete:         "everybody is in the cohort",
	rollout.NoData:           "the replicas' counters could not be read: condition InForce names the replicas",
	rollout.AwaitingApproval: "time and guard are satisfied: somebody must say kubectl keyturn rollout promote",
	rollout.Held:             "somebody said hold: kubectl keyturn rollout resume goes on",
	rollout.Aborted:          "somebody said abort: kubectl keyturn rollout resume begins again",
	rollout.Paused:           "spec.paused is true: set it to false",
	rollout.CoolingDown:      "a step was taken back: mend the cause, then wait, or kubectl keyturn rollout resume",
	rollout.Unhealthy:        "the last judgement failed: condition GuardPassing has the figures",
	rollout.UnevenSplit:      "the users do not divide evenly: condition GuardPassing has the figures",
}

func progressCondition(s *rolloutStep) {
	const kind = keyturnv1alpha1.ConditionProgressing
	reason := string(s.decision.Waiting)
	switch {
	case s.seen.ended:
		s.conds.good(kind, keyturnv1alpha1.ReasonSunsetReached, "the sessions have ended")
		return
	case s.decision.Change == rollout.Promoted && progressing[s.decision.Waiting], reason == "":
		reason = keyturnv1alpha1.ReasonPromoted
	}
	text := fmt.Sprintf("%s of the steps are taken; %s (%s)", s.aro.Status.Step, advice[s.decision.Waiting], s.aro.Status.Next)
	if progressing[s.decision.Waiting] {
		s.conds.good(kind, reason, "%s", text)
		return
	}
	s.conds.bad(kind, reason, "%s", text)
}

func rollbackCondition(s *rolloutStep) {
	const kind = keyturnv1alpha1.ConditionRollbackSafe
	switch stage := rolloutSchedule(s.aro).Stage(s.now); {
	case stage == rollout.Sunset:
		s.conds.bad(kind, keyturnv1alpha1.ReasonSunsetReached, "legacy sessions have ended and do not come back")
	case stage == rollout.Deprecated:
		s.conds.bad(kind, keyturnv1alpha1.ReasonDeprecated, "since the deprecation everybody gets tokens, so a lower percentage has no effect: to go back, move spec.deprecation.at to later")
	case s.blind != "":
		s.conds.bad(kind, s.conds.find(keyturnv1alpha1.ConditionResolvedRefs).Reason, "nobody can tell whose a legacy session is, so who would get one could not use it: %s", s.blind)
	default:
		text := "both credentials are accepted: a lower percentage logs nobody out"
		if s.aro.Spec.Legacy.Issuer == nil {
			text += "; without legacy.issuer nobody gets a new session, and tokens stay in use"
		}
		s.conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "%s", text)
	}
}

// sumUpRollout derives Ready.
func sumUpRollout(conds conditions, err error, deleting bool) {
	const ready = keyturnv1alpha1.ConditionReady
	if s, ok := asStopped(err); ok {
		conds.bad(s.condition, s.reason, "%s", s.message)
		conds.bad(ready, s.reason, "%s", s.message)
		return
	}
	if deleting {
		conds.bad(ready, keyturnv1alpha1.ReasonSessionsInUse, "deletion waits for the sunset, and the rollout goes on: without it legacy sessions would be refused; "+
			"to end them now: kubectl annotate aro NAME %s=true", keyturnv1alpha1.AnnotationEndSessions)
		return
	}
	if bad := conds.firstBad(keyturnv1alpha1.ConditionAccepted, keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ConditionInForce); bad != nil {
		conds.bad(ready, bad.Reason, "%s", bad.Message)
		return
	}
	conds.good(ready, keyturnv1alpha1.ReasonReady, "the rollout is in force on every replica")
}
