package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ChangeRecovered is the change of a rollout whose status was lost: nobody was moved.
const ChangeRecovered = "Recovered"

// RolloutChange is a change of the percentage, or of the stage.
type RolloutChange struct {
	// time at which it changed.
	// +required
	Time metav1.Time `json:"time"`

	// change is Promoted, RolledBack, Aborted, SunsetReached or Recovered.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Change string `json:"change"`

	// from is the percentage before.
	// +required
	From int32 `json:"from"`

	// to is the percentage after.
	// +required
	To int32 `json:"to"`

	// by tells who changed it: Guard, Schedule, Recovery, or Command and its id.
	// +optional
	// +kubebuilder:validation:MaxLength=160
	By string `json:"by,omitempty"`

	// why it came, in words.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Why string `json:"why,omitempty"`
}

// RolloutState is what the next decision is made from. Only the manager writes
// it; to steer, use kubectl keyturn rollout.
type RolloutState struct {
	// position counts the steps that were taken: 0 is 0 %, n is the nth step.
	// +required
	Position int32 `json:"position"`

	// percent is the share in force, also when the steps were edited since.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent"`

	// since is when this position was reached.
	// +optional
	Since metav1.Time `json:"since,omitzero"`

	// gathered adds up until it can be judged.
	// +optional
	Gathered RolloutSample `json:"gathered,omitzero"`

	// passed tells whether a judgement passed at this position.
	// +optional
	Passed bool `json:"passed,omitempty"`

	// failures counts the judgements that failed in a row.
	// +optional
	Failures int32 `json:"failures,omitempty"`

	// cause is what the last of them failed by: Errors, Endpoints, Latency or
	// ForcedLogins.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Cause string `json:"cause,omitempty"`

	// loginFailures counts the judgements of the forced logins that failed in a row.
	// +optional
	LoginFailures int32 `json:"loginFailures,omitempty"`

	// judged is the sample of the last judgement.
	// +optional
	Judged RolloutSample `json:"judged,omitzero"`

	// baseline is the cohort's counts when the step before was left: at 100 % there
	// is no control any more.
	// +optional
	Baseline RolloutCounts `json:"baseline,omitzero"`

	// baselineSlow are the slow events behind the baseline.
	// +optional
	BaselineSlow RolloutCounts `json:"baselineSlow,omitzero"`

	// baselineLogins are the forced logins of the last step that had logins enough.
	// +optional
	BaselineLogins RolloutCounts `json:"baselineLogins,omitzero"`

	// blind tells that the counters of the last interval could not be read.
	// +optional
	Blind bool `json:"blind,omitempty"`

	// heldBy is Held or Aborted while a command holds, UnevenSplit while the guard
	// does.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	HeldBy string `json:"heldBy,omitempty"`

	// cooldownUntil is when a step may be tried again after a rollback.
	// +optional
	CooldownUntil metav1.Time `json:"cooldownUntil,omitzero"`

	// rollback is the last step that was taken back, with the evidence.
	// +optional
	Rollback *RolloutRollback `json:"rollback,omitempty"`

	// command is the id of the last command that was carried out: the part of the
	// annotation keyturn.dev/rollout-command before the space.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Command string `json:"command,omitempty"`
}

// RolloutSample is what was counted in the same time on both sides.
type RolloutSample struct {
	// cohort has the users who get JWTs: edge decisions and logins.
	// +optional
	Cohort RolloutCounts `json:"cohort,omitzero"`

	// control has the others.
	// +optional
	Control RolloutCounts `json:"control,omitzero"`

	// endpoints are refreshes and exchanges.
	// +optional
	Endpoints RolloutCounts `json:"endpoints,omitzero"`

	// slow are the events of cohort and control whose time is known, and as failures
	// those that took too long.
	// +optional
	Slow RolloutSides `json:"slow,omitzero"`

	// logins are the logins, and as failures those that were forced.
	// +optional
	Logins RolloutSides `json:"logins,omitzero"`
}

// RolloutSides are the same events of both sides.
type RolloutSides struct {
	// cohort has the users who get JWTs.
	// +optional
	Cohort RolloutCounts `json:"cohort,omitzero"`

	// control has the others.
	// +optional
	Control RolloutCounts `json:"control,omitzero"`
}

// RolloutCounts are events, and how many of them failed without the user's
// doing.
type RolloutCounts struct {
	// events that were counted.
	// +optional
	Events int64 `json:"events,omitempty"`

	// failures among them.
	// +optional
	Failures int64 `json:"failures,omitempty"`
}

// RolloutRollback is a step that was taken back, with the evidence.
type RolloutRollback struct {
	// at is when it was taken back.
	// +required
	At metav1.Time `json:"at"`

	// from is the percentage before.
	// +required
	From int32 `json:"from"`

	// to is the percentage after.
	// +required
	To int32 `json:"to"`

	// verdict is Failed or FailedFast.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Verdict string `json:"verdict"`

	// cause is what failed: Errors, Endpoints, Latency or ForcedLogins.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Cause string `json:"cause,omitempty"`

	// sample is the evidence.
	// +optional
	Sample RolloutSample `json:"sample,omitzero"`
}
