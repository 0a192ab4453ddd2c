package browser

import (
	"errors"
	"strings"
)

// MaxCookie bounds name and value of one cookie together, as browsers do (RFC 6265bis, section 5.6).
const MaxCookie = 4096

// The refusals of [Cookie].
var (
	// ErrDoubled: the cookie is there more than once. Somebody else than this host may have set one of them, and which
	// one a reader takes is chance.
	ErrDoubled = errors.New("a cookie is there twice")
	// ErrMalformed: the cookie's value is none that Keyturn sets.
	ErrMalformed = errors.New("a cookie is damaged")
)

// Cookie finds the value of the one cookie with this name, whose case counts, in the values of the Cookie header
// (RFC 6265, section 5.4). It is empty if there is none or an empty one. Values are tokens: letters, digits, `-`, `.`,
// `_`; nothing is unquoted or decoded. Cookies of other names may be as they like.
func Cookie(lines []string, name string) (string, error) {
	value, seen := "", false
	for _, rest := range lines {
		for more := true; more; {
			var pair string
			// Browsers never quote a semicolon away, whatever some servers' parsers believe.
			pair, rest, more = strings.Cut(rest, ";")
			found, text, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if found != name {
				continue
			}
			if seen {
				return "", ErrDoubled
			}
			value, seen = text, true
		}
	}
	if len(name)+len(value) > MaxCookie || !isTokenText(value) {
		return "", ErrMalformed
	}
	return value, nil
}

// isTokenText tells whether s has only the characters of base64url and the dots between the parts of a JWT.
func isTokenText(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
