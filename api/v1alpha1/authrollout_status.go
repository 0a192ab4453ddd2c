package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AuthRolloutStatus has the progress of a rollout. It is the one place that has
// it: a step is taken by the write of this status, and by nothing else.
type AuthRolloutStatus struct {
	// observedGeneration is the metadata.generation that this status speaks about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// stage is Migrating, Deprecated or Sunset.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Stage string `json:"stage,omitempty"`

	// step counts the steps taken, of all, such as: 2/3
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Step string `json:"step,omitempty"`

	// percent is the share of the users who get JWTs now.
	// +optional
	Percent *int32 `json:"percent,omitempty"`

	// since is when this percentage came into force.
	// +optional
	Since metav1.Time `json:"since,omitzero"`

	// next is what comes next, or what it waits for, in words, such as: 50% not
	// before 2026-11-22T10:00Z
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Next string `json:"next,omitempty"`

	// replicas that work with this percentage, of all, such as: 3/3
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Replicas string `json:"replicas,omitempty"`

	// waitingFor names the replicas that do not, at most 16 of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	WaitingFor []string `json:"waitingFor,omitempty"`

	// guard is what the guard has seen.
	// +optional
	Guard GuardStatus `json:"guard,omitzero"`

	// legacyShare is the share of the requests of the last day that a legacy
	// session authorized, such as: 12.40%; absent until there was a request.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	LegacyShare string `json:"legacyShare,omitempty"`

	// census has the counts behind it.
	// +optional
	Census CensusStatus `json:"census,omitzero"`

	// sunset is when the sessions end, in words, such as: 2027-02-19T10:00Z, or
	// what it waits for.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Sunset string `json:"sunset,omitempty"`

	// sunsetReachedTime is when the sessions ended. It never goes back.
	// +optional
	SunsetReachedTime metav1.Time `json:"sunsetReachedTime,omitzero"`

	// refusedCommand is the command in the annotation keyturn.dev/rollout-command, if
	// it cannot be carried out: its id, a colon, and why.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	RefusedCommand string `json:"refusedCommand,omitempty"`

	// history are the last changes of the percentage, the newest first, at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	History []RolloutChange `json:"history,omitempty"`

	// state is what the next decision is made from.
	// +optional
	State *RolloutState `json:"state,omitempty"`

	// conditions: Ready, Accepted, ResolvedRefs, InForce, GuardPassing, Progressing,
	// RollbackSafe. A message names the replica or object and says what to do.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GuardStatus is what the guard has seen.
type GuardStatus struct {
	// summary for the GUARD column, such as: Passed, Failing 1/3, Gathering
	// 120/500, NoData
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Summary string `json:"summary,omitempty"`

	// cohort and control of the last judgement, such as: 0.20% of 1200
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Cohort string `json:"cohort,omitempty"`

	// control: see cohort. At 100% it is the cohort of the step before.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Control string `json:"control,omitempty"`

	// endpoints are the refreshes and exchanges of the last judgement.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Endpoints string `json:"endpoints,omitempty"`

	// sampledTime is the end of the last interval that was counted. The next one
	// begins there, so that no manager counts an interval twice.
	// +optional
	SampledTime metav1.Time `json:"sampledTime,omitzero"`
}

// CensusStatus counts the requests by the credential that authorized them.
type CensusStatus struct {
	// current is the window that is being counted.
	// +optional
	Current UsageStatus `json:"current,omitzero"`

	// last is the last whole window, of a day.
	// +optional
	Last UsageStatus `json:"last,omitzero"`
}

// UsageStatus counts the requests of a window of time.
type UsageStatus struct {
	// from is when the window begins.
	// +optional
	From metav1.Time `json:"from,omitzero"`

	// until is when it ends, or up to when it is counted.
	// +optional
	Until metav1.Time `json:"until,omitzero"`

	// sessions counts the requests that a legacy session authorized.
	// +optional
	Sessions int64 `json:"sessions,omitempty"`

	// tokens counts the requests that a token authorized.
	// +optional
	Tokens int64 `json:"tokens,omitempty"`
}

// RolloutChange is a change of the percentage, or of the stage.
type RolloutChange struct {
	// time at which it changed.
	// +required
	Time metav1.Time `json:"time"`

	// change is Promoted, RolledBack, Aborted or SunsetReached.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Change string `json:"change"`

	// from is the percentage before.
	// +required
	From int32 `json:"from"`

	// to is the percentage after.
	// +required
	To int32 `json:"to"`

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

	// judged is the sample of the last judgement.
	// +optional
	Judged RolloutSample `json:"judged,omitzero"`

	// baseline is the cohort's counts when the step before was left: at 100 % there
	// is no control any more.
	// +optional
	Baseline RolloutCounts `json:"baseline,omitzero"`

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

	// sample is the evidence.
	// +optional
	Sample RolloutSample `json:"sample,omitzero"`
}
