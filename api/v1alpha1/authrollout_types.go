package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BucketingAlgorithm says how a user gets a bucket.
// +kubebuilder:validation:Enum=sha256-v1
type BucketingAlgorithm string

// BucketingSHA256 is the only algorithm: the first 64 bits of SHA-256(salt, 0x00, user), as a fraction of 10000.
const BucketingSHA256 BucketingAlgorithm = "sha256-v1"

// StepApproval says what it takes to leave a step.
// +kubebuilder:validation:Enum=Auto;Manual
type StepApproval string

const (
	// ApprovalAuto needs the time and the guard.
	ApprovalAuto StepApproval = "Auto"
	// ApprovalManual needs somebody to say promote too.
	ApprovalManual StepApproval = "Manual"
)

// RollbackTarget says how far a rollback goes.
// +kubebuilder:validation:Enum=PreviousStep;Start
type RollbackTarget string

const (
	// RollbackPreviousStep goes to the step before.
	RollbackPreviousStep RollbackTarget = "PreviousStep"
	// RollbackStart goes to 0 %.
	RollbackStart RollbackTarget = "Start"
)

// AuthRolloutSpec moves the users of legacy sessions to JWTs, step by step.
// +kubebuilder:validation:XValidation:rule="!has(self.sunset) || has(self.deprecation)",fieldPath=".deprecation",reason=FieldValueInvalid,message="a sunset must be announced: set deprecation.at, at least 30 days before sunset.at, and a link for the people who have to act"
// +kubebuilder:validation:XValidation:rule="!has(self.sunset) || !has(self.deprecation) || self.deprecation.at < self.sunset.at",fieldPath=".sunset.at",reason=FieldValueInvalid,message="sunset.at must be later than deprecation.at: announce first, then end; 30 days between them are usual"
// +kubebuilder:validation:XValidation:rule="!has(self.brownouts) || self.brownouts.size() == 0 || has(self.sunset)",fieldPath=".brownouts",reason=FieldValueInvalid,message="brownouts rehearse the sunset: set sunset.at, or remove brownouts"
// +kubebuilder:validation:XValidation:rule="!has(self.brownouts) || !has(self.sunset) || self.brownouts.all(b, b.start < self.sunset.at)",fieldPath=".brownouts",reason=FieldValueInvalid,message="a brownout must begin before sunset.at: it rehearses the sunset; move its start"
// +kubebuilder:validation:XValidation:rule="!has(self.brownouts) || !has(self.deprecation) || self.brownouts.all(b, b.start >= self.deprecation.at)",fieldPath=".brownouts",reason=FieldValueInvalid,message="a brownout must not begin before deprecation.at: announce the end before you rehearse it; move its start"
// +kubebuilder:validation:XValidation:rule="!has(self.include) || !has(self.exclude) || self.include.all(u, !(u in self.exclude))",fieldPath=".include",reason=FieldValueInvalid,message="a user is in include and in exclude: remove the user from one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.dualIssue) || !self.dualIssue || has(self.legacy.issuer)",fieldPath=".dualIssue",reason=FieldValueInvalid,message="dualIssue needs somebody who makes sessions: set legacy.issuer, or remove dualIssue"
type AuthRolloutSpec struct {
	// tokenServiceRef names the TokenService, in this namespace, whose users move.
	// One AuthRollout a TokenService; the oldest counts. It cannot be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="tokenServiceRef cannot be changed, because the progress in the status is that of the users of this one: create a second AuthRollout for the other TokenService"
	TokenServiceRef TokenServiceReference `json:"tokenServiceRef"`

	// legacy says what the old sessions are and who knows them.
	// +required
	Legacy LegacySpec `json:"legacy"`

	// bucketing says how users are divided. It cannot be changed, or users would
	// move to and fro.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="bucketing cannot be changed, because another salt puts other users into the cohort: put it back; to divide users anew, abort the rollout and create another AuthRollout"
	Bucketing BucketingSpec `json:"bucketing"`

	// include names users (the sub claim, prefix included) who get JWTs whatever
	// the percentage, such as your own testers. At most 1000.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	Include []string `json:"include,omitempty"`

	// exclude names users (the sub claim, prefix included) who keep their sessions
	// whatever the percentage, until the deprecation. At most 1000.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	Exclude []string `json:"exclude,omitempty"`

	// steps are the shares of the users, ascending, the last one 100. Before the
	// first nobody moves, and the guard checks that the users divide evenly. 1 to
	// 20.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:XValidation:rule="self.map(s, s.percent).isSorted() && self.all(a, self.exists_one(b, b.percent == a.percent))",message="the percent of each step must be above that of the step before, such as 10, 50, 100: put them in order, each once"
	// +kubebuilder:validation:XValidation:rule="self[self.size() - 1].percent == 100",message="the last step must have percent: 100, or some users would never move: add it; to stop before it, set approval: Manual on the step before"
	Steps []RolloutStep `json:"steps"`

	// guard says when the cohort is worse off than the others.
	// +optional
	// +kubebuilder:default={}
	Guard GuardSpec `json:"guard,omitzero"`

	// rollback says what happens then.
	// +optional
	// +kubebuilder:default={}
	Rollback RollbackSpec `json:"rollback,omitzero"`

	// dualIssue gives the users in the cohort a legacy session beside their tokens,
	// so that a rollback finds one. It needs legacy.issuer.
	// +optional
	DualIssue bool `json:"dualIssue,omitempty"`

	// deprecation announces the end of the sessions. From then on everybody who
	// logs in gets JWTs, whatever the percentage.
	// +optional
	Deprecation *DeprecationSpec `json:"deprecation,omitempty"`

	// brownouts refuse a share of the sessions for a while, so that who has not
	// noticed the announcement does. At most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Brownouts []BrownoutSpec `json:"brownouts,omitempty"`

	// sunset ends the sessions. Once it has taken effect it never goes back.
	// +optional
	Sunset *SunsetSpec `json:"sunset,omitempty"`

	// paused stops everything but commands: no promotion, no rollback, no sunset.
	// What is in force stays in force.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// BucketingSpec says how users are divided.
type BucketingSpec struct {
	// algorithm makes a bucket of a user. Default sha256-v1, the only one;
	// docs/bucketing-vectors.json has test vectors.
	// +optional
	// +default="sha256-v1"
	Algorithm BucketingAlgorithm `json:"algorithm,omitempty"`

	// salt keeps the cohorts of two rollouts apart: with the same salt the same
	// users are always first. At most 64 characters: letters, digits and . _ : -
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._:-]+$')",message="salt may have letters, digits and . _ : - only, such as web-2026"
	Salt string `json:"salt"`
}

// RolloutStep is a share of the users and what it takes to go beyond it.
type RolloutStep struct {
	// percent of the users, 1 to 100.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent"`

	// bake is how long the step is watched at least. Default 24h; 0s to 2160h (90
	// days).
	// +optional
	// +default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('2160h')",message="bake must be a duration from 0s to 2160h (90 days), such as 24h; to stay at a step until somebody says promote, set approval: Manual"
	Bake *metav1.Duration `json:"bake,omitempty"`

	// approval says what it takes to go on to the next step: Auto (default: time
	// and guard) or Manual (somebody says kubectl keyturn rollout promote too).
	// +optional
	// +default="Auto"
	Approval StepApproval `json:"approval,omitempty"`
}

// AuthRollout moves the users of legacy sessions to JWTs by percentage, with a
// guard, a way back and an end. Ask with: kubectl get aro
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=aro,categories=keyturn
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when the rollout is in force on every replica"
// +kubebuilder:printcolumn:name="STAGE",type=string,JSONPath=`.status.stage`,description="Migrating, Deprecated or Sunset"
// +kubebuilder:printcolumn:name="STEP",type=string,JSONPath=`.status.step`,description="Steps taken, of all"
// +kubebuilder:printcolumn:name="PERCENT",type=integer,JSONPath=`.status.percent`,description="Share of the users who get JWTs"
// +kubebuilder:printcolumn:name="LEGACY",type=string,JSONPath=`.status.legacyShare`,description="Share of the requests that a legacy session authorized in the last day"
// +kubebuilder:printcolumn:name="GUARD",type=string,JSONPath=`.status.guard.summary`,description="What the guard says"
// +kubebuilder:printcolumn:name="ROLLBACK-SAFE",type=string,JSONPath=`.status.conditions[?(@.type=="RollbackSafe")].status`,description="True while a lower percentage takes nothing from anybody and has an effect"
// +kubebuilder:printcolumn:name="SUNSET",type=string,JSONPath=`.status.sunset`,description="When the sessions end"
// +kubebuilder:printcolumn:name="REPLICAS",type=string,priority=1,JSONPath=`.status.replicas`,description="Replicas that work with this percentage, of all"
// +kubebuilder:printcolumn:name="NEXT",type=string,priority=1,JSONPath=`.status.next`,description="What comes next, or what it waits for"
// +kubebuilder:printcolumn:name="AGE",type=date,priority=1,JSONPath=`.metadata.creationTimestamp`,description="Age of this object"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must have at most 63 characters a-z, 0-9 and -, begin with a letter and not end with -"
type AuthRollout struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says who moves, how fast, and when the sessions end.
	// +required
	Spec AuthRolloutSpec `json:"spec"`

	// status has the progress. One that is lost is recovered from the documents of
	// the TokenService, as long as they name this rollout.
	// +optional
	Status AuthRolloutStatus `json:"status,omitzero"`
}

// AuthRolloutList is a list of AuthRollouts.
// +kubebuilder:object:root=true
type AuthRolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []AuthRollout `json:"items"`
}
