package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AccessProbe says where and how often to try. A probe is up to three GET
// requests, each of which the policy must refuse; where the ingress asks the
// edge, none of them reaches the application.
type AccessProbe struct {
	// url is an address that the policy protects, as clients reach it, such as
	// https://shop.example.com/orders: https or http, a host, and a port and a path
	// if need be; no user, query or fragment. The name must resolve where the
	// manager runs. Redirects are not followed. Addresses of the node itself, of the
	// cloud's metadata and of the API server are never asked.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[1-9][0-9]{0,4})?(/[!$%&*+,./0-9:;=@A-Z_a-z~()-]*)?$')",message="probe.url must be such as https://shop.example.com/orders: https or http, a host, perhaps a port and a path, and no user, query or fragment"
	URL string `json:"url"`

	// interval is how often to try while all is well; after a change, and while it
	// is not, the manager tries sooner. Default 5m; 1m to 24h.
	// +optional
	// +default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="probe.interval must be a duration from 1m to 24h, such as 5m"
	Interval metav1.Duration `json:"interval,omitzero"`

	// caRef is a ConfigMap of this namespace whose key ca.crt holds the authorities
	// of the ingress's certificate, in PEM. Default: those that the manager's image
	// trusts.
	// +optional
	CARef *AccessProbeCAReference `json:"caRef,omitempty"`
}

// AccessProbeCAReference names a ConfigMap of this namespace.
type AccessProbeCAReference struct {
	// name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of an object: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	Name string `json:"name"`
}
