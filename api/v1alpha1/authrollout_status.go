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

	// report names the ConfigMap with the final report, once the sessions have ended:
	// report.md for people, report.json for programs.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Report string `json:"report,omitempty"`

	// refusedCommand is the command in the annotation keyturn.dev/rollout-command, if
	// it cannot be carried out: its id, a colon, and why.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	RefusedCommand string `json:"refusedCommand,omitempty"`

	// history are the last changes of the percentage, the newest first, at most 32.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
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

	// failedBy is what the last judgement failed by: Errors (decisions and logins),
	// Endpoints (refreshes and exchanges), Latency or ForcedLogins; absent if it
	// passed.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	FailedBy string `json:"failedBy,omitempty"`

	// slow are the slow decisions and logins of the last judgement, the cohort
	// before the others, such as: 1.20% of 1200, others 0.30% of 4000
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Slow string `json:"slow,omitempty"`

	// forcedLogins of the last judgement that had logins enough; see slow.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ForcedLogins string `json:"forcedLogins,omitempty"`

	// sampledTime is the end of the last interval that was counted. The next one
	// begins there, so that no manager counts an interval twice.
	// +optional
	SampledTime metav1.Time `json:"sampledTime,omitzero"`
}
