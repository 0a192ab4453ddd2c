package steering

import (
	"errors"
	"strings"

	"github.com/keyturn/keyturn/internal/browser"
	"github.com/keyturn/keyturn/internal/secret"
)

// The refusals of [Steering.Session].
var (
	// ErrDoubled: the cookie is there more than once, and which one the application reads is chance.
	ErrDoubled = errors.New("the legacy session's cookie is there twice")
	// ErrMalformed: the cookie's value is too long, or has a character that no cookie has.
	ErrMalformed = errors.New("the legacy session's cookie is damaged")
)

// Session finds the legacy session in the values of the Cookie header, exactly as it stands there: nothing is unquoted
// or decoded, since what the application means by it is the application's affair. It is empty where there is none.
func (s *Steering) Session(lines []string) (secret.Text, error) {
	if s == nil {
		return secret.Text{}, nil
	}
	value, seen := "", false
	for _, rest := range lines {
		for more := true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			name, text, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if name != s.cookie {
				continue
			}
			if seen {
				return secret.Text{}, ErrDoubled
			}
			value, seen = text, true
		}
	}
	if len(s.cookie)+len(value) > browser.MaxCookie || !isCookieText(value) {
		return secret.Text{}, ErrMalformed
	}
	return secret.NewText(value), nil
}

// isCookieText tells whether s has only the characters of a cookie's value (RFC 6265, section 4.1.1), and quotes.
func isCookieText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c >= 0x7f || c == ',' || c == '\\' {
			return false
		}
	}
	return true
}
