package token

import "encoding/base64"

// encoding writes base64url without padding (RFC 7515, section 2).
var encoding = base64.RawURLEncoding

// notBase64 marks a byte outside the alphabet of base64url.
const notBase64 = 0xff

// sextets is the alphabet of RFC 4648, section 5, turned around.
var sextets = func() (t [256]byte) {
	for i := range t {
		t[i] = notBase64
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = byte(i)
	}
	return t
}()

// decodeSegment reads canonical base64url.
func decodeSegment(s string) ([]byte, bool) { return appendDecoded(make([]byte, 0, len(s)*3/4), s) }

// appendDecoded reads s behind dst. Only the one canonical spelling of a value is taken: the standard library skips line
// breaks, and unless told takes any bits past the last byte.
func appendDecoded(dst []byte, s string) ([]byte, bool) {
	for ; len(s) >= 4; s = s[4:] {
		a, b, c, d := sextets[s[0]], sextets[s[1]], sextets[s[2]], sextets[s[3]]
		if a|b|c|d > 63 {
			return nil, false
		}
		dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	switch len(s) {
	case 0:
		return dst, true
	case 2:
		a, b := sextets[s[0]], sextets[s[1]]
		return append(dst, a<<2|b>>4), a|b <= 63 && b&15 == 0
	case 3:
		a, b, c := sextets[s[0]], sextets[s[1]], sextets[s[2]]
		return append(dst, a<<2|b>>4, b<<4|c>>2), a|b|c <= 63 && c&3 == 0
	}
	return nil, false // a single character holds no byte
}
