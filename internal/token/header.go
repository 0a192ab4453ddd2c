package token

import (
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// headerMembers are the names of a JOSE header that mean something to one reader or another (RFC 7515, section 4.1;
// RFC 7516, section 4.1; RFC 7518, section 4; RFC 7797).
var headerMembers = []string{"alg", "kid", "typ", "crit", "b64", "zip", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "enc", "cty", "epk", "apu", "apv", "p2s", "p2c", "iv", "tag"}

// refusedHeader are those that ask for something Keyturn never does: to take the key from the token, to look at an
// address, to read the payload in another way. What is merely unknown is ignored, as RFC 7515, section 4 demands.
var refusedHeader = headerMembers[3:]

// maxKID bounds a kid before it is looked up; ours have 43 characters.
const maxKID = 128

// checkHeader asks what the header says without asking the keys.
func (t *parsed) checkHeader() policy.Reason {
	for _, name := range refusedHeader {
		if _, given := t.header.get(name); given {
			return policy.UnsupportedHeader
		}
	}
	// RFC 9068, section 4: without this an ID token of the same issuer would be an access token.
	if typ := t.header.text("typ"); typ != Type && typ != "application/"+Type {
		return policy.WrongType
	}
	t.algorithm = Algorithm(t.header.text("alg"))
	if !t.algorithm.Valid() {
		return policy.AlgorithmMismatch
	}
	t.kid = t.header.text("kid")
	if t.kid == "" || len(t.kid) > maxKID {
		return policy.UnknownKey
	}
	return ""
}

// issuer reads `iss`.
func (t *parsed) issuer() (string, policy.Reason) { return t.required("iss") }

// required reads a claim that must be a text with something in it.
func (t *parsed) required(name string) (string, policy.Reason) {
	raw, given := t.payload.get(name)
	if !given {
		return "", policy.MissingClaim
	}
	s, ok := asString(raw)
	if !ok {
		return "", policy.MalformedToken
	}
	if s == "" {
		return "", policy.MissingClaim
	}
	return s, ""
}

// seconds reads a claim that must be a NumericDate.
func (t *parsed) seconds(name string) (int64, policy.Reason) {
	raw, given := t.payload.get(name)
	if !given {
		return 0, policy.MissingClaim
	}
	n, ok := asSeconds(raw)
	if !ok {
		return 0, policy.MalformedToken
	}
	return n, ""
}

// claims reads the payload: what RFC 9068 demands, what Keyturn adds, and every other text as a custom claim.
func (t *parsed) claims() (Claims, policy.Reason) {
	var c Claims
	for _, text := range []struct {
		name     string
		into     *string
		required bool
	}{{"iss", &c.Issuer, true}, {"sub", &c.Subject, true}, {"jti", &c.ID, true}, {"client_id", &c.ClientID, false}, {"sid", &c.SessionID, false}} {
		if _, given := t.payload.get(text.name); !given && !text.required {
			continue
		}
		value, reason := t.required(text.name)
		if reason != "" {
			return Claims{}, reason
		}
		*text.into = value
	}
	issued, reason := t.seconds("iat")
	if reason != "" {
		return Claims{}, reason
	}
	expires, reason := t.seconds("exp")
	if reason != "" {
		return Claims{}, reason
	}
	c.IssuedAt, c.ExpiresAt = time.Unix(issued, 0).UTC(), time.Unix(expires, 0).UTC()
	raw, given := t.payload.get("aud")
	if !given {
		return Claims{}, policy.MissingClaim
	}
	audience, ok := asStrings(raw)
	if !ok {
		return Claims{}, policy.MalformedToken
	}
	c.Audience = audience
	for _, m := range t.payload {
		if value, ok := asString(m.raw); ok && !isProtocolClaim(m.name) {
			if c.Custom == nil {
				c.Custom = map[string]string{}
			}
			c.Custom[m.name] = value
		}
	}
	return c, ""
}
