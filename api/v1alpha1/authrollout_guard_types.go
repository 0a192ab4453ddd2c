package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PercentagePoints is a difference of two shares, such as 0.5pp: from 0.2 % to
// 0.7 % is 0.5pp. At most two decimals.
// +kubebuilder:validation:MaxLength=8
// +kubebuilder:validation:Pattern=`^[0-9]{1,3}([.][0-9]{1,2})?pp$`
type PercentagePoints string

// Percentage is a share, such as 1% or 0.25%. At most two decimals.
// +kubebuilder:validation:MaxLength=8
// +kubebuilder:validation:Pattern=`^[0-9]{1,3}([.][0-9]{1,2})?%$`
type Percentage string

// InconclusivePolicy says what happens while the guard cannot tell.
// +kubebuilder:validation:Enum=Hold
type InconclusivePolicy string

// InconclusiveHold neither promotes nor rolls back. It is the only one.
const InconclusiveHold InconclusivePolicy = "Hold"

// GuardSpec says when the cohort is worse off than the others. Both are counted
// in the same time, by the same replicas: an incident that meets both is no
// failure of the rollout. A difference counts only when chance explains it in
// less than one case of a hundred.
// +kubebuilder:validation:XValidation:rule="!has(self.fastFail) || !has(self.maxIncrease) || !self.fastFail.matches('^[0-9.]+pp$') || !self.maxIncrease.matches('^[0-9.]+pp$') || double(self.fastFail.split('pp')[0]) == 0.0 || double(self.fastFail.split('pp')[0]) > double(self.maxIncrease.split('pp')[0])",fieldPath=".fastFail",reason=FieldValueInvalid,message="fastFail must be above maxIncrease, such as 5pp with 0.5pp: raise it, or set it to 0pp so that one failure is never enough"
type GuardSpec struct {
	// interval is how often the replicas' counters are read and judged. Default
	// 1m; 10s to 1h.
	// +optional
	// +default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('1h')",message="guard.interval must be a duration from 10s to 1h, such as 1m"
	Interval metav1.Duration `json:"interval,omitzero"`

	// minSamples is how many events each side must have before it is judged;
	// intervals add up until it has. Default 500; 1 to 1000000.
	// +optional
	// +default=500
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MinSamples int32 `json:"minSamples,omitempty"`

	// maxIncrease is by how many percentage points the share of failures may be
	// higher in the cohort. Default 0.5pp; 0pp to 100pp.
	// +optional
	// +default="0.5pp"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+pp$') || double(self.split('pp')[0]) <= 100.0",message="guard.maxIncrease must be from 0pp to 100pp, such as 0.5pp"
	MaxIncrease PercentagePoints `json:"maxIncrease,omitempty"`

	// consecutiveFailures is how many judgements in a row must fail before the
	// step is taken back. Default 3; 1 to 20.
	// +optional
	// +default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20
	ConsecutiveFailures int32 `json:"consecutiveFailures,omitempty"`

	// fastFail is the increase at which one failure is enough. 0pp: none is.
	// Default 5pp; above maxIncrease, at most 100pp.
	// +optional
	// +default="5pp"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+pp$') || double(self.split('pp')[0]) <= 100.0",message="guard.fastFail must be from 0pp to 100pp, such as 5pp"
	FastFail PercentagePoints `json:"fastFail,omitempty"`

	// maxEndpointFailures is the share of refreshes and exchanges that may fail,
	// beyond the share of failures that the others have. Only the cohort has these
	// endpoints. 0%: any share. Default 5%; 0% to 100%.
	// +optional
	// +default="5%"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+%$') || double(self.split('%')[0]) <= 100.0",message="guard.maxEndpointFailures must be from 0% to 100%, such as 5%"
	MaxEndpointFailures Percentage `json:"maxEndpointFailures,omitempty"`

	// latency compares how many decisions of the edges and logins are slow.
	// +optional
	// +kubebuilder:default={}
	Latency LatencyGuard `json:"latency,omitzero"`

	// forcedLogins compares how many logins are by users who had just been given a
	// credential: something took it away from them.
	// +optional
	// +kubebuilder:default={}
	ForcedLogins ForcedLoginsGuard `json:"forcedLogins,omitzero"`

	// onInconclusive says what happens with too few events, or counters that cannot
	// be read. Default Hold, the only one: no promotion and no rollback.
	// +optional
	// +default="Hold"
	OnInconclusive InconclusivePolicy `json:"onInconclusive,omitempty"`
}

// LatencyGuard says when the cohort waits longer than the others. It needs
// guard.minSamples events on each side, and guard.consecutiveFailures judgements
// in a row that fail, as errors do.
type LatencyGuard struct {
	// threshold is how long a decision of an edge, or a login without the check of
	// the password, may take before it is slow. Default 250ms; 1ms to 1m.
	// +optional
	// +default="250ms"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('1m')",message="guard.latency.threshold must be a duration from 1ms to 1m, such as 250ms"
	Threshold metav1.Duration `json:"threshold,omitzero"`

	// maxIncrease is by how many percentage points the share of slow ones may be
	// higher in the cohort. 100pp: latency is not judged. Default 1pp; 0pp to 100pp.
	// +optional
	// +default="1pp"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+pp$') || double(self.split('pp')[0]) <= 100.0",message="guard.latency.maxIncrease must be from 0pp to 100pp, such as 1pp"
	MaxIncrease PercentagePoints `json:"maxIncrease,omitempty"`
}

// ForcedLoginsGuard says when the cohort loses its credentials. A login is
// forced when its user was given a credential here (by a login, a refresh, an
// exchange, or a session that was kept) a short while before, and has not
// logged out since: within 15 minutes, or within twice the life of an access
// token if that is longer.
type ForcedLoginsGuard struct {
	// minSamples is how many logins each side must have before they are judged;
	// they add up until it has. Fewer decide nothing, in neither direction. Default
	// 100; 1 to 1000000.
	// +optional
	// +default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MinSamples int32 `json:"minSamples,omitempty"`

	// maxIncrease is by how many percentage points the share of forced logins may be
	// higher in the cohort. 100pp: they are not judged. Default 5pp; 0pp to 100pp.
	// +optional
	// +default="5pp"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+pp$') || double(self.split('pp')[0]) <= 100.0",message="guard.forcedLogins.maxIncrease must be from 0pp to 100pp, such as 5pp"
	MaxIncrease PercentagePoints `json:"maxIncrease,omitempty"`
}

// RollbackSpec says what happens when the guard fails.
type RollbackSpec struct {
	// to is PreviousStep (default) or Start (0 %).
	// +optional
	// +default="PreviousStep"
	To RollbackTarget `json:"to,omitempty"`

	// cooldown is how long after a rollback nothing is tried again; kubectl keyturn
	// rollout resume ends it. Default 1h; 0s to 168h.
	// +optional
	// +default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('168h')",message="rollback.cooldown must be a duration from 0s to 168h (a week), such as 1h; to wait for somebody, set approval: Manual on the step before"
	Cooldown *metav1.Duration `json:"cooldown,omitempty"`
}

// DeprecationSpec announces the end of the sessions.
type DeprecationSpec struct {
	// at is when the announcement begins: answers to legacy sessions carry the
	// header Deprecation (RFC 9745), and nobody gets a new session. RFC 3339.
	// +required
	At metav1.Time `json:"at"`

	// link is a page that tells people more: it goes out as the header Link. An
	// https URL.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^https://[A-Za-z0-9[][]A-Za-z0-9:/?&=._~%+,;!$()*#[-]*$')",message="deprecation.link must be an https URL, such as https://www.example.com/new-login: use https, and remove spaces, quotes, < and >"
	Link *string `json:"link,omitempty"`
}

// BrownoutSpec is a rehearsal of the sunset.
type BrownoutSpec struct {
	// start is when it begins. RFC 3339.
	// +required
	Start metav1.Time `json:"start"`

	// duration is how long it lasts. 1m to 24h.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="the duration of a brownout must be from 1m to 24h, such as 10m: it is a rehearsal"
	Duration metav1.Duration `json:"duration"`

	// percent of the sessions that are refused meanwhile, each of them for the
	// whole brownout. 1 to 100.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent"`
}

// SunsetSpec ends the sessions.
type SunsetSpec struct {
	// at is when the sessions end at the earliest. It goes out as the header Sunset
	// (RFC 8594) from deprecation.at on. RFC 3339.
	// +required
	At metav1.Time `json:"at"`

	// requireLegacyBelow makes the sunset wait until a whole day was counted, and
	// while that share or a larger one of its requests, or of those since, was
	// authorized by a session. Default 1%; above 0%, at most 100%, which waits for
	// nothing, not even for a count.
	// +optional
	// +default="1%"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.]+%$') || double(self.split('%')[0]) > 0.0 && double(self.split('%')[0]) <= 100.0",message="sunset.requireLegacyBelow must be above 0% and at most 100%, such as 1%: no share is below 0%, and 100% waits for nothing"
	RequireLegacyBelow Percentage `json:"requireLegacyBelow,omitempty"`

	// maxExtension is how long after at the sunset waits at most; then it comes
	// whoever still has a session. Without it (default) it waits as long as it
	// takes. 0s to 8784h (a year).
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8784h')",message="sunset.maxExtension must be a duration from 0s to 8784h (a year), such as 720h; remove it to wait as long as it takes"
	MaxExtension *metav1.Duration `json:"maxExtension,omitempty"`
}
