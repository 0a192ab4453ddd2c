package tokentest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// inside puts text behind the first brace.
func inside(text string) func(string) string {
	return func(s string) string { return "{" + text + "," + s[1:] }
}

func wide(order func(uint16) []byte) func(string) string {
	return func(s string) string {
		var out []byte
		for _, unit := range utf16.Encode([]rune(s)) {
			out = append(out, order(unit)...)
		}
		return string(out)
	}
}

func members(n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(`"m%d":1`, i)
	}
	return strings.Join(parts, ",")
}

// objectAttacks are texts that some reader of JSON takes for an object, in the header and in the payload.
func objectAttacks() []attack {
	var attacks []attack
	for _, a := range objectTexts {
		attacks = append(attacks,
			attack{"json", a.name + " in the header", a.source, malformed, headerText(a.change), nil},
			attack{"json", a.name + " in the payload", a.source, malformed, payloadText(a.change), nil})
	}
	return attacks
}

var objectTexts = []struct {
	name, source string
	change       func(string) string
}{
	{"an array around it", "RFC 7519 §7.2", func(s string) string { return "[" + s + "]" }},
	{"a string around it", "RFC 7519 §7.2", func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }},
	{"null", "RFC 7519 §7.2", become("null")},
	{"a number", "RFC 7519 §7.2", become("1")},
	{"an empty text", "CVE-2019-17195", become(" ")},
	{"a nested token", "RFC 7519 §5.2", become("eyJhbGciOiJub25lIn0.e30.")},
	{"byte order mark", "RFC 8259 §8.1", before("\xef\xbb\xbf")},
	{"UTF-16, big end first", "RFC 8259 §8.1", wide(func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} })},
	{"UTF-16, little end first", "RFC 8259 §8.1", wide(func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} })},
	{"UTF-32", "RFC 8259 §8.1", wide(func(u uint16) []byte { return []byte{0, 0, byte(u >> 8), byte(u)} })},
	{"prefix against script inclusion", "RFC 8259 §2", before(")]}',\n")},
	{"leading NUL", "RFC 8259 §2", before("\x00")},
	{"leading vertical tab", "RFC 8259 §2", before("\v")},
	{"leading form feed", "RFC 8259 §2", before("\f")},
	{"leading no-break space", "RFC 8259 §2", before("\u00a0")},
	{"leading line separator", "RFC 8259 §2", before("\u2028")},
	{"leading space", "RFC 7515 §5.2", before(" ")},
	{"leading line break", "RFC 7515 §5.2", before("\r\n")},
	{"trailing space", "RFC 7515 §5.2", after(" ")},
	{"trailing line break", "RFC 7515 §5.2", after("\n")},
	{"trailing NUL", "RFC 8259 §2", after("\x00")},
	{"trailing object", "RFC 8259 §2", after("{}")},
	{"trailing brace", "RFC 8259 §2", after("}")},
	{"trailing comma", "RFC 8259 §2", after(",")},
	{"trailing letter", "RFC 8259 §2", after("x")},
	{"trailing comment", "RFC 8259 §2", after("//x")},
	{"trailing control", "RFC 8259 §2", after("\x1a")},
	{"comment inside", "RFC 8259 §2", replace(",", ",/*x*/")},
	{"comma before the end", "RFC 8259 §4", func(s string) string { return s[:len(s)-1] + ",}" }},
	{"two commas", "RFC 8259 §4", replace(",", ",,")},
	{"comma first", "RFC 8259 §4", replace("{", "{,")},
	{"no comma", "RFC 8259 §4", replace(`,"`, ` "`)},
	{"no end", "RFC 8259 §4", func(s string) string { return s[:len(s)-1] }},
	{"equals sign", "RFC 8259 §4", replace(":", "=")},
	{"bare name", "RFC 8259 §4", inside("x:1")},
	{"number as name", "RFC 8259 §4", inside("1:1")},
	{"single quotes", "RFC 8259 §7", inside("'x':1")},
	{"no value", "RFC 8259 §4", inside(`"x":`)},
	{"undefined", "RFC 8259 §3", inside(`"x":undefined`)},
	{"True", "RFC 8259 §3", inside(`"x":True`)},
	{"nul", "RFC 8259 §3", inside(`"x":nul`)},
	{"NaN", "RFC 8259 §6", inside(`"x":NaN`)},
	{"Infinity", "RFC 8259 §6", inside(`"x":-Infinity`)},
	{"hexadecimal", "RFC 8259 §6", inside(`"x":0x10`)},
	{"leading zero", "RFC 8259 §6", inside(`"x":010`)},
	{"plus sign", "RFC 8259 §6", inside(`"x":+1`)},
	{"point first", "RFC 8259 §6", inside(`"x":.5`)},
	{"point last", "RFC 8259 §6", inside(`"x":5.`)},
	{"number past every float", "RFC 8259 §6", inside(`"x":1e400`)},
	{"number of hundreds of digits", "RFC 8259 §6", inside(`"x":` + strings.Repeat("9", 400))},
	{"empty exponent", "RFC 8259 §6", inside(`"x":1e`)},
	{"underscore in a number", "RFC 8259 §6", inside(`"x":1_000`)},
	{"duplicate of its own", "RFC 7515 §4", inside(`"x":1,"x":1`)},
	{"duplicate by an escape", "RFC 8725 §2.6", inside(`"x":1,"\u0078":1`)},
	{"duplicate in an object", "RFC 7519 §4", inside(`"x":{"y":1,"y":1}`)},
	{"duplicate in an array", "RFC 7519 §4", inside(`"x":[{"y":1,"y":1}]`)},
	{"names that differ in case only", "RFC 8725 §2.6", inside(`"x":1,"X":2`)},
	{"name past ASCII", "RFC 8725 §2.6", inside(`"ñ":1`)},
	{"name with a control", "RFC 8725 §2.6", inside(`"x\u0000":1`)},
	{"invalid UTF-8", "RFC 8725 §3.7", inside("\"x\":\"\xff\"")},
	{"overlong UTF-8", "RFC 3629 §3", inside("\"x\":\"\xc0\xaf\"")},
	{"overlong NUL", "RFC 3629 §3", inside("\"x\":\"\xc0\x80\"")},
	{"surrogate in UTF-8", "RFC 3629 §3", inside("\"x\":\"\xed\xa0\x80\"")},
	{"past the last character", "RFC 3629 §3", inside("\"x\":\"\xf4\x90\x80\x80\"")},
	{"character cut short", "RFC 3629 §3", inside("\"x\":\"\xe2\x82\"")},
	{"half a pair, high", "RFC 8259 §8.2", inside(`"x":"\ud800"`)},
	{"half a pair, low", "RFC 8259 §8.2", inside(`"x":"\udc00"`)},
	{"pair the wrong way round", "RFC 8259 §8.2", inside(`"x":"\udc00\ud800"`)},
	{"two high halves", "RFC 8259 §8.2", inside(`"x":"\ud800\ud800"`)},
	{"half a pair in a name", "RFC 8259 §8.2", inside(`"\ud800":1`)},
	{"escape of two digits", "RFC 8259 §7", inside(`"x":"\x41"`)},
	{"escape cut short", "RFC 8259 §7", inside(`"x":"\u004"`)},
	{"escape with braces", "RFC 8259 §7", inside(`"x":"\u{41}"`)},
	{"escape with U", "RFC 8259 §7", inside(`"x":"\U00000041"`)},
	{"escaped apostrophe", "RFC 8259 §7", inside(`"x":"\'"`)},
	{"octal escape", "RFC 8259 §7", inside(`"x":"\101"`)},
	{"escaped line break", "RFC 8259 §7", inside("\"x\":\"\\\n\"")},
	{"bare line break", "RFC 8259 §7", inside("\"x\":\"a\nb\"")},
	{"bare tab", "RFC 8259 §7", inside("\"x\":\"a\tb\"")},
	{"bare NUL", "RFC 8259 §7", inside("\"x\":\"a\x00b\"")},
	{"string without end", "RFC 8259 §7", inside(`"x":"`)},
	{"nine arrays", "RFC 8259 §9", inside(`"x":` + strings.Repeat("[", 8) + strings.Repeat("]", 8))},
	{"nine objects", "RFC 8259 §9", inside(`"x":` + strings.Repeat(`{"y":`, 8) + "1" + strings.Repeat("}", 8))},
	{"thousands of arrays", "RFC 8259 §9", inside(`"x":` + strings.Repeat("[", 4000))},
	{"hundreds of objects", "RFC 8259 §9", inside(`"x":` + strings.Repeat(`{"y":`, 500) + "1" + strings.Repeat("}", 500))},
	{"too many members", "RFC 8259 §9", inside(members(64))},
	{"too many members below", "RFC 8259 §9", inside(`"x":{` + members(65) + "}")},
	{"too many elements", "RFC 8259 §9", inside(`"x":[` + strings.Repeat("1,", 64) + "1]")},
	{"array without end", "RFC 8259 §5", inside(`"x":[1`)},
	{"array with a comma before the end", "RFC 8259 §5", inside(`"x":[1,]`)},
}

// nameAttacks spell the names of members as a lenient reader takes them: beside the right one, and instead of it.
func nameAttacks() []attack {
	const source, folding = "RFC 8725 §2.6", "RFC 7515 §5.3"
	var attacks []attack
	claims := map[string][]string{
		"iss": {"ISS", "Iss", "iſs", "isſ", "ıss", "iß", "ｉｓｓ"}, "sub": {"SUB", "Sub", "ſub", "ｓub", "sυb"}, "aud": {"AUD", "Aud", "áud", "aud\u200d"},
		"exp": {"EXP", "eXp", "ехр"}, "iat": {"IAT", "iAt", "ıat", "İat"}, "jti": {"JTI", "jtI", "jtı"}, "sid": {"SID", "ſid"}, "client_id": {"CLIENT_ID", "client_Id", "clıent_id"},
		"role": {"Role", "ROLE"},
	}
	for _, right := range slices.Sorted(maps.Keys(claims)) {
		for _, other := range claims[right] {
			beside := func(f *forged) { f.payload[other] = f.payload[right] }
			instead := func(f *forged) { beside(f); delete(f.payload, right) }
			attacks = append(attacks, attack{"names", "claim " + other + " beside " + right, folding, malformed, beside, nil})
			if right != "role" { // alone it is just another claim
				attacks = append(attacks, attack{"names", "claim " + other + " instead of " + right, source, malformed, instead, nil})
			}
		}
	}
	headers := map[string][]string{"alg": {"ALG", "Alg", "ålg"}, "kid": {"KID", "Kid", "\u212aid", "kıd"}, "typ": {"TYP", "tYp"}}
	for _, right := range slices.Sorted(maps.Keys(headers)) {
		for _, other := range headers[right] {
			beside := func(f *forged) { f.header[other] = f.header[right] }
			instead := func(f *forged) { beside(f); delete(f.header, right) }
			attacks = append(attacks,
				attack{"names", "header " + other + " beside " + right, folding, malformed, beside, nil},
				attack{"names", "header " + other + " instead of " + right, source, malformed, instead, nil})
		}
	}
	for _, name := range []string{"CRIT", "crıt", "B64", "Jwk", "jw\u212a", "JKU", "j\u212au", "X5U", "X5C", "x5t#s256", "Zip", "ENC", "Cty"} {
		attacks = append(attacks, attack{"names", "header " + name, source, malformed, header(name, "x"), nil})
	}
	for _, name := range []string{"NBF", "Nbf", "Scope", "CNF", "Nonce"} {
		attacks = append(attacks, attack{"names", "claim " + name, source, malformed, claim(name, 1), nil})
	}
	return attacks
}
