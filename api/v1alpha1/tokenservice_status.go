package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TokenServiceStatus says what runs, where it answers and what it has loaded.
type TokenServiceStatus struct {
	// observedGeneration is the metadata.generation that this status speaks about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// issuerRevision is the revision of the newest document for the token
	// services.
	// +optional
	IssuerRevision int64 `json:"issuerRevision,omitempty"`

	// edgeRevision is the revision of the newest document for the edges.
	// +optional
	EdgeRevision int64 `json:"edgeRevision,omitempty"`

	// issuerDigest and edgeDigest are the SHA-256 of the two documents as the
	// manager wrote them last; another value in the cluster means that somebody
	// else edited one.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	IssuerDigest string `json:"issuerDigest,omitempty"`

	// edgeDigest: see issuerDigest.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	EdgeDigest string `json:"edgeDigest,omitempty"`

	// key is the first 8 characters of activeKid, for the KEY column.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Key string `json:"key,omitempty"`

	// activeKid is the kid of the key that the newest document signs with.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ActiveKid string `json:"activeKid,omitempty"`

	// epoch of the key set in the newest document.
	// +optional
	Epoch int64 `json:"epoch,omitempty"`

	// replicas that have loaded issuerRevision, of all token services, such as:
	// 1/1
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Replicas string `json:"replicas,omitempty"`

	// edge counts the edges that have loaded edgeRevision, of all, such as: 2/2
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Edge string `json:"edge,omitempty"`

	// rollout is how far the users of legacy sessions have moved, such as: 50%, or
	// Sunset; absent without an AuthRollout.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Rollout string `json:"rollout,omitempty"`

	// endpoints are the addresses inside the cluster, for those who configure the
	// ingress.
	// +optional
	Endpoints TokenServiceEndpoints `json:"endpoints,omitzero"`

	// conditions: Ready, ResolvedRefs, KeysLoaded, StoreReachable,
	// ClientAddressKnown, Available. A message names the object or replica and
	// says what to do.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TokenServiceEndpoints are addresses inside the cluster, host and port.
type TokenServiceEndpoints struct {
	// tokenService answers /auth/ and /.well-known/ over HTTP: the ingress routes
	// these paths here, such as: web-tokenservice.demo.svc:8080
	// +optional
	// +kubebuilder:validation:MaxLength=320
	TokenService string `json:"tokenService,omitempty"`

	// edgeGRPC answers Envoy's external authorization over gRPC, such as:
	// web-edge.demo.svc:9001
	// +optional
	// +kubebuilder:validation:MaxLength=320
	EdgeGRPC string `json:"edgeGRPC,omitempty"`

	// edgeHTTP answers proxies that ask by an HTTP sub-request, such as:
	// web-edge.demo.svc:9002
	// +optional
	// +kubebuilder:validation:MaxLength=320
	EdgeHTTP string `json:"edgeHTTP,omitempty"`
}
