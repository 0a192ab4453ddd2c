package tokentest

import (
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

const malformed = policy.MalformedToken

func flattened(raw, payload string) string {
	p := strings.Split(raw, ".")
	return `{"protected":"` + p[0] + `","payload":"` + payload + `","signature":"` + p[2] + `"}`
}

func payloadOf(raw string) string { return strings.Split(raw, ".")[1] }

// shapeAttacks are not three segments, or too long.
var shapeAttacks = []attack{
	{"shape", "one segment", "RFC 7515 §7.1", malformed, text(func(s string) string { return s[:strings.IndexByte(s, '.')] }), nil},
	{"shape", "two segments", "RFC 7515 §7.1", malformed, text(func(s string) string { return s[:strings.LastIndexByte(s, '.')] }), nil},
	{"shape", "four segments", "RFC 7515 §7.1", malformed, text(after(".AAAA")), nil},
	{"shape", "four segments, the last empty", "RFC 7515 §7.1", malformed, text(after(".")), nil},
	{"shape", "six segments", "RFC 7515 §7.1", malformed, text(after(".AAAA.AAAA.AAAA")), nil},
	{"shape", "a leading dot", "RFC 7515 §7.1", malformed, text(before(".")), nil},
	{"shape", "only dots", "RFC 7515 §7.1", malformed, text(become("..")), nil},
	{"shape", "empty signature", "CVE-2020-28042", malformed, segment(2, become("")), nil},
	{"shape", "empty header", "RFC 7515 §5.2", malformed, segment(0, become("")), nil},
	{"shape", "empty payload: detached content", "RFC 7515 appendix F", malformed, segment(1, become("")), nil},
	{"shape", "payload not encoded", "RFC 7797 §3", malformed, func(f *forged) {
		f.header["b64"], f.header["crit"] = false, []string{"b64"}
		f.token = func(raw string) string {
			_, payload := f.texts()
			p := strings.Split(raw, ".")
			return p[0] + "." + payload + "." + p[2]
		}
	}, nil},
	{"shape", "flattened JSON serialization", "RFC 7515 §7.2.2", malformed, text(func(s string) string { return flattened(s, payloadOf(s)) }), nil},
	{"shape", "general JSON serialization", "RFC 7515 §7.2.1", malformed, text(func(s string) string {
		p := strings.Split(s, ".")
		return `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"}]}`
	}), nil},
	{"shape", "JSON serialization without a signature", "CVE-2024-21664", malformed, text(func(s string) string {
		return `{"protected":"` + strings.Split(s, ".")[0] + `","payload":"e30"}`
	}), nil},
	{"shape", "compact and JSON in one text", "CVE-2022-39227", malformed, text(func(s string) string {
		p := strings.Split(s, ".")
		return `{"` + p[0] + "." + p[1] + `.":"","protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`
	}), nil},
	{"shape", "two signatures", "CVE-2016-9122", malformed, text(func(s string) string {
		p := strings.Split(s, ".")
		one := `{"protected":"` + p[0] + `","signature":"` + p[2] + `"}`
		return `{"payload":"` + p[1] + `","signatures":[` + one + "," + one + `]}`
	}), nil},
	{"shape", "two tokens by a space", "RFC 6750 §2.1", malformed, text(func(s string) string { return s + " x" }), nil},
	{"shape", "with its scheme", "RFC 6750 §2.1", malformed, text(before("Bearer.")), nil},
	{"shape", "in quotes", "RFC 7515 §7.1", malformed, text(func(s string) string { return `"` + s + `"` }), nil},
	{"shape", "leading space", "RFC 7515 §2", malformed, text(before(" ")), nil},
	{"shape", "trailing space", "RFC 7515 §2", malformed, text(after(" ")), nil},
	{"shape", "trailing line break", "RFC 7515 §2", malformed, text(after("\n")), nil},
	{"shape", "trailing NUL", "RFC 7515 §2", malformed, text(after("\x00")), nil},
	{"shape", "NUL and another token", "RFC 7515 §2", malformed, text(func(s string) string { return "a\x00" + s }), nil},
	{"shape", "trailing semicolon", "RFC 7515 §2", malformed, text(after(";")), nil},
	{"shape", "percent-encoded dots", "RFC 7515 §7.1", malformed, text(func(s string) string { return strings.ReplaceAll(s, ".", "%2E") }), nil},
	{"shape", "dots of full width", "RFC 7515 §7.1", malformed, text(func(s string) string { return strings.ReplaceAll(s, ".", "．") }), nil},
	{"shape", "SD-JWT disclosures", "RFC 9901 §4", malformed, text(after("~WyJhIiwiYiJd~")), nil},
	{"jwe", "five segments", "RFC 7516 §7.1", policy.EncryptedToken, text(after(".AAAA.BBBB")), nil},
	{"jwe", "direct encryption with the public key", "CVE-2023-51774", policy.EncryptedToken, text(become("eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA")), nil},
	{"jwe", "two billion iterations of PBES2", "CVE-2023-49290", policy.EncryptedToken, func(f *forged) {
		head := base64url.EncodeToString([]byte(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2000000000,"p2s":"AAAA"}`))
		f.token = become(head + ".AAAA.AAAA.AAAA.AAAA")
	}, nil},
	{"jwe", "a bomb of zip", "CVE-2024-28122", policy.EncryptedToken, func(f *forged) {
		head := base64url.EncodeToString([]byte(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`))
		f.token = become(head + "..AAAA." + strings.Repeat("A", 4000) + ".AAAA")
	}, nil},
	{"jwe", "ECDH-ES with a point off the curve", "CVE-2016-9121", policy.EncryptedToken, func(f *forged) {
		head := base64url.EncodeToString([]byte(`{"alg":"ECDH-ES","enc":"A128GCM","epk":{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}}`))
		f.token = become(head + "..AAAA.AAAA.AAAA")
	}, nil},
	{"jwe", "two tokens by a comma", "RFC 9110 §5.3", policy.EncryptedToken, text(func(s string) string { return s + "," + s }), nil},
	{"jwe", "five empty segments", "RFC 7516 §7.1", policy.EncryptedToken, text(become("....")), nil},
	{"size", "one byte too many", "CVE-2025-61920", policy.TooLarge, func(f *forged) {
		f.token = func(s string) string { return s + strings.Repeat("A", f.MaxBytes+1-len(s)) }
	}, nil},
	{"size", "a large claim", "CVE-2025-61920", policy.TooLarge, func(f *forged) { f.payload["pad"] = strings.Repeat("x", f.MaxBytes) }, nil},
	{"size", "a large header", "CVE-2025-61920", policy.TooLarge, func(f *forged) { f.header["pad"] = strings.Repeat("x", f.MaxBytes) }, nil},
	{"size", "a large signature", "CVE-2025-61920", policy.TooLarge, func(f *forged) { f.signature = func(string, []byte) []byte { return make([]byte, f.MaxBytes) } }, nil},
	{"size", "a megabyte without a dot", "CVE-2025-30204", policy.TooLarge, text(become(strings.Repeat("A", 1<<20))), nil},
	{"size", "a megabyte of dots", "CVE-2025-30204", policy.TooLarge, text(become(strings.Repeat(".", 1<<20))), nil},
	{"size", "as many dots as allowed", "CVE-2025-27144", malformed, func(f *forged) { f.token = become(strings.Repeat(".", f.MaxBytes)) }, nil},
	{"other", "an opaque refresh token", "RFC 6749 §1.5", malformed, text(become("Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4")), nil},
	{"other", "a PASETO", "RFC 7515 §7.1", malformed, text(become("v4.public.eyJzdWIiOiJhbm4ifQAAAAAAAAAAAAAAAAAAAAAA")), nil},
	{"other", "a macaroon", "RFC 7515 §7.1", malformed, text(become("MDAxY2xvY2F0aW9uIGh0dHBzOi8vZXZpbC50ZXN0Cg")), nil},
	{"other", "a SAML assertion", "RFC 7522 §2.1", malformed, text(become("PHNhbWw6QXNzZXJ0aW9uLz4")), nil},
	{"other", "HTTP Basic credentials", "RFC 7617 §2", malformed, text(become("YW5uOnNlY3JldA==")), nil},
	{"other", "null", "RFC 6750 §2.1", malformed, text(become("null")), nil},
	{"other", "undefined", "RFC 6750 §2.1", malformed, text(become("undefined")), nil},
	{"other", "[object Object]", "RFC 6750 §2.1", malformed, text(become("[object Object]")), nil},
}

// lastBits sets a bit past the last byte of a segment, which must have room for one.
func lastBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
}

// segmentAttacks are other spellings of base64url, in each of the three segments.
func segmentAttacks() []attack {
	var attacks []attack
	for i, where := range []string{"header", "payload", "signature"} {
		add := func(name, source string, change func(string) string) {
			attacks = append(attacks, attack{"base64", name + " in the " + where, source, malformed, segment(i, change), nil})
		}
		add("padding", "RFC 7515 §2", after("="))
		add("escaped padding", "RFC 7515 §2", after("%3D"))
		add("padding and more", "RFC 4648 §3.3", after("==AAAA"))
		add("standard alphabet", "RFC 7515 §2", func(s string) string { return "+/" + s[2:] })
		add("line break", "RFC 7515 §2", func(s string) string { return s[:4] + "\r\n" + s[4:] })
		add("space", "RFC 7515 §2", func(s string) string { return s[:4] + " " + s[4:] })
		add("tab", "RFC 7515 §2", func(s string) string { return s[:4] + "\t" + s[4:] })
		add("NUL", "RFC 4648 §3.3", func(s string) string { return s[:4] + "\x00" + s[4:] })
		add("byte past ASCII", "RFC 4648 §3.3", func(s string) string { return s[:4] + "\xff" + s[5:] })
		add("letter that looks like one", "RFC 4648 §3.3", func(s string) string { return s[:4] + "а" + s[5:] })
		add("single character more", "RFC 4648 §4", func(s string) string { return strings.TrimRight(s+"AAAA", "")[:len(s)/4*4+1] })
	}
	return append(attacks,
		attack{"base64", "four stray bits of the header", "RFC 4648 §3.5", malformed, all(headerText(padTo(1)), segment(0, lastBits)), nil},
		attack{"base64", "four stray bits of the payload", "RFC 4648 §3.5", malformed, all(payloadText(padTo(1)), segment(1, lastBits)), nil},
		attack{"base64", "two stray bits of the header", "RFC 4648 §3.5", malformed, all(headerText(padTo(2)), segment(0, lastBits)), nil},
		attack{"base64", "two stray bits of the payload", "RFC 4648 §3.5", malformed, all(payloadText(padTo(2)), segment(1, lastBits)), nil},
		attack{"base64", "stray bits of the signature", "RFC 4648 §3.5", malformed, segment(2, lastBits), nil})
}

// padTo makes a text rest bytes longer than a multiple of three: only then its last character has bits to spare.
func padTo(rest int) func(string) string {
	return func(s string) string { return "{" + strings.Repeat(" ", (3+rest-len(s)%3)%3) + s[1:] }
}
