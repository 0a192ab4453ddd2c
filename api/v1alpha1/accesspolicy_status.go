package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AccessPolicyStatus says whether a policy is in force, and where.
type AccessPolicyStatus struct {
	// observedGeneration is the metadata.generation that this status speaks about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// attached counts the targets that exist and are not contested, of all, such as:
	// 2/2; or says: by name
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Attached string `json:"attached,omitempty"`

	// targets are those of the spec, one each.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Targets []AccessTargetStatus `json:"targets,omitempty"`

	// replicas of the edge that decide by this policy, of all, such as: 2/2
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Replicas string `json:"replicas,omitempty"`

	// adapterObject is what was made at the ingress, such as: SecurityPolicy
	// keyturn-orders
	// +optional
	// +kubebuilder:validation:MaxLength=320
	AdapterObject string `json:"adapterObject,omitempty"`

	// snippet is what to configure at the ingress, to be copied.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Snippet string `json:"snippet,omitempty"`

	// probedTime is when a probe was last sent; see the condition Enforced for what
	// came of it.
	// +optional
	ProbedTime metav1.Time `json:"probedTime,omitzero"`

	// conditions: Ready, Accepted, ResolvedRefs, Programmed, Enforced. A message
	// names the object and says what to do.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AccessTargetStatus is what became of a policy at one target.
type AccessTargetStatus struct {
	// targetRef is the target, as in the spec.
	// +required
	TargetRef AccessTargetReference `json:"targetRef"`

	// conditions: Accepted (False with the reason Conflicted names the policy that
	// has the target) and ResolvedRefs (whether the target exists).
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
