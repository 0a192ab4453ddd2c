package token

import (
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// headerMembers are the names of a JOSE header that mean something to one reader or another (RFC 7515, section 4.1;
// RFC 7516, section 4.1; RFC 7518, section 4; RFC 7797).
var headerMembers = append([]string{"alg", "kid", "typ"}, refusedMembers...)

// refusedMembers are those that ask for something Keyturn never does: to take the key from the token, to look at an
// address, to read the payload in another way. What is merely unknown is ignored, as RFC 7515, section 4 demands.
var refusedMembers = []string{"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "enc", "cty", "epk", "apu", "apv", "p2s", "p2c", "iv", "tag"}

// maxKID bounds a kid before it is looked up; ours have 43 characters.
const maxKID = 128

// checkHeader asks what the header says without asking the keys.
func (t *parsed) checkHeader() policy.Reason {
	for _, m := range t.header {
		if slices.Contains(refusedMembers, m.name) {
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
	s, ok := asWord(raw)
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

// claims reads the payload: what RFC 9068 demands and what Keyturn adds. The custom ones are read by [parsed.custom].
func (t *parsed) claims() (c Claims, reason policy.Reason) {
	if c.Issuer, reason = t.required("iss"); reason != "" {
		return Claims{}, reason
	}
	if c.Subject, reason = t.required("sub"); reason != "" {
		return Claims{}, reason
	}
	if c.ID, reason = t.required("jti"); reason != "" {
		return Claims{}, reason
	}
	if c.ClientID, reason = t.optional("client_id"); reason != "" {
		return Claims{}, reason
	}
	if c.SessionID, reason = t.optional("sid"); reason != "" {
		return Claims{}, reason
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
	audience, given := t.payload.get("aud")
	if !given {
		return Claims{}, policy.MissingClaim
	}
	var ok bool
	if c.Audience, ok = asWords(audience); !ok {
		return Claims{}, policy.MalformedToken
	}
	return c, ""
}

// optional reads a claim that may be absent, but not empty or anything else than a text.
func (t *parsed) optional(name string) (string, policy.Reason) {
	if _, given := t.payload.get(name); !given {
		return "", ""
	}
	return t.required(name)
}

// custom returns every text that is no protocol claim.
func (t *parsed) custom() map[string]string {
	var custom map[string]string
	for _, m := range t.payload {
		if m.raw[0] != '"' || isProtocolClaim(m.name) {
			continue
		}
		if custom == nil {
			custom = make(map[string]string, 2)
		}
		custom[m.name], _ = asString(m.raw)
	}
	return custom
}
