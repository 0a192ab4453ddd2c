package tokentest

import (
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"strings"
)

type variant struct {
	name, source string
	change       func(*forged)
	only         []string
}

// variants are what other JSON writers and other issuers' habits make of the same token: within the specifications.
var variants = []variant{
	{"as minted", "RFC 9068 §2", func(*forged) {}, nil},
	{"typ with application/", "RFC 9068 §4", header("typ", "application/at+jwt"), nil},
	{"typ with an escaped slash", "RFC 8259 §7", headerText(func(s string) string { return strings.Replace(s, "at+jwt", `application\/at+jwt`, 1) }), nil},
	{"typ with an escaped plus", "RFC 8259 §7", headerText(replace("at+jwt", `at\u002bjwt`)), nil},
	{"audience in an array", "RFC 7519 §4.1.3", func(f *forged) { f.payload["aud"] = []string{f.Audience} }, nil},
	{"one of many audiences", "RFC 7519 §4.1.3", func(f *forged) { f.payload["aud"] = []string{"https://a.test", "https://b.test", f.Audience} }, nil},
	{"first of many audiences", "RFC 7519 §4.1.3", func(f *forged) { f.payload["aud"] = []string{f.Audience, "https://a.test"} }, nil},
	{"the same audience twice", "RFC 7519 §4.1.3", func(f *forged) { f.payload["aud"] = []string{f.Audience, f.Audience} }, nil},
	{"an empty audience beside", "RFC 7519 §4.1.3", func(f *forged) { f.payload["aud"] = []string{"", f.Audience} }, nil},
	{"sixty-four audiences", "RFC 7519 §4.1.3", func(f *forged) {
		f.payload["aud"] = append(strings.Split(strings.Repeat("x,", 62)+"x", ","), f.Audience)
	}, nil},
	{"white space between the audiences", "RFC 8259 §2", func(f *forged) {
		f.payload["aud"] = json.RawMessage("[ \"a\" ,\n\t" + string(must(json.Marshal(f.Audience))) + " ]")
	}, nil},
	{"white space in the payload", "RFC 8259 §2", payloadText(func(s string) string { return "{ \t\r\n" + strings.ReplaceAll(s[1:len(s)-1], ",", " ,\n\t") + "\n}" }), nil},
	{"white space in the header", "RFC 8259 §2", headerText(func(s string) string { return strings.ReplaceAll(s, ":", " : ") }), nil},
	{"payload's members the other way", "RFC 8259 §4", payloadText(reversed), nil},
	{"header's members the other way", "RFC 8259 §4", headerText(reversed), nil},
	{"escaped letters in a name", "RFC 7515 §5.3", payloadText(replace(`"sub"`, `"\u0073ub"`)), nil},
	{"every letter of a name escaped", "RFC 7515 §5.3", headerText(replace(`"alg"`, `"\u0061\u006C\u0067"`)), nil},
	{"escaped letters in the subject", "RFC 8259 §7", payloadText(replace(`"ann"`, `"\u0061n\u006e"`)), nil},
	{"escaped slashes", "RFC 8259 §7", payloadText(func(s string) string { return strings.ReplaceAll(s, "/", `\/`) }), nil},
	{"escaped letter in the kid", "RFC 7515 §5.3", func(f *forged) {
		f.headerText = replace(`"kid":"`+f.key.KID[:1], `"kid":"\u00`+hexByte(f.key.KID[0]))
	}, nil},
	{"every escape", "RFC 8259 §7", literal("note", `"\"\\\/\b\f\n\r\t\u0000"`), nil},
	{"surrogate pair", "RFC 8259 §7", literal("note", `"\ud83d\ude00"`), nil},
	{"surrogate pair, upper case", "RFC 8259 §7", literal("note", `"\uDBFF\uDFFF"`), nil},
	{"replacement character", "RFC 8259 §7", literal("note", `"\ufffd`+"\ufffd"+`"`), nil},
	{"text past ASCII", "RFC 8259 §8.1", claim("name", "Zoë 日本 😀"), nil},
	{"byte order mark in a text", "RFC 8259 §8.1", literal("note", "\"\ufeff\""), nil},
	{"bare DEL and line separator in a text", "RFC 8259 §7", literal("note", "\"\x7f\u2028\""), nil},
	{"unknown claims of every type", "RFC 7519 §4", claim("groups", []any{"a", 1, 1.5e3, -2, nil, true, map[string]any{"x": []any{}}}), nil},
	{"numbers of every form", "RFC 8259 §6", literal("n", "[0,-0,10,-1.5,1e3,1E+3,2e-3,0.0,1e308,123456789012345678901234567890]"), nil},
	{"a name that is a part of another", "RFC 7515 §5.3", claim("su", "x"), nil},
	{"a name that has another inside", "RFC 7515 §5.3", claim("subject", "root"), nil},
	{"a name with an address", "RFC 7519 §4.2", claim("https://example.test/Roles", []string{"a"}), nil},
	{"an empty name", "RFC 8259 §4", claim("", 1), nil},
	{"same name at another depth", "RFC 7519 §4", claim("act", map[string]any{"sub": "root", "iss": "https://evil.test", "SUB": "x"}), nil},
	{"unknown header", "RFC 7515 §4.2", header("x-trace", "1"), nil},
	{"unknown header of a known claim", "RFC 7519 §5.3", header("sub", "root"), nil},
	{"no sid", "RFC 9068 §2.2", noClaim("sid"), nil},
	{"no role", "RFC 9068 §2.2", noClaim("role"), nil},
	{"jti of a UUID", "RFC 7519 §4.1.7", claim("jti", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"), nil},
	{"long jti", "RFC 7519 §4.1.7", claim("jti", strings.Repeat("j", 1000)), nil},
	{"nbf zero", "RFC 7519 §4.1.5", literal("nbf", "0"), nil},
	{"nbf now", "RFC 7519 §4.1.5", instant("nbf", func(*forged) int64 { return 0 }), nil},
	{"nbf at the end of the skew", "RFC 7519 §4.1.5", instant("nbf", (*forged).skew), nil},
	{"iat at the end of the skew", "RFC 7519 §4.1.6", instant("iat", (*forged).skew), nil},
	{"the longest life", "RFC 9068 §5", instant("exp", func(f *forged) int64 { return f.ttl() }), nil},
	{"the shortest life", "RFC 7519 §4.1.4", instant("exp", func(*forged) int64 { return 1 }), nil},
	{"the last second of the skew", "RFC 7519 §4.1.4", all(instant("iat", func(f *forged) int64 { return -f.skew() - 100 }), instant("exp", func(f *forged) int64 { return 1 - f.skew() })), nil},
	{"large", "RFC 7515 §7.1", claim("pad", strings.Repeat("x", 4000)), nil},
	{"as large as allowed", "RFC 7515 §7.1", func(f *forged) {
		for n := f.MaxBytes * 3 / 4; len(f.raw()) != f.MaxBytes && n > 0; n-- {
			if f.payload["pad"] = strings.Repeat("x", n); len(f.raw()) <= f.MaxBytes {
				break
			}
		}
	}, onEd}, // the others sign too slowly for so many tries
	{"eight levels", "RFC 8259 §9", literal("x", strings.Repeat("[", 7)+strings.Repeat("]", 7)), nil},
	{"sixty-four members", "RFC 8259 §9", payloadText(inside(members(64 - 9))), nil},
	{"salt of zeros", "RFC 8017 §9.1.1", block(salted(make([]byte, 32))), onPS},
	{"padding by hand", "RFC 8017 §9.2", block(func(n int, d []byte) []byte { return padded(n, 1, 0xff, digestInfo, d) }), onRS},
	{"other half of the signature", "RFC 7518 §3.4", func(f *forged) { // -s is as good as s, and other signers choose
		f.signature = func(input string, _ []byte) []byte {
			r, s := signECDSA(f.key.signer.(*ecdsa.PrivateKey), sha256Of(input))
			return pair(r, new(big.Int).Sub(order, s))
		}
	}, onES},
}

func hexByte(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

func reversed(s string) string {
	parts := strings.Split(strings.Trim(s, "{}"), `,"`)
	out := make([]string, 0, len(parts))
	for i := len(parts) - 1; i >= 0; i-- {
		out = append(out, `"`+strings.TrimPrefix(parts[i], `"`))
	}
	return "{" + strings.Join(out, ",") + "}"
}
