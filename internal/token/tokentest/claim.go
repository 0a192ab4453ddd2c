package tokentest

import (
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

func typed(name, source string, value any) attack {
	return attack{"typ", name, source, policy.WrongType, header("typ", value), nil}
}

// typeAttacks are other kinds of token by the same issuer, signed by the same key.
var typeAttacks = []attack{
	{"typ", "missing", "RFC 9068 §4", policy.WrongType, noHeader("typ"), nil},
	{"typ", "an ID token", "RFC 8725 §2.8", policy.WrongType, all(header("typ", "JWT"), claim("nonce", "n"), claim("azp", "web")), nil},
	{"typ", "in the payload only", "RFC 8725 §3.11", policy.WrongType, func(f *forged) { f.payload["typ"] = f.header["typ"]; delete(f.header, "typ") }, nil},
	typed("jwt", "RFC 8725 §3.11", "jwt"), typed("JOSE", "RFC 7515 §4.1.9", "JOSE"), typed("JOSE+JSON", "RFC 7515 §4.1.9", "JOSE+JSON"),
	typed("a logout token", "RFC 8725 §2.8", "logout+jwt"), typed("a security event", "RFC 8417 §2.3", "secevent+jwt"), typed("a proof of possession", "RFC 9449 §4.2", "dpop+jwt"),
	typed("a request object", "RFC 9101 §10.8", "oauth-authz-req+jwt"), typed("an introspection answer", "RFC 9701 §5", "token-introspection+jwt"), typed("a key binding", "RFC 9901 §4.3", "kb+jwt"),
	typed("a refresh token", "RFC 8725 §2.8", "rt+jwt"), typed("a client assertion", "RFC 8725 §2.8", "client-authentication+jwt"),
	typed("empty", "RFC 8725 §3.11", ""), typed("null", "RFC 8725 §3.11", nil), typed("number", "RFC 8725 §3.11", 1), typed("array", "RFC 8725 §3.11", []string{"at+jwt"}),
	typed("upper case", "RFC 9068 §4", "AT+JWT"), typed("space behind it", "RFC 9068 §4", "at+jwt "), typed("parameter", "RFC 9068 §4", "at+jwt; charset=utf-8"), typed("text/", "RFC 9068 §4", "text/at+jwt"),
	typed("application/ twice", "RFC 9068 §4", "application/application/at+jwt"), typed("escape of a plus", "RFC 9068 §4", "at%2Bjwt"), typed("NUL behind it", "RFC 9068 §4", "at+jwt\x00"), typed("list", "RFC 9068 §4", "JWT,at+jwt"),
}

func issuer(name, source string, change func(string) string) attack {
	return attack{"iss", name, source, policy.WrongIssuer, func(f *forged) { f.payload["iss"] = change(f.Issuer) }, nil}
}

// identityAttacks are of another issuer, or tenant.
var identityAttacks = []attack{
	issuer("another", "RFC 8725 §3.8", become("https://evil.test")),
	issuer("another tenant", "RFC 8725 §2.7", after("/tenant-b")),
	issuer("slash behind it", "RFC 7519 §4.1.1", after("/")),
	issuer("space behind it", "RFC 7519 §4.1.1", after(" ")),
	issuer("cut short", "CVE-2024-53861", func(s string) string { return s[:len(s)-1] }),
	issuer("only its beginning", "CVE-2024-53861", func(s string) string { return s[:8] }),
	issuer("longer", "RFC 8725 §3.8", after(".evil.test")),
	issuer("ours as the user", "RFC 8725 §3.8", after("@evil.test")),
	issuer("ours in the fragment", "RFC 8725 §3.8", func(s string) string { return "https://evil.test/#" + s }),
	issuer("upper case", "RFC 7519 §2", strings.ToUpper),
	issuer("default port", "RFC 7519 §2", after(":443")),
	issuer("http", "RFC 7519 §2", replace("https", "http")),
	issuer("trailing dot of the host", "RFC 7519 §2", after(".")),
	issuer("letter that looks like one", "RFC 8725 §3.8", replace("e", "е")),
	issuer("a list in one text", "RFC 7519 §4.1.1", func(s string) string { return s + ",https://evil.test" }),
	{"iss", "array with ours", "CVE-2025-30144", malformed, func(f *forged) { f.payload["iss"] = []string{"https://evil.test", f.Issuer} }, nil},
	{"iss", "array of ours", "CVE-2025-30144", malformed, func(f *forged) { f.payload["iss"] = []string{f.Issuer} }, nil},
	{"iss", "another one of another key", "RFC 8725 §2.7", policy.WrongIssuer, all(claim("iss", "https://evil.test"), header("kid", "x")), nil},
	{"iss", "in the header only", "RFC 7519 §5.3", policy.MissingClaim, func(f *forged) { f.header["iss"] = f.Issuer; delete(f.payload, "iss") }, nil},
	{"iss", "twice", "RFC 7519 §4", malformed, payloadText(inside(`"iss":"https://evil.test"`)), nil},
	{"sub", "twice", "RFC 7519 §4", malformed, payloadText(inside(`"sub":"root"`)), nil},
	{"sub", "twice by an escape", "RFC 8725 §2.6", malformed, payloadText(inside(`"\u0073ub":"root"`)), nil},
	{"exp", "twice", "RFC 7519 §4", malformed, payloadText(inside(`"exp":9999999999`)), nil},
	{"role", "twice", "RFC 7519 §4", malformed, payloadText(inside(`"role":"admin"`)), nil},
}

// claimTypeAttacks are claims that are absent or of a type that they cannot have.
func claimTypeAttacks() []attack {
	sections := map[string]string{
		"iss": "RFC 7519 §4.1.1", "sub": "RFC 7519 §4.1.2", "aud": "RFC 7519 §4.1.3", "exp": "RFC 7519 §4.1.4", "nbf": "RFC 7519 §4.1.5", "iat": "RFC 7519 §4.1.6", "jti": "RFC 7519 §4.1.7",
		"client_id": "RFC 8693 §4.3", "sid": "RFC 9068 §2.2.2",
	}
	var attacks []attack
	for _, name := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "sid"} {
		source := sections[name]
		add := func(what, literalText string) {
			attacks = append(attacks, attack{name, what, source, malformed, literal(name, literalText), nil})
		}
		add("null", "null")
		add("true", "true")
		add("object", `{"x":1}`)
		add("empty array", "[]")
		add("array of a number", "[1]")
		switch name {
		case "exp", "nbf", "iat":
			add("text", `"1800000000"`)
			add("empty text", `""`)
		default:
			add("number", "1")
			add("with a NUL", `"a\u0000b"`)
			add("with a line break", `"a\r\nX-Auth-Role: admin"`)
			add("with a DEL", `"a\u007f"`)
		}
		switch name {
		case "client_id", "sid", "nbf":
		default:
			attacks = append(attacks, attack{name, "missing", "RFC 9068 §2.2", policy.MissingClaim, noClaim(name), nil})
		}
		switch name {
		case "iss", "sub", "jti", "client_id", "sid":
			attacks = append(attacks, attack{name, "empty", source, policy.MissingClaim, claim(name, ""), nil})
		}
	}
	return attacks
}

func audience(name, source string, change func(string) any) attack {
	return attack{"aud", name, source, policy.WrongAudience, func(f *forged) { f.payload["aud"] = change(f.Audience) }, nil}
}

// audienceAttacks are for somebody else.
func audienceAttacks() []attack {
	const section = "RFC 7519 §4.1.3"
	array := func(name, text string) attack {
		return attack{"aud", name, "CVE-2020-26160", malformed, literal("aud", text), nil}
	}
	return []attack{
		audience("another", "RFC 8725 §3.9", func(string) any { return "https://evil.test" }),
		audience("array of others", "CVE-2020-26160", func(string) any { return []string{"https://a.test", "https://b.test"} }),
		audience("array of nothing", "CVE-2020-26160", func(string) any { return []string{""} }),
		audience("empty", section, func(string) any { return "" }),
		audience("cut short", section, func(s string) any { return s[:len(s)-1] }),
		audience("longer", section, func(s string) any { return s + ".evil.test" }),
		audience("a slash more", section, func(s string) any { return s + "/" }),
		audience("upper case", section, func(s string) any { return strings.ToUpper(s) }),
		audience("a list by spaces", section, func(s string) any { return "x " + s }),
		audience("a list by commas", section, func(s string) any { return s + ",x" }),
		audience("a list inside a text", section, func(s string) any { return `["` + s + `"]` }),
		audience("wildcard", section, func(string) any { return "*" }),
		audience("the issuer", "RFC 8725 §3.9", func(string) any { return "https://id.example.test/x" }),
		{"aud", "object with ours", section, malformed, func(f *forged) { f.payload["aud"] = map[string]any{"0": f.Audience} }, nil},
		{"aud", "ours and a number", section, malformed, func(f *forged) { f.payload["aud"] = []any{f.Audience, 1} }, nil},
		{"aud", "ours in two arrays", section, malformed, func(f *forged) { f.payload["aud"] = []any{[]string{f.Audience}} }, nil},
		{"aud", "ours and null", section, malformed, func(f *forged) { f.payload["aud"] = []any{f.Audience, nil} }, nil},
		{"aud", "ours and one with a NUL", section, malformed, func(f *forged) { f.payload["aud"] = []string{f.Audience, "a\x00b"} }, nil},
		array("array of an empty array", "[[]]"),
		array("array of an object", "[{}]"),
	}
}
