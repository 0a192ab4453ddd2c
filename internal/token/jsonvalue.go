package token

import (
	"strings"
	"unicode/utf16"
)

// unquote returns what a string says that [reader.quoted] took.
func unquote(quoted string) string {
	inner := quoted[1 : len(quoted)-1]
	i := strings.IndexByte(inner, '\\')
	if i < 0 {
		return inner
	}
	var out strings.Builder
	out.Grow(len(inner))
	for ; i >= 0; i = strings.IndexByte(inner, '\\') {
		out.WriteString(inner[:i])
		character, size := escape(inner[i:])
		out.WriteRune(character)
		inner = inner[i+size:]
	}
	out.WriteString(inner)
	return out.String()
}

// escape reads the escape sequence at the beginning of s: its character and its length, 0 if there is none that means
// one character. Readers disagree about what \uD800-\uDFFF outside a pair mean.
func escape(s string) (character rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	unit, ok := codeUnit(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(unit) {
		return unit, 6
	}
	second, _ := codeUnit(s[6:])
	if character = utf16.DecodeRune(unit, second); character == replacement {
		return 0, 0
	}
	return character, 12
}

// replacement is what DecodeRune answers to what is no pair; a pair never means it.
const replacement = '\uFFFD'

// codeUnit reads one \uXXXX.
func codeUnit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var unit rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case isDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// asString reads a JSON string.
func asString(raw string) (string, bool) {
	r := reader{raw: raw}
	quoted, ok := r.quoted()
	if !ok || r.pos != len(raw) {
		return "", false
	}
	return unquote(quoted), true
}

// asWord reads a JSON string without control characters, which have no place in an identifier: whoever logs, stores or
// forwards it may cut it there.
func asWord(raw string) (string, bool) {
	s, ok := asString(raw)
	return s, ok && !hasControl(s)
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
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

// asWords reads a string or a non-empty array of strings (RFC 7519, section 4.1.3), each as [asWord] does.
func asWords(raw string) ([]string, bool) {
	if one, ok := asWord(raw); ok {
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
		word := unquote(quoted)
		if hasControl(word) {
			return nil, false
		}
		all = append(all, word)
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
