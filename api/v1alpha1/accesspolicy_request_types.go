package v1alpha1

// AccessPathType says how a path is compared.
// +kubebuilder:validation:Enum=Exact;PathPrefix
type AccessPathType string

const (
	// PathExact is this path and no other.
	PathExact AccessPathType = "Exact"
	// PathPrefix is this path and all below it, by whole segments.
	PathPrefix AccessPathType = "PathPrefix"
)

// ForeignAnswer says what a token of another issuer means.
// +kubebuilder:validation:Enum=Ignore;Reject
type ForeignAnswer string

const (
	// ForeignIgnore looks on: as if there were none in this place.
	ForeignIgnore ForeignAnswer = "Ignore"
	// ForeignReject refuses the request.
	ForeignReject ForeignAnswer = "Reject"
)

// AccessRequirement is what a user needs.
type AccessRequirement struct {
	// roles of which a user must have one. Empty: any user will do. At most 32.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]([ -~]*[!-~])?$')",message="a role is printable ASCII without spaces at its ends, such as admin: remove what is not"
	Roles []string `json:"roles,omitempty"`
}

// AccessRule is what some requests need. Every member of it that is set must
// match.
// +kubebuilder:validation:XValidation:rule="has(self.path) || (has(self.methods) && self.methods.size() > 0)",message="a rule is for some paths or methods: set path or methods; what every request needs is said by require"
// +kubebuilder:validation:XValidation:rule="!has(self.anonymous) || !self.anonymous || !has(self.roles) || self.roles.size() == 0",fieldPath=".roles",reason=FieldValueInvalid,message="who is let in without a credential has no role: remove roles, or anonymous"
type AccessRule struct {
	// path is which paths it is for. Default: all.
	// +optional
	Path *AccessPath `json:"path,omitempty"`

	// methods are those it is for, such as GET, HEAD: GET alone is not for HEAD.
	// Default: all. At most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Z][A-Z-]*$') && self != 'CONNECT'",message="a method is written in capitals, such as GET or PROPFIND, and CONNECT is refused whatever a policy says: mend or remove it"
	Methods []string `json:"methods,omitempty"`

	// roles of which a user must have one. Empty: any user will do. At most 32.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]([ -~]*[!-~])?$')",message="a role is printable ASCII without spaces at its ends, such as admin: remove what is not"
	Roles []string `json:"roles,omitempty"`

	// anonymous lets everybody in. Who has a good credential is told to the
	// application. A bad one in a header is refused; one that only came in a cookie
	// counts as none.
	// +optional
	Anonymous bool `json:"anonymous,omitempty"`
}

// AccessPath is a set of paths. Requests whose path could mean two things
// (encoded slashes, dot segments, double slashes) are refused where a policy
// has a rule with a path.
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'PathPrefix' || self.value == '/' || !self.value.endsWith('/')",fieldPath=".value",reason=FieldValueInvalid,message="a prefix matches whole segments, so /api is for /api and /api/orders: remove the slash at the end"
type AccessPath struct {
	// type is PathPrefix (default), which matches whole segments, or Exact.
	// +optional
	// +default="PathPrefix"
	Type AccessPathType `json:"type,omitempty"`

	// value is the path, such as /api, without a query. It is written in plain
	// characters and compared with what the request's path means.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="value must begin with a slash, such as /api: add it"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[]A-Za-z0-9._~!$&()*+,=:@/[-]*$')",message="value may have letters, digits and . _ ~ ! $ & ( ) * + , = : @ / - [ ] only: no query, no escapes with %, no ; and no other characters. Use a prefix above them"
	// +kubebuilder:validation:XValidation:rule="!self.contains('//')",message="value must not have two slashes in a row, which proxies merge: remove one"
	// +kubebuilder:validation:XValidation:rule="!self.matches('/[.][.]?(/|$)')",message="value must not have . or .. as a segment, which proxies resolve: write the path that is meant"
	Value string `json:"value"`
}

// UnauthenticatedSpec is what a request without a good credential gets.
// +kubebuilder:validation:XValidation:rule="!has(self.navigation) || self.navigation != 'Redirect' || has(self.loginURL)",fieldPath=".loginURL",reason=FieldValueInvalid,message="navigation Redirect needs to know where to: set loginURL, such as /login"
// +kubebuilder:validation:XValidation:rule="!has(self.loginURL) || (has(self.navigation) && self.navigation == 'Redirect')",fieldPath=".navigation",reason=FieldValueInvalid,message="loginURL is used with navigation Redirect only: set navigation to Redirect, or remove loginURL"
type UnauthenticatedSpec struct {
	// navigation is what a browser that opens a page gets: Status (default, 401 as
	// every other request) or Redirect (302 to loginURL).
	// +optional
	// +default="Status"
	Navigation NavigationAnswer `json:"navigation,omitempty"`

	// loginURL is where it is sent: a path of the same host, such as /login, or
	// /auth/continue where browsers have cookies of the TokenPolicy, or an https URL.
	// It must be reachable without a credential.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[]A-Za-z0-9:/?&=._~%+,;!$()*[-]+$')",message="loginURL must not have @, #, spaces, quotes, backslashes or other characters that a URL encodes: remove them"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(/([^/].*)?|https://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|[[][0-9a-f:.]+[]])(:[1-9][0-9]{0,4})?([/?].*)?)$')",message="loginURL must be a path of the same host that begins with one slash, such as /login, or an https URL with a lower-case host, such as https://www.example.com/login: mend it"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://[^/?]*:(443|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})([/?]|$)')",message="loginURL has the port of https itself, or one above 65535: remove :443, or use a port from 1 to 65535"
	// +kubebuilder:validation:XValidation:rule="self == '/auth/continue' || !self.matches('^/[^?]*%|^/([^?]*/)?[.][.]?([/;?]|$)|^/auth([/?]|$)')",message="the path of loginURL must not have %, . or .. as a segment, and of those under /auth/, where Keyturn's own endpoints are, it can only be /auth/continue: use a path such as /login"
	LoginURL *string `json:"loginURL,omitempty"`
}

// AccessTokenSource is one place of a request: exactly one of header and cookie.
// +kubebuilder:validation:XValidation:rule="has(self.header) != has(self.cookie)",message="a token source is exactly one of header and cookie: set one"
type AccessTokenSource struct {
	// header of the request.
	// +optional
	Header *TokenHeader `json:"header,omitempty"`

	// cookie of the request.
	// +optional
	Cookie *TokenCookie `json:"cookie,omitempty"`

	// foreign is what a token of another issuer in this place means: Ignore (default:
	// look on) or Reject.
	// +optional
	// +default="Ignore"
	Foreign ForeignAnswer `json:"foreign,omitempty"`
}

// TokenHeader is a header with a token.
type TokenHeader struct {
	// name of the header, such as Authorization.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9-]*$')",message="name must be the name of a header: letters, digits and -, such as Authorization: mend it"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().matches('^(x-(auth-(user|role|method)|keyturn-.*|forwarded.*|original-.*|rewrite-.*|envoy-.*|accel-.*|sendfile.*|lighttpd-.*|litespeed-.*|http-method.*|method-override|requested-with|real-ip|client-ip|cluster-client-ip|host|url|proxy-.*|request-id|request-start|correlation-id|b3-.*|amzn?-.*|cloud-trace-context|csrf-?token|xsrf-token|frame-options|content-type-options|xss-protection|powered-by)|host|cookie|set-cookie|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|content-.*|expect|forwarded|via|origin|referer|user-agent|accept|accept-.*|sec-.*|access-control-.*|date|range|if-.*|cache-control|pragma|from|max-forwards)$')",message="this header means something else to browsers, proxies or Keyturn: use Authorization, or a header of your own; for a cookie set cookie"
	Name string `json:"name"`

	// scheme is what stands before the token and a space, such as Bearer. Default:
	// Bearer in the header Authorization, nothing in others.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9-]*$')",message="scheme is one word of letters, digits and -, such as Bearer: mend it"
	Scheme *string `json:"scheme,omitempty"`
}

// TokenCookie is a cookie with a token.
type TokenCookie struct {
	// name of the cookie, such as __Host-keyturn-access.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9!#$%&*+.^_|~-]+$')",message="name must be the name of a cookie: letters, digits and ! # $ % & * + - . ^ _ | ~ only: mend it"
	Name string `json:"name"`
}

// UpstreamHeader tells a claim of the token to the application.
type UpstreamHeader struct {
	// name of the header. The edge removes what a client sends under it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[Xx]-[A-Za-z0-9-]+$')",message="name must begin with X- and have letters, digits and - only, such as X-User-Team: mend it"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().matches('^x-(auth-(user|role|method)|keyturn-.*|forwarded.*|original-.*|rewrite-.*|envoy-.*|accel-.*|sendfile.*|lighttpd-.*|litespeed-.*|http-method.*|method-override|requested-with|real-ip|client-ip|cluster-client-ip|host|url|proxy-.*|request-id|request-start|correlation-id|b3-.*|amzn?-.*|cloud-trace-context|csrf-?token|xsrf-token|frame-options|content-type-options|xss-protection|powered-by)$')",message="this header means something else to browsers, proxies, applications or Keyturn: use one of your own, such as X-User-Team"
	Name string `json:"name"`

	// claim is one of the TokenPolicy's claims.allow, or sub, sid or client_id.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_.:/-]*$')",message="a claim's name begins with a letter or _ and has letters, digits and _ . : / - only, such as role or https://example.com/team: mend it"
	Claim string `json:"claim"`
}

// AdapterSpec attaches a policy to the ingress.
type AdapterSpec struct {
	// type is None (default: nothing is made), EnvoyGateway (a SecurityPolicy on the
	// targets), Traefik (a Middleware, which your route has to name) or Nginx
	// (annotations for your Ingress, in status.snippet).
	// +optional
	// +default="None"
	Type AdapterType `json:"type,omitempty"`
}
