package revocation

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"strings"
)

// A session id is the number in base 36, a dot, and 128 random bits in base64url: "1z.bGV0bWVpbmxldG1laW4x".
// The longest number takes 13 characters, so an id has at most 13 + 1 + 22 = 36 characters.
const (
	randomBytes   = 16
	maxSessionLen = 48
)

// SessionID returns a new id for the session with this number. It cannot be guessed.
func SessionID(number uint64) string {
	var random [randomBytes]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	return strconv.FormatUint(number, 36) + "." + base64.RawURLEncoding.EncodeToString(random[:])
}

// SessionNumber reads the number that id begins with; false if id is not one that [SessionID] could have made.
func SessionNumber(id string) (uint64, bool) {
	if len(id) > maxSessionLen {
		return 0, false
	}
	head, tail, found := strings.Cut(id, ".")
	if !found || len(tail) != base64.RawURLEncoding.EncodedLen(randomBytes) {
		return 0, false
	}
	var random [randomBytes + 2]byte
	if _, err := base64.RawURLEncoding.Strict().Decode(random[:], []byte(tail)); err != nil {
		return 0, false
	}
	if head == "" || head[0] == '0' && head != "0" {
		return 0, false // one spelling a number
	}
	for _, c := range []byte(head) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return 0, false
		}
	}
	number, err := strconv.ParseUint(head, 36, 64)
	return number, err == nil
}
