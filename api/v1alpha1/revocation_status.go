package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RevocationKind says what a Revocation is of.
// +kubebuilder:validation:Enum=Key;User;Session;All
type RevocationKind string

// The kinds of revocations.
const (
	// RevocationKey is of every token that a key has signed.
	RevocationKey RevocationKind = "Key"
	// RevocationUser is of the sessions of a user.
	RevocationUser RevocationKind = "User"
	// RevocationSession is of one session.
	RevocationSession RevocationKind = "Session"
	// RevocationAll is of every session of a TokenService.
	RevocationAll RevocationKind = "All"
)

// RevocationStatus says how far a revocation is enforced.
type RevocationStatus struct {
	// observedGeneration is the metadata.generation that this status speaks about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// kind is Key, User, Session or All.
	// +optional
	Kind RevocationKind `json:"kind,omitempty"`

	// what is revoked, in short: the beginning of a kid, the user, the session, or
	// the TokenService.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	What string `json:"what,omitempty"`

	// number is that of the entry in the session store, which edges report as
	// applied. 0 until the store has it, and for a key of several TokenServices.
	// +optional
	Number int64 `json:"number,omitempty"`

	// recordedTime is when it was first seen to be stored: in the session store, or
	// for a key in the ring. No token that it hits is issued any more.
	// +optional
	RecordedTime metav1.Time `json:"recordedTime,omitzero"`

	// enforcedTime is when the last edge that runs was seen to refuse it.
	// +optional
	EnforcedTime metav1.Time `json:"enforcedTime,omitzero"`

	// exposure says what is known of the tokens that it hits.
	// +optional
	Exposure RevocationExposure `json:"exposure,omitzero"`

	// conditions: Ready, Accepted, ResolvedRefs, Enforced. The message of Enforced
	// names the replicas that have not confirmed.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RevocationExposure is how long, and by whom, tokens that a revocation hits may
// still be accepted.
type RevocationExposure struct {
	// until is when the last token that it hits has expired, to the minute: after
	// that nobody accepts one, whether it was told or not. It grows while such tokens
	// are still issued.
	// +optional
	Until metav1.Time `json:"until,omitzero"`

	// tokens is how many access tokens a revocation of a key, or of all, hits: those
	// signed by the token services that run, since they started, and not expired when
	// until was noted. Absent for a user and a session, and when none is known.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Tokens int64 `json:"tokens,omitempty"`

	// replicas of the edge that are known to refuse them, of all that run, such as:
	// 2/3
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Replicas string `json:"replicas,omitempty"`

	// waitingFor names replicas that have not confirmed, eight at most.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=253
	WaitingFor []string `json:"waitingFor,omitempty"`
}
