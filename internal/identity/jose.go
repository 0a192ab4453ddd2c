package identity

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/strictjson"
)

// The types of subject tokens (RFC 8693, section 3).
const (
	// TypeIDToken is an ID token of an OpenID Connect provider.
	TypeIDToken = "urn:ietf:params:oauth:token-type:id_token" //nolint:gosec // a name
	// TypeJWT is a Kubernetes ServiceAccount token.
	TypeJWT = "urn:ietf:params:oauth:token-type:jwt" //nolint:gosec // a name
)

// MaxTokenBytes bounds a subject token; ID tokens with many groups have some thousands.
const MaxTokenBytes = 16 << 10

const (
	// maxKID bounds a key's name in a token.
	maxKID = 256
	// skew is how far the clock of an issuer may run before ours.
	skew = time.Minute
)

// algorithms are those that subject tokens may be signed with: none that a public key could be used for as a secret.
var algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}

var (
	headerNames = []string{"alg", "kid", "typ", "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"}
	// refusedHeader ask for something that is never done: to take the key from the token or from an address in it, to
	// read the payload in another way. What is merely unknown is ignored, as RFC 7515, section 4 demands.
	refusedHeader = headerNames[3:]
	// payloadNames mean something to the library that looks at the token later.
	payloadNames = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "typ", "at_hash", "events", "kubernetes.io", "_claim_names", "_claim_sources", "email_verified"}
)

// subjectToken is a token whose shape is good, and nothing more: a stranger's words.
type subjectToken struct {
	kind    string // one of the types above
	raw     string
	header  object
	payload object
	alg     string
	kid     string
	issuer  string
}

// readToken reads the compact serialization (RFC 7515, section 7.1) strictly, so that no library can understand the
// token in another way than this package does.
func readToken(kind, raw string) (*subjectToken, error) {
	if len(raw) > MaxTokenBytes {
		return nil, deny(TooLarge)
	}
	parts := strings.SplitN(raw, ".", 4)
	if len(parts) != 3 {
		return nil, deny(Malformed)
	}
	t := &subjectToken{kind: kind, raw: raw}
	var ok1, ok2 bool
	t.header, ok1 = readSegment(parts[0])
	t.payload, ok2 = readSegment(parts[1])
	signature, ok3 := decodeSegment(parts[2])
	if !ok1 || !ok2 || !ok3 || len(signature) == 0 || t.header.Misspelt(headerNames...) || t.payload.Misspelt(payloadNames...) {
		return nil, deny(Malformed)
	}
	if err := t.readHeader(); err != nil {
		return nil, err
	}
	issuer, ok := t.payload.Text("iss")
	if !ok || issuer == "" {
		return nil, deny(MissingClaim)
	}
	t.issuer = issuer
	return t, nil
}

func (t *subjectToken) readHeader() error {
	for _, name := range refusedHeader {
		if _, given := t.header[name]; given {
			return deny(UnsupportedHeader)
		}
	}
	if t.alg, _ = t.header.Text("alg"); !slices.Contains(algorithms, t.alg) {
		return deny(UnsupportedAlgorithm)
	}
	// An access token says at+jwt (RFC 9068), a logout token logout+jwt: neither says who is there.
	if _, given := t.header["typ"]; given {
		if typ, ok := t.header.Text("typ"); !ok || !strings.EqualFold(typ, "JWT") {
			return deny(WrongType)
		}
	}
	if _, given := t.header["kid"]; given {
		kid, ok := t.header.Text("kid")
		if !ok || kid == "" || len(kid) > maxKID {
			return deny(UnknownKey)
		}
		t.kid = kid
	}
	return nil
}

// times returns `iat` and `exp` of a token that is in force now; `nbf` counts where it is given.
func (t *subjectToken) times(now time.Time) (issued, expires time.Time, err error) {
	read := func(name string) time.Time {
		seconds, ok := t.payload.Seconds(name)
		if !ok && err == nil {
			err = deny(Malformed)
			if _, given := t.payload[name]; !given {
				err = deny(MissingClaim)
			}
		}
		return time.Unix(seconds, 0)
	}
	issued, expires = read("iat"), read("exp")
	notBefore := issued
	if _, given := t.payload["nbf"]; given {
		notBefore = read("nbf")
	}
	switch {
	case err != nil:
	case !now.Before(expires):
		err = deny(Expired)
	case issued.After(now.Add(skew)) || notBefore.After(now.Add(skew)):
		err = deny(NotYetValid)
	case !expires.After(issued):
		err = deny(Malformed)
	}
	return issued, expires, err
}

// audiences returns `aud`.
func (t *subjectToken) audiences() ([]string, error) {
	if _, given := t.payload["aud"]; !given {
		return nil, deny(MissingClaim)
	}
	all, ok := t.payload.Texts("aud")
	if !ok {
		return nil, deny(Malformed)
	}
	return all, nil
}

func readSegment(s string) (object, bool) {
	raw, ok := decodeSegment(s)
	if !ok {
		return nil, false
	}
	o, err := strictjson.Read(raw)
	return o, err == nil
}

// decodeSegment reads canonical base64url without padding. The library skips line breaks, hence the look at them.
func decodeSegment(s string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return raw, err == nil && !strings.ContainsAny(s, "\r\n")
}
