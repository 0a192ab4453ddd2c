package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// PodTemplateSpec adds fields to the pods of the two workloads.
type PodTemplateSpec struct {
	// tokenService adds to the pods of the token service.
	// +optional
	TokenService PodOverlay `json:"tokenService,omitzero"`

	// edge adds to the pods of the edge authorization service.
	// +optional
	Edge PodOverlay `json:"edge,omitzero"`
}

// PodOverlay is the list of pod fields that a user may set. It has types of
// its own, so that a new field of a pod is never let through unseen. The zero
// value adds nothing.
type PodOverlay struct {
	// labels to add to the pods. Keys of app.kubernetes.io and keyturn.dev are
	// Keyturn's own. At most 16.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.contains('app.kubernetes.io/') && !k.contains('keyturn.dev/'))",message="labels of app.kubernetes.io/ and keyturn.dev/ are set by Keyturn itself: remove them or use another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="the key of a label must be a Kubernetes label key, such as team or example.com/team: rename it"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations to add to the pods, such as those of a service mesh or a log
	// collector. Keys of keyturn.dev are Keyturn's own. At most 16.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.contains('keyturn.dev/'))",message="annotations of keyturn.dev/ are set by Keyturn itself: remove them or use another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="the key of an annotation must be a Kubernetes label key, such as team or example.com/team: rename it"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// nodeSelector restricts the pods to nodes with these labels, such as
	// kubernetes.io/arch: amd64. At most 16.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="the key of a node selector must be a Kubernetes label key, such as team or example.com/team: rename it"
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`

	// tolerations let the pods run on tainted nodes, as in a pod. At most 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Tolerations []Toleration `json:"tolerations,omitempty"`

	// resources of the container, as in a pod. Default: small requests, and a
	// memory limit.
	// +optional
	Resources Resources `json:"resources,omitzero"`

	// imagePullSecrets name Secrets of this namespace for pulling the image. At
	// most 8.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []SecretReference `json:"imagePullSecrets,omitempty"`

	// priorityClassName of the pods, such as system-cluster-critical. Default: the
	// cluster's default.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// LabelValue is the value of a label or of a node selector.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$')",message="a label's value has at most 63 letters, digits and - _ . and begins and ends with a letter or digit: rename it"
type LabelValue string

// AnnotationValue is the value of an annotation.
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// Toleration lets a pod run on a node with a matching taint, as in a pod.
// +kubebuilder:validation:XValidation:rule="(has(self.key) && size(self.key) > 0) || (has(self.operator) && self.operator == 'Exists')",message="a toleration without a key must have operator: Exists, which matches every taint: add key or operator"
// +kubebuilder:validation:XValidation:rule="!has(self.value) || size(self.value) == 0 || !has(self.operator) || self.operator != 'Exists'",message="a toleration with operator: Exists has no value: remove value, or use operator: Equal"
// +kubebuilder:validation:XValidation:rule="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",message="tolerationSeconds needs effect: NoExecute: add it, or remove tolerationSeconds"
type Toleration struct {
	// key of the taint; empty, with operator Exists, matches every taint.
	// +optional
	// +kubebuilder:validation:MaxLength=316
	Key string `json:"key,omitempty"`

	// operator is Equal (default: key and value match) or Exists (the key
	// matches).
	// +optional
	// +kubebuilder:validation:Enum=Equal;Exists
	Operator string `json:"operator,omitempty"`

	// value of the taint, with operator Equal.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Value string `json:"value,omitempty"`

	// effect of the taint: NoSchedule, PreferNoSchedule or NoExecute; empty
	// matches all three.
	// +optional
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect string `json:"effect,omitempty"`

	// tolerationSeconds is how long the pod stays after a NoExecute taint, in
	// seconds; absent means for ever.
	// +optional
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// Resources are the requests and limits of a container, as in a pod.
type Resources struct {
	// requests are what the scheduler reserves, by resource name, such as cpu:
	// 100m and memory: 64Mi. At most 8.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Requests map[string]resource.Quantity `json:"requests,omitempty"`

	// limits are what the container may use at most, by resource name, such as
	// memory: 256Mi. At most 8.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Limits map[string]resource.Quantity `json:"limits,omitempty"`
}
