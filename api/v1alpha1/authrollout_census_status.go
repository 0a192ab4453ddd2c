package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CensusStatus counts the requests by the credential that authorized them.
type CensusStatus struct {
	// current is the window that is being counted.
	// +optional
	Current UsageStatus `json:"current,omitzero"`

	// last is the last whole window, of a day.
	// +optional
	Last UsageStatus `json:"last,omitzero"`

	// days are the whole windows before, the oldest first, at most 64. When there are
	// more, each two neighbours become one, so that the whole rollout is kept.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Days []UsageStatus `json:"days,omitempty"`

	// legacy tells who still uses sessions, as the edges say.
	// +optional
	Legacy LegacyCensus `json:"legacy,omitzero"`
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

// LegacyCensus tells who still uses sessions: requests that one authorized in the
// last day or two, as the edges count them.
type LegacyCensus struct {
	// since is when the oldest count of an edge begins.
	// +optional
	Since metav1.Time `json:"since,omitzero"`

	// readTime is when the edges were asked. It moves only when their answer does.
	// +optional
	ReadTime metav1.Time `json:"readTime,omitzero"`

	// replicas that answered, of all edges, such as: 2/2
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Replicas string `json:"replicas,omitempty"`

	// requests that a session authorized.
	// +optional
	Requests int64 `json:"requests,omitempty"`

	// routes are the first parts of paths, the most requests first, at most 10. Each
	// line has at least ten users at one edge; what is left over is in requests only.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Routes []CensusLine `json:"routes,omitempty"`

	// agents are families of user agents: see routes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Agents []CensusLine `json:"agents,omitempty"`

	// roles of the users: see routes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Roles []CensusLine `json:"roles,omitempty"`
}

// CensusLine is one value and its requests.
type CensusLine struct {
	// value is a route, a family of user agents, or a role; empty for no role.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Value string `json:"value,omitempty"`

	// requests that had it, at the edges where many users have.
	// +required
	Requests int64 `json:"requests"`
}
