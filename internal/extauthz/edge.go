package extauthz

import (
	"net/netip"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/steering"
	"github.com/keyturn/keyturn/internal/token"
	"github.com/keyturn/keyturn/internal/tokencache"
)

// Bounds of a document that are not of its format.
const (
	maxSkew = 5 * time.Minute
	maxKeys = 64
)

// Edge is one edge document, ready to be asked. It does not change and is safe for concurrent use; [Build] makes it.
type Edge struct {
	header     snapshot.Header
	keySet     string
	epoch      int64
	active     string
	public     []snapshot.Key // what the status reports
	verifier   *token.Verifier
	tokens     *tokencache.Cache // of the verifier
	trusted    []netip.Prefix
	failClosed bool
	tellRole   bool
	cookie     string // name of the cookie in which a token may come; empty for none
	challenge  string // how every WWW-Authenticate begins
	feed       feed.Target
	steering   *steering.Steering // nil where there are no legacy sessions
	policies   map[string]*access
	names      []string // of the identity headers that policies add
	aliases    []string // other spellings of those, in lower case, that are always removed
	tellClaims bool     // a policy tells claims to applications
}

// Build is the [snapshot.Build] of the edge: it takes a document that is fit for use whole, or refuses it.
func Build(raw []byte, current *Edge) (*Edge, error) {
	doc, err := snapshot.DecodeEdge(raw)
	if err != nil {
		return nil, err
	}
	if err := complete(doc); err != nil {
		return nil, err
	}
	if current != nil {
		if doc.TokenService != current.header.TokenService {
			return nil, snapshot.Refuse("WrongTokenService", "the document is for %q, this edge serves %q", doc.TokenService, current.header.TokenService)
		}
		if doc.Keys.Name == current.keySet && doc.Keys.Epoch < current.epoch {
			return nil, snapshot.Refuse("EpochFell", "epoch %d, this edge holds %d of %s", doc.Keys.Epoch, current.epoch, doc.Keys.Name)
		}
	}
	steered, err := steering.New(doc.Rollout)
	if err != nil {
		return nil, snapshot.Refuse("Incomplete", "%w", err)
	}
	policies, err := readPolicies(doc)
	if err != nil {
		return nil, err
	}
	names := identityNames(doc.Policies)
	keys, err := readKeys(doc.Keys)
	if err != nil {
		return nil, err
	}
	verifier := &token.Verifier{Issuer: doc.Issuer, Audiences: doc.Audiences, Keys: keys, MaxTTL: doc.MaxTTL.Std(), Skew: doc.Keys.ClockSkew.Std()}
	var known *tokencache.Cache
	if current != nil {
		known = current.tokens
	}
	return &Edge{
		header: doc.Header, keySet: doc.Keys.Name, epoch: doc.Keys.Epoch, active: doc.Keys.Active, public: doc.Keys.Reported(),
		verifier:   verifier,
		tokens:     tokencache.Next(known, verifier, tokencache.DefaultBytes),
		trusted:    doc.TrustedProxies,
		failClosed: doc.OnStaleRevocation == snapshot.FailClosed,
		tellRole:   slices.Contains(doc.Claims, "role"),
		cookie:     doc.AccessCookie,
		challenge:  `Bearer realm="` + doc.Issuer + `"`,
		feed:       feed.Target{FeedAddress: doc.Feed, MaxPropagation: doc.MaxPropagation.Std()},
		steering:   steered,
		policies:   policies,
		names:      names,
		aliases:    aliasesOf(names),
		tellClaims: len(names) > 0,
	}, nil
}

// complete refuses a document in which something is missing that would loosen or break the edge.
func complete(doc snapshot.Edge) error {
	missing := func(format string, args ...any) error { return snapshot.Refuse("Incomplete", format, args...) }
	switch {
	case doc.Revision <= 0:
		return missing("revision must be positive")
	case doc.TokenService == "":
		return missing("tokenService is missing")
	case doc.Issuer == "" || !quotable(doc.Issuer):
		return missing("issuer must be a URL")
	case doc.Keys.Name == "" || doc.Keys.Epoch <= 0:
		return missing("keySet needs a name and a positive epoch")
	case len(doc.Keys.Keys) == 0 || len(doc.Keys.Keys) > maxKeys:
		return missing("keySet has %d keys: 1 to %d are accepted", len(doc.Keys.Keys), maxKeys)
	case doc.Keys.ClockSkew < 0 || doc.Keys.ClockSkew.Std() > maxSkew:
		return missing("keySet.clockSkew must be between 0 and %s", maxSkew)
	case len(doc.Audiences) == 0 || slices.Contains(doc.Audiences, ""):
		return missing("audiences must name at least one")
	case doc.MaxTTL <= 0:
		return missing("maxTTL must be positive")
	case doc.Feed.Address == "":
		return missing("feed.address is missing")
	case doc.MaxPropagation <= 0:
		return missing("maxPropagation must be positive")
	case doc.OnStaleRevocation != "" && doc.OnStaleRevocation != snapshot.AllowUntilExpiry && doc.OnStaleRevocation != snapshot.FailClosed:
		return missing("onStaleRevocations must be %s (the default) or %s", snapshot.AllowUntilExpiry, snapshot.FailClosed)
	case doc.AccessCookie != "" && !isToken(doc.AccessCookie):
		return missing("accessCookie must be a cookie's name")
	case len(doc.TrustedProxies) == 0:
		return missing("trustedProxies must name the ingress")
	}
	for _, p := range doc.TrustedProxies {
		if !p.IsValid() || p.Bits() == 0 {
			return missing("trustedProxies: %s trusts everybody: name the addresses of the ingress", p)
		}
	}
	return nil
}

func readKeys(set snapshot.KeySet) (token.KeySet, error) {
	mismatch := func(format string, args ...any) (token.KeySet, error) {
		return token.KeySet{}, snapshot.Refuse("KeyMismatch", format, args...)
	}
	keys := make([]*token.PublicKey, 0, len(set.Keys))
	for i, k := range set.Keys {
		public, err := token.ParsePublic(k.JWK)
		if err != nil {
			return mismatch("key %d: %w", i, err)
		}
		if public.KID() != k.KID || string(public.Algorithm()) != k.Algorithm {
			return mismatch("key %d is %s, the document says %.64q %.16q", i, public, k.Algorithm, k.KID)
		}
		keys = append(keys, public)
	}
	found, err := token.NewKeySet(keys...)
	if err != nil {
		return mismatch("%w", err)
	}
	// No key is active before the first replica knows the first key.
	if set.Active != "" && found.Find(set.Active) == nil {
		return mismatch("the active kid %.64q is not among the keys", set.Active)
	}
	return found, nil
}

// Feed tells where the revocation feed of this document is.
func (e *Edge) Feed() feed.Target { return e.feed }

// trusts tells whether the peer is one of the proxies that may ask.
func (e *Edge) trusts(peer netip.Addr) bool {
	peer = peer.Unmap().WithZone("")
	for _, p := range e.trusted {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// quotable tells whether s can stand in a quoted-string (RFC 9110, section 5.6.4) as it is.
func quotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
