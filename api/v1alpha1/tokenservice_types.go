package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StalePolicy says what an edge does that has heard nothing about revocations
// for too long.
// +kubebuilder:validation:Enum=AllowUntilExpiry;FailClosed
type StalePolicy string

const (
	// StaleAllowUntilExpiry goes on with the list the edge has; a revoked token
	// can live until it expires.
	StaleAllowUntilExpiry StalePolicy = "AllowUntilExpiry"
	// StaleFailClosed refuses with 503 until the edge is current again.
	StaleFailClosed StalePolicy = "FailClosed"
)

// TokenServiceSpec describes one issuer: who logs users in, with which keys
// and rules, and which proxies it trusts.
// +kubebuilder:validation:XValidation:rule="!has(self.store.embedded) || self.replicas == 1",fieldPath=".replicas",reason=FieldValueInvalid,message="the embedded store allows one replica only, because it is a file on one volume: set replicas to 1. Verification at the edge goes on while it restarts; scale that with edge.replicas"
type TokenServiceSpec struct {
	// issuer is the URL under which clients and verifiers know this service: the
	// iss claim, and the base of discovery and JWKS. An https URL without query,
	// fragment, user name and trailing slash, at most 512 characters, such as
	// https://auth.example.com; http only for loopback hosts (localhost,
	// 127.0.0.1, [::1]). It cannot be changed, because every token names it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="issuer cannot be changed, because every live token names it: create a second TokenService with the new issuer and move clients over"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#') && !self.contains('@')",message="issuer must not have a query, a fragment or a user name: remove everything from ? or # on, and anything before @"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('/')",message="issuer must not end with a slash: remove it, because issuers are compared character by character"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]+://([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*|[[][0-9a-f:.]+[]])(:[1-9][0-9]{0,4})?(/[^/?#]+)*/?([?#].*)?$') || self.contains('@')",message="issuer must be a URL such as https://auth.example.com or https://example.com/auth: lower-case scheme and host, a port without leading zeros, no empty path segments"
	// +kubebuilder:validation:XValidation:rule="!self.matches('/[.][.]?(/|$)') && self.matches('^[!-~]*$') && !self.matches('[\"<>^`{|}\\\\\\\\]')",message="issuer must not have . or .. as a path segment, spaces, quotes, backslashes or other characters that a URL encodes: remove them"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(https://|http://(localhost|127([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[[]::1[]])(:[0-9]+)?(/.*)?$)')",message="issuer must be an https URL, such as https://auth.example.com: use https, or http for a loopback host only (localhost, 127.0.0.1, [::1])"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/]*:(6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})(/|$)')",message="issuer has a port above 65535: use a port from 1 to 65535, or none"
	Issuer string `json:"issuer"`

	// signingKeySetRef names the SigningKeySet, in this namespace, whose keys sign
	// and verify. It cannot be changed, because the edges would refuse every token
	// signed by the former set, and no key of the new one could be acknowledged.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="signingKeySetRef cannot be changed, because every live token is signed by a key of that set: create a second TokenService with the other set and move clients over; new keys for this one come from kubectl annotate sks <set> keyturn.dev/rotate-requested-at=now --overwrite"
	SigningKeySetRef SigningKeySetReference `json:"signingKeySetRef"`

	// tokenPolicyRef names the TokenPolicy, in this namespace, that says how long
	// tokens live.
	// +required
	TokenPolicyRef TokenPolicyReference `json:"tokenPolicyRef"`

	// replicas of the token service: login, refresh, logout. The embedded store
	// allows 1 only. Default 1; 1 to 100.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Replicas int32 `json:"replicas,omitempty"`

	// store keeps refresh tokens and revocations. Its kind cannot be changed.
	// Default: embedded, a file on a volume of 1Gi.
	// +optional
	// +kubebuilder:default={embedded:{}}
	Store StoreSpec `json:"store,omitzero"`

	// identity lists who may log in: the sources of users, in the order in which
	// they are asked. The first one that knows the name decides; a source that
	// fails gives 503 and is never skipped. The list is applied as a whole, so
	// that its order is one person's decision. 1 to 8.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.name == a.name))",message="two sources have the same name: give each its own"
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.all(b, a.name == b.name || !b.subjectPrefix.startsWith(a.subjectPrefix)))",message="the subjectPrefix of one source must not be equal to, or the beginning of, another's (an empty one is the beginning of all), or two users could get the same sub: give each source a distinct prefix that ends with a separator, such as staff: and guest:"
	// +kubebuilder:validation:XValidation:rule="self.filter(a, has(a.kubernetes)).size() <= 1",message="two sources take tokens of this cluster: name all accounts in one"
	// +kubebuilder:validation:XValidation:rule="self.all(a, !has(a.oidc) || self.exists_one(b, has(b.oidc) && b.oidc.issuerURL == a.oidc.issuerURL))",message="two oidc sources have the same issuerURL, so a token would belong to both: remove one; a second clientID of the same provider needs a TokenService of its own"
	Identity []IdentitySource `json:"identity"`

	// clients may introspect and revoke tokens (/auth/introspect, /auth/revoke),
	// each those of its audiences. At most 32.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=32
	Clients []ClientSpec `json:"clients,omitempty"`

	// tls makes the public port of the token service speak TLS. Without it the
	// port speaks clear text, and the ingress terminates TLS before it.
	// +optional
	TLS *PublicTLS `json:"tls,omitempty"`

	// trustedProxies are the addresses, as CIDRs, from which the ingress talks to
	// Keyturn. Only these may say who the client is (X-Forwarded-For), and only
	// these may ask for authorization. Too wide a range lets anyone in it forge a
	// client address; /0 is refused. Find them with:
	// kubectl get pods -n NAMESPACE-OF-THE-INGRESS -o wide
	// Take the range that its nodes give to pods, such as 10.244.0.0/16, or its
	// fixed addresses as /32. 1 to 64.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=49
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="a trusted proxy must be a CIDR such as 10.244.0.0/16, or 192.0.2.7/32 for one address: find the ingress's addresses with kubectl get pods -n NAMESPACE-OF-THE-INGRESS -o wide"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self).prefixLength() > 0",message="a /0 would let anyone forge a client address: name the ingress only; find its addresses with kubectl get pods -n NAMESPACE-OF-THE-INGRESS -o wide"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",messageExpression="self + ' has bits beyond its prefix: write the first address of the range, such as 10.244.0.0/16, or use /32 (IPv6: /128) for one address'",message="the address has bits beyond its prefix: write the first address of the range, or use /32 (IPv6: /128) for one address"
	TrustedProxies []string `json:"trustedProxies"`

	// edge describes the authorization service that the ingress asks before each
	// request.
	// +optional
	// +kubebuilder:default={}
	Edge EdgeSpec `json:"edge,omitzero"`

	// podTemplate adds a small set of fields to the pods that Keyturn makes.
	// Everything else in them is Keyturn's.
	// +optional
	PodTemplate PodTemplateSpec `json:"podTemplate,omitzero"`
}

// EdgeSpec describes the edge authorization service.
type EdgeSpec struct {
	// replicas of the edge. Every request through the ingress waits for one of
	// them. Default 2; 1 to 100.
	// +optional
	// +default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Replicas int32 `json:"replicas,omitempty"`

	// onStaleRevocations says what an edge does that has heard nothing about
	// revocations for longer than the policy's revocation.maxPropagation.
	// AllowUntilExpiry (default) goes on: users are served, and a token revoked
	// meanwhile can live until it expires. FailClosed refuses every request with
	// 503 until it is current again.
	// +optional
	// +default="AllowUntilExpiry"
	OnStaleRevocations StalePolicy `json:"onStaleRevocations,omitempty"`
}

// TokenService runs the token service and the edge authorization service of
// one issuer. Ask with: kubectl get tsvc
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=tsvc,categories=keyturn
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when users can log in and the edge decides by the newest keys"
// +kubebuilder:printcolumn:name="ISSUER",type=string,JSONPath=`.spec.issuer`,description="The iss claim of the tokens"
// +kubebuilder:printcolumn:name="KEY",type=string,JSONPath=`.status.key`,description="First 8 characters of the kid that signs now"
// +kubebuilder:printcolumn:name="REPLICAS",type=string,JSONPath=`.status.replicas`,description="Token services that have loaded the newest revision, of all"
// +kubebuilder:printcolumn:name="EDGE",type=string,JSONPath=`.status.edge`,description="Edges that have loaded the newest revision, of all"
// +kubebuilder:printcolumn:name="ROLLOUT",type=string,JSONPath=`.status.rollout`,description="How far the users of legacy sessions have moved"
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`,description="Age of this object"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must have at most 40 characters a-z, 0-9 and -, begin with a letter and not end with -: Services and workloads are named after it"
type TokenService struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec describes one issuer.
	// +required
	Spec TokenServiceSpec `json:"spec"`

	// status says what runs, where it answers and what it has loaded.
	// +optional
	Status TokenServiceStatus `json:"status,omitzero"`
}

// TokenServiceList is a list of TokenServices.
// +kubebuilder:object:root=true
type TokenServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []TokenService `json:"items"`
}
