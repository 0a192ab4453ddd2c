package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AccessCredential is a credential that can authorize a request.
// +kubebuilder:validation:Enum=JWT;LegacySession
type AccessCredential string

const (
	// AccessJWT is an access token of the TokenService.
	AccessJWT AccessCredential = "JWT"
	// AccessLegacySession is a legacy session, while the AuthRollout of the TokenService accepts them.
	AccessLegacySession AccessCredential = "LegacySession"
)

// AccessMode says whether a refusal is one.
// +kubebuilder:validation:Enum=Enforce;Audit
type AccessMode string

const (
	// AccessEnforce refuses.
	AccessEnforce AccessMode = "Enforce"
	// AccessAudit lets through, and logs and counts, what it would have refused. The identity of a good credential is told,
	// and what is refused whatever a policy says stays refused.
	AccessAudit AccessMode = "Audit"
)

// AdapterType says whose object attaches the policy to the ingress.
// +kubebuilder:validation:Enum=None;EnvoyGateway;Traefik;Nginx
type AdapterType string

const (
	// AdapterNone makes nothing: status.snippet says what to configure.
	AdapterNone AdapterType = "None"
	// AdapterEnvoyGateway makes a SecurityPolicy, which attaches itself to the targets.
	AdapterEnvoyGateway AdapterType = "EnvoyGateway"
	// AdapterTraefik makes a Middleware, which a route has to name.
	AdapterTraefik AdapterType = "Traefik"
	// AdapterNginx makes nothing and prints the annotations of an Ingress.
	AdapterNginx AdapterType = "Nginx"
)

// NavigationAnswer is what a browser's navigation gets without a good
// credential.
// +kubebuilder:validation:Enum=Status;Redirect
type NavigationAnswer string

const (
	// NavigationStatus answers 401, as to every other request.
	NavigationStatus NavigationAnswer = "Status"
	// NavigationRedirect sends the browser to loginURL.
	NavigationRedirect NavigationAnswer = "Redirect"
)

// AccessPolicySpec says what the requests of some routes need.
// +kubebuilder:validation:XValidation:rule="!has(self.adapter) || self.adapter.type != 'EnvoyGateway' || (has(self.targetRefs) && self.targetRefs.size() > 0)",fieldPath=".targetRefs",reason=FieldValueInvalid,message="adapter EnvoyGateway attaches a SecurityPolicy to targetRefs: name at least one HTTPRoute, GRPCRoute or Gateway, or set adapter.type to None"
// +kubebuilder:validation:XValidation:rule="!has(self.adapter) || self.adapter.type != 'EnvoyGateway' || !has(self.targetRefs) || self.targetRefs.all(t, t.kind != 'Ingress')",fieldPath=".targetRefs",reason=FieldValueInvalid,message="Envoy Gateway does not serve an Ingress: name an HTTPRoute, a GRPCRoute or a Gateway, or set adapter.type to Traefik, Nginx or None"
type AccessPolicySpec struct {
	// targetRefs name the routes and gateways of this namespace that it is for. The
	// oldest policy on a target wins. Empty: the policy is reached by its name only.
	// At most 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.kind == b.kind && a.name == b.name && (has(a.sectionName) ? a.sectionName : '*') == (has(b.sectionName) ? b.sectionName : '*')))",message="a target is named twice: name each once"
	TargetRefs []AccessTargetReference `json:"targetRefs,omitempty"`

	// tokenServiceRef names the TokenService whose tokens count.
	// +required
	TokenServiceRef AccessTokenServiceReference `json:"tokenServiceRef"`

	// accept are the credentials that authorize. Default JWT, LegacySession: what
	// becomes of sessions is the AuthRollout's to say, and without one there are
	// none. Without LegacySession users must have moved already. JWT is always one
	// of them.
	// +optional
	// +listType=set
	// +kubebuilder:default={JWT,LegacySession}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="'JWT' in self",message="accept must have JWT, or nobody could get in once the sessions have ended: add it"
	Accept []AccessCredential `json:"accept,omitzero"`

	// require is what a user needs where no rule matches.
	// +optional
	Require AccessRequirement `json:"require,omitzero"`

	// rules are for some paths or methods. They are tried in their order, and the
	// first that matches takes the place of require. At most 64.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Rules []AccessRule `json:"rules,omitempty"`

	// preflight lets the questions that browsers ask before a request from another
	// origin (OPTIONS with Origin and Access-Control-Request-Method) through to the
	// application, without an identity. Default: they need a credential, which
	// browsers do not send with them.
	// +optional
	Preflight bool `json:"preflight,omitempty"`

	// unauthenticated is what a request without a good credential gets.
	// +optional
	// +kubebuilder:default={}
	Unauthenticated UnauthenticatedSpec `json:"unauthenticated,omitzero"`

	// mode is Enforce (default) or Audit: lets everything through that the policy
	// would refuse, and logs and counts it. Who has a good credential is told to the
	// application, of everybody else nothing. What is refused whatever a policy says,
	// such as a spoofed identity header, is refused all the same.
	// +optional
	// +default="Enforce"
	Mode AccessMode `json:"mode,omitempty"`

	// tokenSources are where tokens are looked for. Default: in the header
	// Authorization after Bearer, and in the cookie of the TokenPolicy. At most 8.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, has(a.cookie) ? has(b.cookie) && a.cookie.name == b.cookie.name : has(b.header) && has(a.header) && a.header.name.lowerAscii() == b.header.name.lowerAscii()))",message="two tokenSources are the same header or cookie: only one credential can be in one place; remove one of them"
	TokenSources []AccessTokenSource `json:"tokenSources,omitempty"`

	// upstreamHeaders are headers for the application, beside X-Auth-User,
	// X-Auth-Role and X-Auth-Method. At most 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.name.lowerAscii() == b.name.lowerAscii()))",message="two upstreamHeaders have the same name, in whatever case: remove one of them"
	UpstreamHeaders []UpstreamHeader `json:"upstreamHeaders,omitempty"`

	// adapter attaches the policy to the ingress. Default: nothing is made, and
	// status.snippet says what to configure.
	// +optional
	// +kubebuilder:default={}
	Adapter AdapterSpec `json:"adapter,omitzero"`

	// probe lets the manager try, through the ingress, whether the policy is
	// enforced. Default: nobody tries, and the condition Enforced is Unknown.
	// +optional
	Probe *AccessProbe `json:"probe,omitempty"`
}

// AccessTargetReference names a route or a gateway in this namespace.
// +kubebuilder:validation:XValidation:rule="(self.group == 'gateway.networking.k8s.io' && self.kind in ['HTTPRoute', 'GRPCRoute', 'Gateway']) || (self.group == 'networking.k8s.io' && self.kind == 'Ingress')",message="a target is a HTTPRoute, GRPCRoute or Gateway of group gateway.networking.k8s.io, or an Ingress of group networking.k8s.io: mend group or kind"
// +kubebuilder:validation:XValidation:rule="self.kind != 'Ingress' || !has(self.sectionName)",fieldPath=".sectionName",reason=FieldValueInvalid,message="an Ingress has no sections: remove sectionName"
type AccessTargetReference struct {
	// group is gateway.networking.k8s.io or networking.k8s.io.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group"`

	// kind is HTTPRoute, GRPCRoute, Gateway or Ingress.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// name of the object in this namespace. It may come later than the policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of an object: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	Name string `json:"name"`

	// sectionName is a listener of a Gateway or a rule of a route. Without one it is
	// for all of them; a policy for a section does not contest one for the whole.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="sectionName must be a name: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	SectionName *string `json:"sectionName,omitempty"`
}

// AccessTokenServiceReference names a TokenService, also of another namespace.
type AccessTokenServiceReference struct {
	// name of the TokenService.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of an object: a-z, 0-9, - and ., not at its ends. Names are in lower case: mend it"
	Name string `json:"name"`

	// namespace of the TokenService. Default: this one. Another one needs a
	// ReferenceGrant there.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="namespace must be the name of a namespace: a-z, 0-9 and -, not at its ends: mend it"
	Namespace *string `json:"namespace,omitempty"`
}

// AccessPolicy says what the requests of some routes need: which credentials,
// which roles, on which paths. Ask with: kubectl get acp
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=accesspolicies,shortName=acp,categories=keyturn
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when every edge decides by this policy"
// +kubebuilder:printcolumn:name="MODE",type=string,JSONPath=`.spec.mode`,description="Enforce or Audit"
// +kubebuilder:printcolumn:name="TARGETS",type=string,JSONPath=`.status.attached`,description="Targets that exist and are not contested, of all"
// +kubebuilder:printcolumn:name="TOKENSERVICE",type=string,JSONPath=`.spec.tokenServiceRef.name`,description="The TokenService whose tokens count"
// +kubebuilder:printcolumn:name="ENFORCED",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`,description="True when probes through the ingress were refused by this policy"
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`,description="Age of this object"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must have at most 63 characters a-z, 0-9 and -, begin with a letter and not end with -"
type AccessPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which requests need what.
	// +required
	Spec AccessPolicySpec `json:"spec"`

	// status says whether it is in force, and what to configure at the ingress.
	// +optional
	Status AccessPolicyStatus `json:"status,omitzero"`
}

// AccessPolicyList is a list of AccessPolicies.
// +kubebuilder:object:root=true
type AccessPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []AccessPolicy `json:"items"`
}
