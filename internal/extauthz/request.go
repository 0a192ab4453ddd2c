package extauthz

import (
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// bearerToken takes the token out of the values of the Authorization header (RFC 6750, section 2.1).
func bearerToken(values []string) (string, policy.Reason) { return schemeToken(values, "Bearer") }

// schemeToken takes the token that stands behind a scheme, or alone where the scheme is empty, out of the values of a
// header. Envoy joins several headers of one name by a comma, which no token contains.
func schemeToken(values []string, want string) (string, policy.Reason) {
	if len(values) > 1 {
		return "", policy.MultipleCredentials
	}
	if len(values) == 0 || values[0] == "" {
		return "", policy.NoCredential
	}
	if strings.Contains(values[0], ",") {
		return "", policy.MultipleCredentials
	}
	if want == "" {
		return values[0], ""
	}
	scheme, raw, spaced := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, want) {
		return "", policy.NoCredential // another scheme is not ours to judge
	}
	raw = strings.TrimLeft(raw, " ")
	if !spaced || raw == "" {
		return "", policy.MalformedToken
	}
	return raw, ""
}

// checkTarget refuses what cannot be asked about: CONNECT and `*` name no resource, a request has no fragment (RFC 9112,
// section 3.2), and what does not begin with `/` or holds a control character is read differently by the next hop.
func checkTarget(method, target string) policy.Reason {
	if !isMethod(method) || !strings.HasPrefix(target, "/") {
		return policy.BadRequestTarget
	}
	for i := range len(target) {
		if target[i] < 0x20 || target[i] == 0x7f || target[i] == '#' {
			return policy.BadRequestTarget
		}
	}
	return ""
}

// isToken tells whether s is a token (RFC 9110, section 5.6.2), as methods and header names are.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// isIdentity tells whether an application could take the header name for one of [policy.IdentityHeaders]. CGI, WSGI
// and PHP turn `-`, `_`, `.` and more into one character, so every spelling of these is the same name here.
func isIdentity(name string) bool {
	if len(name) < shortestIdentity || len(name) > longestIdentity || name[0]|0x20 != 'x' {
		return false
	}
	for _, identity := range policy.IdentityHeaders {
		if sameName(name, identity) {
			return true
		}
	}
	return false
}

// All identity headers are of these lengths and begin with the same letter; most headers of a request are not, or do not.
const shortestIdentity, longestIdentity = len(policy.HeaderUser), len(policy.HeaderMethod)

func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c | 0x20
	case alphanumeric(c):
		return c
	default:
		return '-'
	}
}
