package token

import (
	"encoding/json"
	"strings"
)

// unquote returns what a quoted JSON string says.
func unquote(quoted string) (string, bool) {
	inner := quoted[1 : len(quoted)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	if !pairedSurrogates(inner) {
		return "", false
	}
	var s string
	if json.Unmarshal([]byte(quoted), &s) != nil {
		return "", false
	}
	return s, true
}

// pairedSurrogates refuses \uD800-\uDFFF escapes outside a pair: readers disagree about what they mean.
func pairedSurrogates(inner string) bool {
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			continue
		}
		i++
		if i >= len(inner) || inner[i] != 'u' {
			continue
		}
		switch surrogate(inner, i-1) {
		case 'l':
			return false
		case 'h':
			if surrogate(inner, i+5) != 'l' {
				return false
			}
			i += 10
		}
	}
	return true
}

// surrogate classifies the escape that begins at i: 'h' high, 'l' low, 0 anything else.
func surrogate(s string, i int) byte {
	if i+4 > len(s) || s[i] != '\\' || s[i+1] != 'u' || s[i+2]|0x20 != 'd' {
		return 0
	}
	switch c := s[i+3] | 0x20; {
	case c == '8' || c == '9' || c == 'a' || c == 'b':
		return 'h'
	case c >= 'c' && c <= 'f':
		return 'l'
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// asString reads a JSON string.
func asString(raw string) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	return unquote(raw)
}

// maxNumericDate is the end of the year 9999: later instants do not survive every time library.
const maxNumericDate = 253402300799

// asSeconds reads a NumericDate (RFC 7519, section 2) as Keyturn writes it: a non-negative integer, no fraction, no
// exponent, not past [maxNumericDate].
func asSeconds(raw string) (int64, bool) {
	if len(raw) == 0 || len(raw) > 12 {
		return 0, false
	}
	var n int64
	for i := range len(raw) {
		c := raw[i]
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n <= maxNumericDate
}

// asStrings reads a JSON string or a non-empty array of strings (RFC 7519, section 4.1.3).
func asStrings(raw string) ([]string, bool) {
	if one, ok := asString(raw); ok {
		return []string{one}, true
	}
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	r := reader{raw: raw, pos: 1}
	var all []string
	for {
		r.space()
		quoted, ok := r.quoted()
		if !ok {
			return nil, false
		}
		s, ok := unquote(quoted)
		if !ok {
			return nil, false
		}
		all = append(all, s)
		r.space()
		if r.take(']') {
			return all, true
		}
		if !r.take(',') {
			return nil, false
		}
	}
}

// text returns the member as a string, empty if it is absent or not a string.
func (o object) text(name string) string {
	raw, _ := o.get(name)
	s, _ := asString(raw)
	return s
}
