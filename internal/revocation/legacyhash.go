package revocation

import (
	"crypto/sha256"
	"encoding/base64"
)

// LegacyHash is what stands for a legacy session on the feed, in caches and in logs: the SHA-256 of the cookie's value as
// it was sent, in base64url without padding (RFC 4648, section 5).
func LegacyHash(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
