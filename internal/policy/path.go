package policy

import (
	"strings"
	"unicode/utf8"
)

// Path returns the path of a request's target, decoded, if every reader on the way takes it for the same one. The query
// is no part of it.
//
// Percent-encoded characters are decoded: the URI `/%61dmin` is equivalent to `/admin` (RFC 3986, section 6.2.2.2), every
// application decodes it, and clients differ in what they encode, so that refusing them would refuse good requests.
// What remains is refused as ambiguous, because proxies and applications differ in what they make of it: encoded slashes
// and backslashes, dot segments and empty segments, path parameters, encoded `?` and `#`, control characters, an
// encoding that is broken, or that encodes what is encoded, bytes that are no UTF-8, and the look-alikes of these
// characters that some systems turn into them.
func Path(target string) (string, bool) {
	raw, _, _ := strings.Cut(target, "?")
	if raw == "" || raw[0] != '/' {
		return "", false
	}
	path, ok := decode(raw)
	if !ok || !oneReading(path) {
		return "", false
	}
	return path, true
}

// decode decodes once. It allocates nothing where nothing is encoded.
func decode(raw string) (string, bool) {
	encoded := false
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= 0x20 || c >= 0x7f || c == '#':
			return "", false
		case c == '%':
			encoded = true
		}
	}
	if !encoded {
		return raw, true
	}
	path := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '%' {
			path = append(path, raw[i])
			continue
		}
		if !isEncoded(raw[i:]) {
			return "", false
		}
		c := unhex(raw[i+1])<<4 | unhex(raw[i+2])
		if c < 0x20 || c == 0x7f || strings.IndexByte(`/\?#`, c) >= 0 {
			return "", false
		}
		path = append(path, c)
		i += 2
	}
	return string(path), true
}

// lookalikes are characters that some systems turn into `/ \ . ; ? # %`, by compatibility decomposition (UAX 15) or by
// the best fit of an old character set.
const lookalikes = "\u2044\u2215\uff0f\u2216\ufe68\uff3c\u2024\u2025\u2026\ufe52\uff0e\ufe54\uff1b\ufe56\uff1f\ufe5f\uff03\ufe6a\uff05"

// oneReading tells whether a decoded path has no second meaning.
func oneReading(path string) bool {
	for i := range len(path) {
		switch path[i] {
		case ';', '\\':
			return false
		case '%':
			if isEncoded(path[i:]) {
				return false // whoever decodes twice reads another path
			}
		case '/':
			if !plainSegment(path[i+1:]) {
				return false
			}
		}
	}
	if isASCII(path) {
		return true
	}
	if !utf8.ValidString(path) || strings.ContainsAny(path, lookalikes) {
		return false
	}
	for _, r := range path {
		if r >= 0x80 && r < 0xa0 {
			return false // control characters of ISO 8859
		}
	}
	return true
}

// plainSegment looks at the segment with which rest begins. Only the last one may be empty.
func plainSegment(rest string) bool {
	switch {
	case rest == "":
		return true
	case rest[0] == '/', rest == ".", rest == "..":
		return false
	}
	return !strings.HasPrefix(rest, "./") && !strings.HasPrefix(rest, "../")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isEncoded tells whether s begins with `%` and two hexadecimal digits.
func isEncoded(s string) bool { return len(s) >= 3 && isHex(s[1]) && isHex(s[2]) }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
