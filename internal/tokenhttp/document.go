package tokenhttp

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/steering"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/token"
)

// Document is an issuer snapshot made ready for work. It is immutable; [Build] makes it.
type Document struct {
	snapshot.Issuer
	signer    *token.Signer
	verifier  *token.Verifier // of what is shown at logout
	directory *identity.Directory
	steer     *steering.Steering // nil where there are no legacy sessions
	legacy    Legacy
	strangers []string // prefixes of users whom the application does not have
	jwks      cachable
	discovery cachable
	kids      []string
	clients   map[string]snapshot.Client
	exchange  exchanger // the directory
	users     users     // the directory
	// issuerPath is the path of the issuer, empty for none.
	issuerPath string
}

// cachable is an answer that caches may keep.
type cachable struct {
	body    []byte
	etag    string
	control string
}

// logoutTTL is the longest life that an access token shown at logout may have had; policies allow an hour.
const logoutTTL = 24 * time.Hour

// Build returns the check that stands between a mounted snapshot and its use: the active key must parse, be the
// private half of its published key, and sign what that key verifies; the epoch must not fall; nothing may be missing.
func Build(sources *identity.Sources, hasher *identity.Hasher, options ...BuildOption) snapshot.Build[Document] {
	var b builder
	for _, option := range options {
		option(&b)
	}
	return func(raw []byte, current *Document) (*Document, error) {
		issuer, err := snapshot.DecodeIssuer(raw)
		if err != nil {
			return nil, err
		}
		if current != nil && issuer.TokenService != current.TokenService {
			return nil, snapshot.Refuse("WrongTokenService", "the document is of %.80q, this replica serves %.80q", issuer.TokenService, current.TokenService)
		}
		// Each set counts its own epochs: a service may be moved to a young one.
		if current != nil && issuer.Keys.Name == current.Keys.Name && issuer.Keys.Epoch < current.Keys.Epoch {
			return nil, snapshot.Refuse("EpochFell", "epoch %d, this replica holds %d of %.80q", issuer.Keys.Epoch, current.Keys.Epoch, current.Keys.Name)
		}
		if err := checkComplete(issuer); err != nil {
			return nil, snapshot.Refuse("Incomplete", "%w", err)
		}
		d := &Document{Issuer: issuer}
		if err := d.loadKeys(); err != nil {
			return nil, snapshot.Refuse("KeyMismatch", "%w", err)
		}
		if err = d.loadClients(); err != nil {
			return nil, snapshot.Refuse("Incomplete", "%w", err)
		}
		if err = d.loadLegacy(b); err != nil {
			return nil, snapshot.Refuse("Incomplete", "%w", err)
		}
		// The last that can fail: a new directory ends what only the former one needed.
		if d.directory, err = identity.New(issuer.Header.Issuer, issuer.Identity, sources, hasher); err != nil {
			return nil, snapshot.Refuse("Incomplete", "%w", err)
		}
		d.exchange, d.users = d.directory, d.directory
		d.describe()
		return d, nil
	}
}

func checkComplete(d snapshot.Issuer) error {
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{d.TokenService != "", "tokenService must be namespace/name"},
		{d.Header.Issuer != "", "issuer is missing"},
		{d.Access.TTL > 0 && d.Access.TTL.Std() <= logoutTTL, "accessToken.ttl must be above 0 and at most 24h"},
		{len(d.Access.Audiences) > 0 && !slices.Contains(d.Access.Audiences, ""), "accessToken.audiences must name at least one"},
		{d.Refresh.IdleTTL > 0 && d.Refresh.AbsoluteTTL > 0, "refreshToken.idleTTL and absoluteTTL must be above 0"},
		{d.Refresh.RetryWindow >= 0 && d.Refresh.RetryWindow.Std() <= time.Minute, "refreshToken.retryWindow must be 0 to 60s"},
		{d.Refresh.MaxFamiliesPerUser > 0, "refreshToken.maxFamiliesPerUser must be above 0"},
		{d.LoginLimit.Limit > 0 && d.LoginLimit.Limit <= 10_000 && d.LoginLimit.Window > 0, "loginRateLimit needs a limit of 1 to 10000 and a window"},
		{d.MaxPropagation > 0 && d.MaxPropagation.Std() <= time.Minute, "maxPropagation must be above 0 and at most 1m"},
		{d.Keys.ClockSkew >= 0, "keySet.clockSkew must not be negative"},
		{d.Keys.Active != "" || d.SigningKey.Empty(), "keySet.active is missing, and there is a signingKey"},
	} {
		if !c.ok {
			return fmt.Errorf("%s", c.what)
		}
	}
	return checkBrowser(d)
}

// loadKeys reads the public keys and, if one is active, the private half.
func (d *Document) loadKeys() error {
	var public []*token.PublicKey
	for _, k := range d.Keys.Keys {
		key, err := token.ParsePublic(k.JWK)
		if err != nil {
			return fmt.Errorf("public key %.64q: %w", k.KID, err)
		}
		if key.KID() != k.KID || string(key.Algorithm()) != k.Algorithm {
			return fmt.Errorf("public key %.64q does not have the kid and alg of its entry", k.KID)
		}
		public = append(public, key)
	}
	set, err := token.NewKeySet(public...)
	if err != nil {
		return err
	}
	d.kids, d.jwks.body = set.KIDs(), token.JWKS(public)
	d.verifier = &token.Verifier{Issuer: d.Header.Issuer, AnyAudience: true, Keys: set, MaxTTL: logoutTTL, Skew: d.Keys.ClockSkew.Std()}
	if d.Keys.Active == "" {
		return nil // the first keys of a set: published before one of them signs
	}
	return d.loadSigner()
}

// loadSigner proves that what the private half signs verifies with the published one.
func (d *Document) loadSigner() error {
	private, err := token.ParsePrivate(d.SigningKey.Reveal())
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	if private.KID() != d.Keys.Active {
		return fmt.Errorf("the signing key has kid %s, active is %.64q", private.KID(), d.Keys.Active)
	}
	d.signer = token.NewSigner(private)
	now := time.Unix(1_000_000_000, 0)
	sample, err := d.signer.Sign(token.Claims{Issuer: d.Header.Issuer, Subject: "check", Audience: d.Access.Audiences, IssuedAt: now, ExpiresAt: now.Add(time.Minute), ID: "check", ClientID: webClient})
	if err != nil {
		return fmt.Errorf("the signing key does not sign: %w", err)
	}
	if v := d.verifier.Verify(now, sample.Reveal()); v.Outcome != policy.Valid {
		return fmt.Errorf("a test signature of %s does not verify with the published keys: %s", private.KID(), v.Reason)
	}
	return nil
}

// limits are the rules of the store's families.
func (d *Document) limits() store.Limits {
	return store.Limits{
		Idle: d.Refresh.IdleTTL.Std(), Absolute: d.Refresh.AbsoluteTTL.Std(), RetryWindow: d.Refresh.RetryWindow.Std(),
		MaxFamilies: d.Refresh.MaxFamiliesPerUser, Retention: d.retention(),
	}
}

func (d *Document) retention() store.Retention {
	return store.Retention{AccessTTL: d.Access.TTL.Std(), Slack: 2 * d.Keys.ClockSkew.Std()}
}

// seconds rounds up: a wait must not end early.
func seconds(d time.Duration) int64 { return int64((max(d, 0) + time.Second - 1) / time.Second) }
