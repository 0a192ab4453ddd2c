package controllers

import (
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// rolloutPolicy is what the planner reads of an AuthRollout.
func rolloutPolicy(spec *keyturnv1alpha1.AuthRolloutSpec) rollout.Policy {
	p := rollout.Policy{
		Guard: rollout.Guard{
			MinSamples:          uint64(max(spec.Guard.MinSamples, 1)), //nolint:gosec // above 0
			MaxIncrease:         fraction(string(spec.Guard.MaxIncrease)),
			ConsecutiveFailures: int(spec.Guard.ConsecutiveFailures),
			FastFail:            fraction(string(spec.Guard.FastFail)),
			MaxEndpointFailures: fraction(string(spec.Guard.MaxEndpointFailures)),
			MaxSlowIncrease:     fraction(string(spec.Guard.Latency.MaxIncrease)),
			MinLogins:           uint64(max(spec.Guard.ForcedLogins.MinSamples, 0)), //nolint:gosec // not negative
			MaxForcedIncrease:   fraction(string(spec.Guard.ForcedLogins.MaxIncrease)),
		},
		ToStart:  spec.Rollback.To == keyturnv1alpha1.RollbackStart,
		Cooldown: deref(spec.Rollback.Cooldown, metav1.Duration{Duration: time.Hour}).Duration,
		Paused:   spec.Paused,
	}
	for _, step := range spec.Steps {
		p.Steps = append(p.Steps, rollout.Step{
			Percent: int(step.Percent), Bake: deref(step.Bake, metav1.Duration{Duration: 24 * time.Hour}).Duration,
			Manual: step.Approval == keyturnv1alpha1.ApprovalManual,
		})
	}
	return p
}

// fraction reads 0.5pp or 0.5% as 0.005. The API server admits nothing else.
func fraction(text string) float64 {
	number, err := strconv.ParseFloat(strings.TrimRight(text, "p%"), 64)
	if err != nil {
		return 0
	}
	return number / 100
}

// rolloutEnding is when the sessions of an AuthRollout may end.
func rolloutEnding(spec *keyturnv1alpha1.AuthRolloutSpec) rollout.Ending {
	if spec.Sunset == nil {
		return rollout.Ending{}
	}
	ending := rollout.Ending{At: spec.Sunset.At.Time, RequireBelow: fraction(string(spec.Sunset.RequireLegacyBelow)), MaxExtension: -1}
	if spec.Sunset.MaxExtension != nil {
		ending.MaxExtension = spec.Sunset.MaxExtension.Duration
	}
	return ending
}

// rolloutSchedule is the end of the sessions as it stands.
func rolloutSchedule(aro *keyturnv1alpha1.AuthRollout) rollout.Schedule {
	schedule := rollout.Schedule{SunsetReached: !aro.Status.SunsetReachedTime.IsZero()}
	if d := aro.Spec.Deprecation; d != nil {
		schedule.Deprecation = d.At.Time
	}
	if s := aro.Spec.Sunset; s != nil {
		schedule.Sunset = s.At.Time
	}
	return schedule
}

// rolloutState is the state as the status has it; the zero state before the first decision.
func rolloutState(status *keyturnv1alpha1.AuthRolloutStatus) rollout.State {
	in := status.State
	if in == nil {
		return rollout.State{}
	}
	out := rollout.State{
		Position: int(in.Position), Percent: int(in.Percent), Since: in.Since.Time, Gathered: sampleOf(in.Gathered), Passed: in.Passed,
		Failures: int(in.Failures), Judged: sampleOf(in.Judged), Blind: in.Blind,
		Cause: rollout.Cause(in.Cause), LoginFailures: int(in.LoginFailures),
		Baseline: rollout.Baseline{Events: countsOf(in.Baseline), Slow: countsOf(in.BaselineSlow), Logins: countsOf(in.BaselineLogins)},
		HeldBy:   rollout.Reason(in.HeldBy), CooldownUntil: in.CooldownUntil.Time, Command: in.Command,
	}
	if r := in.Rollback; r != nil {
		out.Rollback = &rollout.Rollback{At: r.At.Time, From: int(r.From), To: int(r.To), Verdict: rollout.Verdict(r.Verdict), Cause: rollout.Cause(r.Cause), Sample: sampleOf(r.Sample)}
	}
	return out
}

// stateStatus is the state as the status keeps it. Its instants are whole seconds, as the planner was given them.
func stateStatus(in rollout.State) *keyturnv1alpha1.RolloutState {
	out := &keyturnv1alpha1.RolloutState{
		Position: int32(in.Position), Percent: int32(in.Percent), Since: seconds(in.Since), Gathered: sampleStatus(in.Gathered), Passed: in.Passed, //nolint:gosec // at most 100
		Failures: int32(min(in.Failures, 1<<30)), Judged: sampleStatus(in.Judged), Blind: in.Blind, //nolint:gosec // bounded
		Cause: string(in.Cause), LoginFailures: int32(min(in.LoginFailures, 1<<30)), //nolint:gosec // bounded
		Baseline: countsStatus(in.Baseline.Events), BaselineSlow: countsStatus(in.Baseline.Slow), BaselineLogins: countsStatus(in.Baseline.Logins),
		HeldBy: string(in.HeldBy), CooldownUntil: instantStatus(in.CooldownUntil), Command: in.Command,
	}
	if r := in.Rollback; r != nil {
		out.Rollback = &keyturnv1alpha1.RolloutRollback{
			At: seconds(r.At), From: int32(r.From), To: int32(r.To), Verdict: string(r.Verdict), Cause: string(r.Cause), Sample: sampleStatus(r.Sample), //nolint:gosec // at most 100
		}
	}
	return out
}

func instantStatus(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return seconds(t)
}

func sampleOf(s keyturnv1alpha1.RolloutSample) rollout.Sample {
	return rollout.Sample{
		Cohort: countsOf(s.Cohort), Control: countsOf(s.Control), Endpoints: countsOf(s.Endpoints),
		Slow:   rollout.Sides{Cohort: countsOf(s.Slow.Cohort), Control: countsOf(s.Slow.Control)},
		Logins: rollout.Sides{Cohort: countsOf(s.Logins.Cohort), Control: countsOf(s.Logins.Control)},
	}
}

func countsOf(c keyturnv1alpha1.RolloutCounts) rollout.Counts {
	return rollout.Counts{Events: natural(c.Events), Failures: natural(c.Failures)}
}

func sampleStatus(s rollout.Sample) keyturnv1alpha1.RolloutSample {
	sides := func(s rollout.Sides) keyturnv1alpha1.RolloutSides {
		return keyturnv1alpha1.RolloutSides{Cohort: countsStatus(s.Cohort), Control: countsStatus(s.Control)}
	}
	return keyturnv1alpha1.RolloutSample{
		Cohort: countsStatus(s.Cohort), Control: countsStatus(s.Control), Endpoints: countsStatus(s.Endpoints), Slow: sides(s.Slow), Logins: sides(s.Logins),
	}
}

func countsStatus(c rollout.Counts) keyturnv1alpha1.RolloutCounts {
	return keyturnv1alpha1.RolloutCounts{Events: signed(c.Events), Failures: signed(c.Failures)}
}

func natural(n int64) uint64 { return uint64(max(n, 0)) }

func signed(n uint64) int64 { return int64(min(n, 1<<62)) } //nolint:gosec // bounded

// census reads and writes who still uses sessions.
func censusOf(c keyturnv1alpha1.CensusStatus) rollout.Census {
	usage := func(u keyturnv1alpha1.UsageStatus) rollout.Usage {
		return rollout.Usage{From: u.From.Time, Until: u.Until.Time, Sessions: natural(u.Sessions), Tokens: natural(u.Tokens)}
	}
	return rollout.Census{Last: usage(c.Last), Current: usage(c.Current)}
}

func censusStatus(c rollout.Census) keyturnv1alpha1.CensusStatus {
	usage := func(u rollout.Usage) keyturnv1alpha1.UsageStatus {
		return keyturnv1alpha1.UsageStatus{From: instantStatus(u.From), Until: instantStatus(u.Until), Sessions: signed(u.Sessions), Tokens: signed(u.Tokens)}
	}
	return keyturnv1alpha1.CensusStatus{Last: usage(c.Last), Current: usage(c.Current)}
}

// rolloutDocument is the rollout as both documents carry it: the percentage of the status, the rest of the spec. It is nil
// without an AuthRollout, and before its first status, so that a document that names a rollout tells how far it was.
func rolloutDocument(aro *keyturnv1alpha1.AuthRollout) *snapshot.Rollout {
	if aro == nil || aro.Status.State == nil {
		return nil
	}
	spec, schedule := &aro.Spec, rolloutSchedule(aro)
	doc := &snapshot.Rollout{
		Name: aro.Namespace + "/" + aro.Name, Cookie: spec.Legacy.CookieName, Salt: spec.Bucketing.Salt,
		Percent: rolloutState(&aro.Status).Percent, Watched: watched(aro), SlowAfter: snapshot.Duration(spec.Guard.Latency.Threshold.Duration),
		Include: slices.Sorted(slices.Values(spec.Include)), Exclude: slices.Sorted(slices.Values(spec.Exclude)),
		DualIssue: spec.DualIssue, Deprecation: schedule.Deprecation.UTC(), Sunset: schedule.Sunset.UTC(), SunsetReached: schedule.SunsetReached,
		MaxSessionLife: snapshot.Duration(spec.Legacy.MaxSessionLife.Duration),
	}
	if spec.Deprecation != nil {
		doc.Link = deref(spec.Deprecation.Link, "")
	}
	for _, b := range spec.Brownouts {
		doc.Brownouts = append(doc.Brownouts, snapshot.Brownout{Start: b.Start.UTC(), Duration: snapshot.Duration(b.Duration.Duration), Percent: int(b.Percent)})
	}
	return doc
}

// watched is the percentage by which replicas count events as the cohort's or the control's: before the first step that of
// the first, which is the A/A check.
func watched(aro *keyturnv1alpha1.AuthRollout) int {
	if percent := rolloutState(&aro.Status).Percent; percent > 0 || len(aro.Spec.Steps) == 0 {
		return percent
	}
	return int(aro.Spec.Steps[0].Percent)
}

// strangePrefix says which source's users a session of the application could be taken for; empty: none. The application's
// users are usually those of a source: then both have the same prefix, and no other begins as it does. Without a prefix the
// application answers whole subjects, of whichever source, and is trusted with that.
func strangePrefix(aro *keyturnv1alpha1.AuthRollout, tsvc *keyturnv1alpha1.TokenService) string {
	ours := aro.Spec.Legacy.SubjectPrefix
	for _, source := range tsvc.Spec.Identity {
		theirs := source.SubjectPrefix
		if ours != "" && ours != theirs && (strings.HasPrefix(ours, theirs) || strings.HasPrefix(theirs, ours)) {
			return source.Name
		}
	}
	return ""
}

// legacyDocument is how the token service deals with legacy sessions; nil where the document has no rollout.
func legacyDocument(aro *keyturnv1alpha1.AuthRollout) *snapshot.Legacy {
	if aro == nil || aro.Status.State == nil {
		return nil
	}
	legacy := &aro.Spec.Legacy
	doc := &snapshot.Legacy{
		SubjectPrefix: legacy.SubjectPrefix,
		Validator:     snapshot.LegacyValidator{HTTP: legacyWebhook(legacy.Validator.HTTP), Redis: legacyRedis(legacy.Validator.Redis)},
		Issuer:        legacyWebhook(legacy.Issuer),
	}
	if r := legacy.Revoker; r != nil {
		doc.Revoker = &snapshot.LegacyRevoker{HTTP: legacyWebhook(r.HTTP), Redis: legacyRedis(r.Redis)}
	}
	return doc
}

func legacyWebhook(hook *keyturnv1alpha1.LegacyWebhook) *snapshot.LegacyWebhook {
	if hook == nil {
		return nil
	}
	return &snapshot.LegacyWebhook{URL: hook.URL, Timeout: snapshot.Duration(hook.Timeout.Duration)}
}

func legacyRedis(redis *keyturnv1alpha1.LegacyRedis) *snapshot.LegacyRedis {
	if redis == nil {
		return nil
	}
	return &snapshot.LegacyRedis{
		URL: redis.URL, Key: redis.Key, Cookie: string(redis.CookieFormat), Format: string(redis.Format),
		User: redis.User, Role: deref(redis.Role, ""), UserIndex: deref(redis.UserIndex, ""),
	}
}
