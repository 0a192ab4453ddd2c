package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/secret"
)

// Claims are what an access token says (RFC 9068, section 2.2). Times have whole seconds.
type Claims struct {
	// Issuer and Subject are `iss` and `sub`.
	Issuer, Subject string
	// Audience is `aud`: at least one.
	Audience []string
	// IssuedAt and ExpiresAt are `iat` and `exp`.
	IssuedAt, ExpiresAt time.Time
	// ID is `jti`, ClientID is `client_id`.
	ID, ClientID string
	// SessionID is `sid`: empty if the token belongs to no session.
	SessionID string
	// Custom holds the other claims whose value is a string; never a protocol claim.
	Custom map[string]string
}

// protocolClaims are the names that mean something to a verifier, ours or another's.
var protocolClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "sid", "azp", "scope", "cnf", "nonce", "auth_time", "acr", "amr", "act", "may_act"}

func isProtocolClaim(name string) bool { return slices.Contains(protocolClaims, name) }

// Type is the `typ` of an access token (RFC 9068, section 2.1).
const Type = "at+jwt"

// Signer mints tokens with one key. It is safe for concurrent use; use [NewSigner].
type Signer struct {
	key    *PrivateKey
	prefix string // the encoded header and its dot: the same for every token of a key
}

// NewSigner returns a signer for key.
func NewSigner(key *PrivateKey) *Signer {
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, key.Algorithm(), key.KID(), Type)
	return &Signer{key: key, prefix: encoding.EncodeToString([]byte(header)) + "."}
}

// KID returns the kid of the tokens.
func (s *Signer) KID() string { return s.key.KID() }

// Sign mints a token: the header is exactly {alg, kid, typ}, the payload has its members in a fixed order. It refuses
// claims that a [Verifier] could not accept.
func (s *Signer) Sign(claims Claims) (secret.Text, error) {
	payload, err := claims.encode()
	if err != nil {
		return secret.Text{}, err
	}
	input := s.prefix + encoding.EncodeToString(payload)
	signature, err := sign(s.key.public.algorithm, s.key.signer, []byte(input))
	if err != nil {
		return secret.Text{}, fmt.Errorf("sign with %s: %w", s.key, err)
	}
	raw := input + "." + encoding.EncodeToString(signature)
	if len(raw) > MaxBytes {
		return secret.Text{}, fmt.Errorf("the token would have %d bytes, at most %d are accepted: fewer or shorter claims", len(raw), MaxBytes)
	}
	return secret.NewText(raw), nil
}

func (c Claims) encode() ([]byte, error) {
	switch {
	case c.Issuer == "" || c.Subject == "" || c.ID == "" || c.ClientID == "":
		return nil, errors.New("an access token needs iss, sub, jti and client_id")
	case !utf8.ValidString(c.Issuer + c.Subject + c.ID + c.ClientID + c.SessionID + strings.Join(c.Audience, "")):
		return nil, errors.New("an access token's claims must be UTF-8") // the encoder would replace what is not
	case hasControl(c.Issuer + c.Subject + c.ID + c.ClientID + c.SessionID + strings.Join(c.Audience, "")):
		return nil, errors.New("an access token's claims must have no control characters")
	case len(c.Audience) == 0 || slices.Contains(c.Audience, ""):
		return nil, errors.New("an access token needs an audience")
	case c.IssuedAt.Unix() < 0 || c.ExpiresAt.Unix() > maxNumericDate || c.ExpiresAt.Unix() <= c.IssuedAt.Unix():
		return nil, errors.New("an access token must expire after it is issued")
	}
	var audience any = c.Audience
	if len(c.Audience) == 1 {
		audience = c.Audience[0]
	}
	out := []byte{'{'}
	add := func(name string, value any) error {
		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("claim %s: %w", name, err)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		quoted, _ := json.Marshal(name)
		out = append(append(append(out, quoted...), ':'), raw...)
		return nil
	}
	fixed := []struct {
		name  string
		value any
	}{{"iss", c.Issuer}, {"sub", c.Subject}, {"aud", audience}, {"exp", c.ExpiresAt.Unix()}, {"iat", c.IssuedAt.Unix()},
		{"jti", c.ID}, {"client_id", c.ClientID}, {"sid", c.SessionID}}
	for _, f := range fixed {
		if f.value == "" {
			continue
		}
		if err := add(f.name, f.value); err != nil {
			return nil, err
		}
	}
	var custom object
	for _, name := range slices.Sorted(maps.Keys(c.Custom)) {
		if name == "" || isProtocolClaim(name) {
			return nil, fmt.Errorf("custom claim %q: that name belongs to the protocol", clip(name))
		}
		if custom = append(custom, member{name: name}); custom.ambiguous(protocolClaims) {
			return nil, fmt.Errorf("custom claim %q: a name is printable ASCII and differs from every other in more than upper and lower case", clip(name))
		}
		if !utf8.ValidString(name + c.Custom[name]) {
			return nil, fmt.Errorf("custom claim %q must be UTF-8", clip(name))
		}
		if err := add(name, c.Custom[name]); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// MaxBytes bounds a token, before anything else is looked at. Proxies begin to refuse such headers at 8 KiB.
const MaxBytes = 8 << 10
