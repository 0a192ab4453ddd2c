package policy

import (
	"slices"
	"strings"
)

// DefaultPolicy is the reserved policy name: a valid token, no further rules.
const DefaultPolicy = "-/default"

// Method is how the user proved who they are; the value of the header [HeaderMethod].
type Method string

// MethodJWT means by an access token.
const MethodJWT Method = "jwt"

// The headers that tell the application who the user is. It may trust them because nobody else can set them.
const (
	HeaderUser   = "X-Auth-User"
	HeaderRole   = "X-Auth-Role"
	HeaderMethod = "X-Auth-Method"
)

// IdentityHeaders are all headers that only the edge may set.
var IdentityHeaders = [...]string{HeaderUser, HeaderRole, HeaderMethod}

// MaxIdentityBytes bounds the value of one identity header.
const MaxIdentityBytes = 1024

// Edge tells whether the edge is able to decide. The zero value is not.
type Edge uint8

const (
	// EdgeNotReady means no document in force, or the revocations were never completely loaded.
	EdgeNotReady Edge = iota
	// EdgeFresh means that everything is up to date.
	EdgeFresh
	// EdgeStaleServing means that the revocations are out of date, and the TokenService says AllowUntilExpiry.
	EdgeStaleServing
	// EdgeStaleClosed means that the revocations are out of date, and the TokenService says FailClosed.
	EdgeStaleClosed
)

// Credential is what became of the token in one place of the request. The zero value denies.
type Credential struct {
	Outcome Outcome
	// Reason is why the outcome is not Valid.
	Reason Reason
	// User and Role are believed only if the outcome is Valid. An empty Role means none.
	User, Role string
	// Method is how it was proven; empty means [MethodJWT].
	Method Method
	// Cookie tells that all of it came in cookies, which browsers send by themselves.
	Cookie bool
	// Claims is what the token says beside that, where a policy tells it to applications; nil: nothing.
	Claims Claims
}

// Claims is what a token says beside user and role. It does not change.
type Claims interface {
	// Claim returns a claim that is a text, `sid` and `client_id` among them; empty if there is none.
	Claim(name string) string
}

// Claim returns what the credential says of a claim; empty if it says nothing. A session only says who its user is.
func (c Credential) Claim(name string) string {
	switch {
	case name == "sub":
		return c.User
	case name == "role":
		return c.Role
	case c.Claims == nil:
		if name == "user_id" && c.Method == MethodSession {
			return c.User
		}
		return ""
	}
	return c.Claims.Claim(name)
}

// Input is everything that a decision rests on. The zero value denies.
type Input struct {
	Edge Edge
	// Refusal is why the request is refused whatever it carries; empty if it may be asked about.
	Refusal Reason
	// Policy is the one that the proxy's configuration names; nil if there is none of that name.
	Policy *Policy
	// Request is what the policy looks at.
	Request Request
	// Header is the credential of the Authorization header, or what [Combine] and [WithSession] made of all places.
	Header Credential
}

// Decision is the answer to one check. The zero value denies with 403.
type Decision struct {
	// Allow is whether the request goes on.
	Allow bool
	// Status is the HTTP status of a denial: 401, 403 or 503. Use [Decision.HTTPStatus].
	Status int
	// Code is what the client may know.
	Code Code
	// Reason is what the operator may know.
	Reason Reason
	// User, Role and Method become the identity headers; empty on a denial, and where nobody in particular is let through.
	User, Role string
	Method     Method
	// WouldDeny is why the policy refuses what its audit lets through.
	WouldDeny Reason
	// LoginURL is where the answer of a denial sends the browser; empty: nowhere.
	LoginURL string
}

// HTTPStatus returns 200 for an allowed request, 302 for a browser that is sent to its login, and never less than 400 for
// any other denied one.
func (d Decision) HTTPStatus() int {
	switch {
	case d.Allow:
		return 200
	case d.LoginURL != "":
		return 302
	case d.Status < 400 || d.Status > 599:
		return 403
	default:
		return d.Status
	}
}

// Decide is the whole decision. The earlier question wins: an edge that cannot decide says so before it looks at the
// request, and a request that may not be asked about is refused whatever token it carries.
func Decide(in Input) Decision {
	switch in.Edge {
	case EdgeFresh, EdgeStaleServing:
	case EdgeStaleClosed:
		return Deny(StaleRevocations)
	default:
		return Deny(NotReady)
	}
	if in.Refusal != "" {
		return Deny(in.Refusal)
	}
	p := in.Policy
	if p == nil {
		return Deny(NoPolicy)
	}
	d := p.decide(in)
	switch {
	case d.Allow || d.Reason == InternalError: // a fault of ours is not the policy's refusal
		return d
	case p.Audit:
		return p.audited(d.Reason, in.Header)
	case d.Status == 401 && in.Request.Navigation:
		d.LoginURL = p.LoginURL
	}
	return d
}

// audited lets through what the policy refuses for a reason. Who has a good credential is told to the application; of
// everybody else it is told nothing.
func (p *Policy) audited(refused Reason, c Credential) Decision {
	d := p.decideCredential(p.accepted(c))
	if !d.Allow {
		d = nobody(Audited)
	}
	d.Reason, d.WouldDeny = Audited, refused
	return d
}

func (p *Policy) decide(in Input) Decision {
	needed, ambiguous := p.needs(in.Request)
	if ambiguous {
		return Deny(AmbiguousPath)
	}
	if p.Preflight && in.Request.isPreflight() {
		return nobody(Preflight)
	}
	c := p.accepted(in.Header)
	if needed.anonymous && isNobody(c) {
		return nobody(Anonymous)
	}
	d := p.decideCredential(c)
	if d.Allow && len(needed.roles) > 0 && (c.Role == "" || !slices.Contains(needed.roles, c.Role)) {
		return Deny(InsufficientRole)
	}
	return d
}

// isNobody tells whether a credential says nothing about anybody, where everybody may come in: there is none, or a token of
// somebody else's, or a session that is over, as applications give to everybody who comes by, or that nobody can validate
// at the moment. A token that came in a cookie and is not good is nobody's either: a browser goes on sending it, and its
// owner could not even open the page to log in again. One that somebody put into a header is not: an expired token is to be
// refreshed, and a broken one told.
func isNobody(c Credential) bool {
	switch c.Outcome {
	case Absent, Foreign:
		return true
	case Expired, Revoked:
		return c.Cookie
	case Invalid:
		return c.Cookie || c.Reason == LegacyInvalid || c.Reason == LegacySunset || c.Reason == LegacyBrownout
	case Unknown:
		return c.Cookie && c.Reason == LegacyUnavailable
	default:
		return false
	}
}

func (p *Policy) decideCredential(c Credential) Decision {
	switch c.Outcome {
	case Valid:
	case Absent:
		return Deny(NoCredential)
	case Foreign:
		return Deny(orElse(c.Reason, WrongIssuer))
	case Expired:
		return Deny(ReasonExpired)
	case Revoked:
		return Deny(ReasonRevoked)
	case Invalid:
		return Deny(orElse(c.Reason, MalformedToken))
	default:
		if c.Reason == LegacyUnavailable {
			return Deny(LegacyUnavailable)
		}
		return Deny(InternalError)
	}
	if c.User == "" || !carriable(c.User) || !carriable(c.Role) {
		return Deny(UnusableIdentity)
	}
	for _, claim := range p.Claims {
		if !carriable(c.Claim(claim)) {
			return Deny(UnusableIdentity)
		}
	}
	return allow(c)
}

func allow(c Credential) Decision {
	method := c.Method
	if method == "" {
		method = MethodJWT
	}
	return Decision{Allow: true, Reason: OK, User: c.User, Role: c.Role, Method: method}
}

// nobody lets a request through without telling who it is.
func nobody(reason Reason) Decision { return Decision{Allow: true, Reason: reason} }

// Deny makes the denial for a reason, with the status and the code that belong to it.
func Deny(reason Reason) Decision {
	if reason.allows() {
		reason = InternalError
	}
	return Decision{Status: reason.status(), Code: reason.code(), Reason: reason}
}

func (r Reason) status() int {
	switch r {
	case NotReady, StaleRevocations, InternalError, LegacyUnavailable:
		return 503
	case NoPolicy, SpoofedIdentity, BadRequestTarget, UntrustedPeer, MissingDialectHeader, CrossSite, UnusableIdentity,
		InsufficientRole, AmbiguousPath:
		return 403
	default:
		return 401
	}
}

// carriable tells whether v survives the way through any proxy unchanged: printable ASCII, no space at an end.
func carriable(v string) bool {
	if len(v) > MaxIdentityBytes || strings.TrimSpace(v) != v {
		return false
	}
	for i := range len(v) {
		if v[i] < 0x20 || v[i] > 0x7e {
			return false
		}
	}
	return true
}

func orElse(r, fallback Reason) Reason {
	if r.allows() {
		return fallback
	}
	return r
}
