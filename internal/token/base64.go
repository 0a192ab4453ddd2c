package token

import "encoding/base64"

// encoding is base64url without padding (RFC 7515, section 2) that refuses bits past the last byte, so that one value
// has one spelling.
var encoding = base64.RawURLEncoding.Strict()

// decodeSegment reads canonical base64url. The library skips line breaks, which is why the alphabet is checked here.
func decodeSegment(s string) ([]byte, bool) {
	for i := range len(s) {
		c := s[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return nil, false
		}
	}
	raw, err := encoding.DecodeString(s)
	return raw, err == nil
}
