package snapshot

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
)

// The formats this build reads and writes. A reader refuses any other.
const (
	IssuerFormat = "keyturn.dev/issuer-snapshot/v1"
	EdgeFormat   = "keyturn.dev/edge-snapshot/v1"
)

// MaxBytes bounds a document, as stored (compressed) and as decoded (times eight).
const MaxBytes = 900 << 10

// Header is what both documents begin with.
type Header struct {
	// Format is [IssuerFormat] or [EdgeFormat].
	Format string `json:"format"`
	// Revision grows with every change of the document; it is what replicas acknowledge.
	Revision int64 `json:"revision"`
	// TokenService is the namespace/name of the TokenService this document was compiled from.
	TokenService string `json:"tokenService"`
	// Issuer is the `iss` of every token (RFC 7519, section 4.1.1): compared byte for byte.
	Issuer string `json:"issuer"`
}

// KeySet is the public part of a key ring.
type KeySet struct {
	// Name is the namespace/name of the SigningKeySet.
	Name string `json:"name"`
	// Epoch grows with every write of the ring; a reader never goes back to a lower one.
	Epoch int64 `json:"epoch"`
	// Active is the kid that signs.
	Active string `json:"active"`
	// Keys are all keys whose signatures are good, with their public JWK (RFC 7517); sorted by kid.
	Keys []Key `json:"keys"`
	// ClockSkew is how far two clocks may be apart.
	ClockSkew Duration `json:"clockSkew"`
}

// Key is one public key. Its algorithm is pinned: a token that names this kid with another `alg` is refused.
type Key struct {
	KID       string          `json:"kid"`
	Algorithm string          `json:"alg"`
	JWK       json.RawMessage `json:"jwk"`
}

// Issuer is the document of the token service. Who can read it can sign tokens.
type Issuer struct {
	Header
	Keys KeySet `json:"keySet"`
	// SigningKey is the private JWK of Keys.Active.
	SigningKey secret.Bytes `json:"signingKey"`
	// JWKS tells how the JWKS endpoint may be cached.
	JWKS    JWKSCaching  `json:"jwks"`
	Access  AccessToken  `json:"accessToken"`
	Refresh RefreshToken `json:"refreshToken"`
	// LoginLimit bounds the logins from one address, FailureLimit the failed ones of one account; a zero FailureLimit
	// bounds nothing.
	LoginLimit     RateLimit        `json:"loginRateLimit"`
	FailureLimit   RateLimit        `json:"loginFailureLimit,omitzero"`
	Browser        Browser          `json:"browser,omitzero"`
	MaxPropagation Duration         `json:"maxPropagation"`
	Identity       []IdentitySource `json:"identity"`
	// Clients may introspect and revoke the tokens of their audiences.
	Clients []Client `json:"clients,omitempty"`
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `json:"trustedProxies"`
	// Rollout and Legacy are nil where there are no legacy sessions.
	Rollout *Rollout `json:"rollout,omitempty"`
	Legacy  *Legacy  `json:"legacy,omitempty"`
	// Revocations are what somebody distrusts; sorted by UID.
	Revocations []Revocation `json:"revocations,omitempty"`
}

// Browser is what browsers get. The zero value sets no cookie and allows no other origin.
type Browser struct {
	// Cookies is one of the modes below; empty means [CookiesDisabled].
	Cookies string `json:"cookies,omitempty"`
	// LoginURL is where /auth/continue sends a browser that cannot be refreshed: a path of the same origin or an https
	// URL; empty means that it says so on its page.
	LoginURL string `json:"loginURL,omitempty"`
	// AllowedOrigins are the other origins whose pages may call the token service (CORS), e.g. https://app.example.com.
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
}

// The values of Browser.Cookies.
const (
	// CookiesDisabled: tokens travel in bodies only.
	CookiesDisabled = "Disabled"
	// CookiesOptional: a login that asks for `"delivery": "cookie"` gets cookies and no token in the body.
	CookiesOptional = "Optional"
	// CookiesRequired: every login gets cookies and no token in the body.
	CookiesRequired = "Required"
)

// AccessCookie is the name of the cookie with the access token. Its prefix binds it to one host, over TLS
// (draft-ietf-httpbis-rfc6265bis, section 4.1.3).
const AccessCookie = "__Host-keyturn-access"

// Client is somebody who may ask about tokens (RFC 7662, RFC 7009). Its secret is in the file `secret` of the directory
// <client-dir>/<ID>.
type Client struct {
	ID string `json:"id"`
	// Audiences are those whose tokens it sees.
	Audiences []string `json:"audiences"`
}

// JWKSCaching is what `Cache-Control` of the JWKS says.
type JWKSCaching struct {
	MaxAge       Duration `json:"maxAge"`
	StaleIfError Duration `json:"staleIfError"`
}

// AccessToken tells how access tokens are minted (RFC 9068).
type AccessToken struct {
	TTL       Duration `json:"ttl"`
	Audiences []string `json:"audiences"`
	// Claims are the custom claims a token may carry, e.g. user_id and role.
	Claims []string `json:"claims"`
	// MaxClaimBytes bounds the custom claims together, as JSON.
	MaxClaimBytes int `json:"maxClaimBytes"`
}

// RefreshToken tells how long a refresh family lives.
type RefreshToken struct {
	// IdleTTL is how long an unused refresh token stays good.
	IdleTTL Duration `json:"idleTTL"`
	// AbsoluteTTL is when a family ends in any case, from the login on.
	AbsoluteTTL Duration `json:"absoluteTTL"`
	// RetryWindow is how long the token just replaced still returns the same successor.
	RetryWindow        Duration `json:"retryWindow"`
	MaxFamiliesPerUser int      `json:"maxFamiliesPerUser"`
}

// RateLimit allows Limit events in any span of Window.
type RateLimit struct {
	Limit  int      `json:"limit"`
	Window Duration `json:"window"`
}

// IdentitySource is one place that knows users. Exactly one of its members beside name and prefix is set.
type IdentitySource struct {
	Name string `json:"name"`
	// SubjectPrefix goes in front of the user's name to make `sub`.
	SubjectPrefix string      `json:"subjectPrefix,omitempty"`
	Htpasswd      *Htpasswd   `json:"htpasswd,omitempty"`
	Webhook       *Webhook    `json:"webhook,omitempty"`
	OIDC          *OIDC       `json:"oidc,omitempty"`
	Kubernetes    *Kubernetes `json:"kubernetes,omitempty"`
}

// Htpasswd names a list of users. With Users empty the files `htpasswd` and `roles` are read from the directory
// <identity-dir>/<source name>, and read again when they change.
type Htpasswd struct {
	// Users holds lines `name:hash` (bcrypt or argon2id).
	Users secret.Text `json:"users"`
	// Roles holds lines `name: role`.
	Roles string `json:"roles,omitempty"`
}

// Webhook asks the application's own login endpoint. The directory <identity-dir>/<source name> may hold `token` (sent
// as Authorization: Bearer), `ca.crt` (the only authorities that are trusted) and `tls.crt` with `tls.key` (shown to the
// server).
type Webhook struct {
	// LoginURL is asked with a name and a password.
	LoginURL string `json:"loginURL"`
	// LookupURL is asked at a refresh whether a user is still there; empty means that nobody is asked.
	LookupURL string `json:"lookupURL,omitempty"`
	// Timeout bounds one question; 0 means 2 seconds.
	Timeout Duration `json:"timeout,omitempty"`
}

// OIDC takes ID tokens of an OpenID Connect provider in exchange (RFC 8693). `ca.crt` in the directory
// <identity-dir>/<source name> holds the only authorities that are trusted, if it is there.
type OIDC struct {
	// IssuerURL is the provider's `iss`; its keys are found by discovery below it.
	IssuerURL string `json:"issuerURL"`
	// ClientID must be among the ID token's `aud`.
	ClientID string `json:"clientID"`
	// SubjectClaim names the user, RoleClaim the role; empty means `sub` and no role.
	SubjectClaim string `json:"subjectClaim,omitempty"`
	RoleClaim    string `json:"roleClaim,omitempty"`
}

// Kubernetes takes ServiceAccount tokens of a cluster in exchange (RFC 8693), with `aud` = our issuer and a life of an
// hour at most. They are verified without asking anybody.
type Kubernetes struct {
	// Issuer is the `iss` of the cluster's tokens.
	Issuer string `json:"issuer"`
	// JWKS are the cluster's public keys (RFC 7517, section 5).
	JWKS json.RawMessage `json:"jwks"`
	// Accounts are the service accounts that are let in, with their roles.
	Accounts []ServiceAccount `json:"accounts"`
}

// ServiceAccount is a service account, or all of a namespace.
type ServiceAccount struct {
	Namespace string `json:"namespace"`
	// Name is empty for every account of the namespace.
	Name string `json:"name,omitempty"`
	Role string `json:"role,omitempty"`
}

// Edge is the document of the authorizer. It carries no private key and no credential.
type Edge struct {
	Header
	Keys      KeySet   `json:"keySet"`
	Audiences []string `json:"audiences"`
	// MaxTTL is the longest life (`exp` - `iat`) a token may have.
	MaxTTL Duration `json:"maxTTL"`
	// Claims are the custom claims that become identity headers.
	Claims            []string       `json:"claims"`
	TrustedProxies    []netip.Prefix `json:"trustedProxies"`
	Feed              FeedAddress    `json:"feed"`
	MaxPropagation    Duration       `json:"maxPropagation"`
	OnStaleRevocation string         `json:"onStaleRevocations"`
	// AccessCookie is the name of the cookie in which an access token may come; empty means in none.
	AccessCookie string `json:"accessCookie,omitempty"`
	// Rollout is nil where there are no legacy sessions.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Policies are the AccessPolicies of this TokenService, beside the reserved one; sorted by name.
	Policies []AccessPolicy `json:"policies,omitempty"`
}

// The values of Edge.OnStaleRevocation.
const (
	AllowUntilExpiry = "AllowUntilExpiry"
	FailClosed       = "FailClosed"
)

// FeedAddress says where the revocation feed is.
type FeedAddress struct {
	// Address is host:port.
	Address string `json:"address"`
	// ServerName is the name in the feed's certificate.
	ServerName string `json:"serverName,omitempty"`
}

// Duration is a time.Duration written as Go writes it ("15m0s").
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errDuration // without the text: it may be a misplaced secret
	}
	*d = Duration(v)
	return nil
}

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }
