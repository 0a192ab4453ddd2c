package snapshot

import (
	"encoding/json"
	"errors"
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
	JWKS           JWKSCaching      `json:"jwks"`
	Access         AccessToken      `json:"accessToken"`
	Refresh        RefreshToken     `json:"refreshToken"`
	LoginLimit     RateLimit        `json:"loginRateLimit"`
	MaxPropagation Duration         `json:"maxPropagation"`
	Identity       []IdentitySource `json:"identity"`
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `json:"trustedProxies"`
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
	SubjectPrefix string    `json:"subjectPrefix,omitempty"`
	Htpasswd      *Htpasswd `json:"htpasswd,omitempty"`
}

// Htpasswd names a list of users. With Users empty the files `htpasswd` and `roles` are read from the directory
// <identity-dir>/<source name>, and read again when they change.
type Htpasswd struct {
	// Users holds lines `name:hash` (bcrypt or argon2id).
	Users secret.Text `json:"users"`
	// Roles holds lines `name: role`.
	Roles string `json:"roles,omitempty"`
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
		return errors.New(`a duration is written like "90s" or "15m"`) // without the text: it may be a misplaced secret
	}
	*d = Duration(v)
	return nil
}

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }
