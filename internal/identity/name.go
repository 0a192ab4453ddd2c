package identity

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxNameBytes and MaxPasswordBytes bound what a login may send.
const (
	MaxNameBytes     = 256
	MaxPasswordBytes = 1024
)

// ErrBadName is returned for a name that no account can have.
var ErrBadName = errors.New("a user name has 1 to 256 bytes of printable characters, no colon, and no space at its ends")

// Canonical returns the account that a name as typed means: its NFKC form. All spellings of it are one account.
func Canonical(name string) (string, error) {
	if name == "" || len(name) > MaxNameBytes || !utf8.ValidString(name) {
		return "", ErrBadName
	}
	folded := norm.NFKC.String(name)
	if folded == "" || len(folded) > MaxNameBytes || strings.TrimSpace(folded) != folded {
		return "", ErrBadName
	}
	for _, r := range folded {
		// Print excludes controls, formats (which are invisible) and every space but U+0020.
		if r == ':' || !unicode.IsPrint(r) || r == utf8.RuneError {
			return "", ErrBadName
		}
	}
	return folded, nil
}
