package identity

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The bounds of what a source may say about a user beside the role.
const (
	// MaxClaims is how many claims a user has.
	MaxClaims = 32
	// MaxClaimBytes bounds the value of one.
	MaxClaimBytes = 256
)

// claimForm and saidRole are what the API allows in claims.allow and as a role. roleForm, of an htpasswd source, is
// narrower.
var (
	claimForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:/-]{0,63}$`)
	saidRole  = regexp.MustCompile(`^[A-Za-z0-9._:/@-]{1,64}$`)
)

// reserved are the claims of the token protocols, and those that Keyturn fills itself; in lower case.
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "client_id", "azp", "typ", "alg", "kid", "crit", "cnf", "act", "may_act", "scope",
	"nonce", "auth_time", "acr", "amr", "at_hash", "c_hash", "s_hash", "events", "token_use", "token_type", "user_id", "role",
}

// checkClaim tells whether a source may say this. The error does not quote the value.
func checkClaim(name, value string) error {
	switch {
	case !claimForm.MatchString(name):
		return fmt.Errorf("claim %.80q: a name has 1 to 64 letters, digits, or _ . : / - and begins with a letter or _", name)
	case slices.Contains(reserved, strings.ToLower(name)):
		return fmt.Errorf("claim %s: that name belongs to the token protocol or to Keyturn", name)
	case len(value) > MaxClaimBytes || !printable(value):
		return fmt.Errorf("claim %s: a value has at most %d bytes of printable characters", name, MaxClaimBytes)
	}
	return nil
}

// pickClaims takes those texts of a token that may be claims: the first [MaxClaims] by name. An address or a number of
// which the token says that it was not verified (OpenID Connect Core 1.0, section 5.1) is left out: that saying is no
// text, so an application that reads our token would take the address of somebody else for the user's.
func pickClaims(from object) map[string]string {
	var picked map[string]string
	for _, name := range slices.Sorted(maps.Keys(from)) {
		value, ok := from.Text(name)
		if !ok || checkClaim(name, value) != nil || disowned(from, name) {
			continue
		}
		if len(picked) == MaxClaims {
			break
		}
		if picked == nil {
			picked = map[string]string{}
		}
		picked[name] = value
	}
	return picked
}

// disowned tells whether the token says of one of its claims that it was not verified.
func disowned(o object, name string) bool {
	raw, given := o[name+"_verified"]
	return given && !saysTrue(raw)
}

// saysTrue tells whether a member is true; some providers write it as a text.
func saysTrue(raw json.RawMessage) bool { return string(raw) == "true" || string(raw) == `"true"` }

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
}

// IsRole tells whether a source may say this role: 1 to 64 letters, digits, or . _ : / @ -.
func IsRole(s string) bool { return saidRole.MatchString(s) }

// IsID tells whether a source may use s as the id of a user: what [Canonical] returns, but colons are allowed, because
// an id is not a line of a file. It is never folded: another spelling would be another user.
func IsID(s string) bool {
	return s != "" && len(s) <= MaxNameBytes && printable(s) && strings.TrimSpace(s) == s && norm.NFKC.IsNormalString(s)
}
