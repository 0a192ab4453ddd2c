package snapshot

// AccessPolicy says what a route of the ingress needs. The edge finds it by its name, which the proxy's configuration
// gives; what it does not find it refuses.
type AccessPolicy struct {
	// Name is the namespace/name of the AccessPolicy.
	Name string `json:"name"`
	// Accept are the credentials that authorize, of those below; at least one.
	Accept []string `json:"accept"`
	// Roles are those of which a user must have one; empty: none is needed.
	Roles []string `json:"roles,omitempty"`
	// Rules are tried in their order; the first that matches takes the place of Roles. Where none matches, Roles decide.
	Rules []AccessRule `json:"rules,omitempty"`
	// Preflight lets the questions that browsers ask before a cross-origin request (OPTIONS with Origin and
	// Access-Control-Request-Method) through to the application, without an identity.
	Preflight bool `json:"preflight,omitempty"`
	// LoginURL is where a browser's navigation without a good credential is sent (302): a path of the same origin or an
	// https URL. Empty: it gets the status, as every other request does.
	LoginURL string `json:"loginURL,omitempty"`
	// Audit lets everything through that the policy would refuse, and logs and counts it. Who has a good credential is told
	// to the application, of everybody else nothing. What the edge refuses whatever the policy says (a spoofed identity, a
	// peer that is not trusted) it refuses all the same.
	Audit bool `json:"audit,omitempty"`
	// Sources are where tokens are looked for; empty: in `Authorization: Bearer` and in the access cookie.
	Sources []TokenSource `json:"sources,omitempty"`
	// Headers are headers for the application, beside those that every policy has.
	Headers []UpstreamHeader `json:"headers,omitempty"`
}

// The values of AccessPolicy.Accept.
const (
	AcceptJWT           = "JWT"
	AcceptLegacySession = "LegacySession"
)

// AccessRule is what some requests need. Every member that is set must match.
type AccessRule struct {
	// Path and PathType say which paths; an empty Path matches all.
	Path     string `json:"path,omitempty"`
	PathType string `json:"pathType,omitempty"`
	// Methods are those it is for; empty: all.
	Methods []string `json:"methods,omitempty"`
	// Roles are those of which a user must have one; empty: any user will do.
	Roles []string `json:"roles,omitempty"`
	// Anonymous lets everybody through. Who has a good credential is told to the application. A bad one in a header is
	// refused; one in a cookie only counts as none.
	Anonymous bool `json:"anonymous,omitempty"`
}

// The values of AccessRule.PathType, as in the Gateway API: a prefix matches whole segments.
const (
	PathExact  = "Exact"
	PathPrefix = "PathPrefix"
)

// TokenSource is one place of a request: exactly one of Header and Cookie is set.
type TokenSource struct {
	// Header is a header's name; Scheme is what stands before the token ("Bearer"), empty for nothing, which
	// in the header Authorization means "Bearer".
	Header string `json:"header,omitempty"`
	Scheme string `json:"scheme,omitempty"`
	// Cookie is a cookie's name.
	Cookie string `json:"cookie,omitempty"`
	// RejectForeign refuses a token of another issuer in this place, instead of looking on.
	RejectForeign bool `json:"rejectForeign,omitempty"`
}

// UpstreamHeader tells a claim of the token to the application.
type UpstreamHeader struct {
	// Name is the header's.
	Name string `json:"name"`
	// Claim is one of Edge.Claims, or sub, sid, client_id.
	Claim string `json:"claim"`
}
