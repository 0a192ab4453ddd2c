package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

type attack struct {
	class, name string
	want        policy.Reason
	change      func(f *forged)
	only        []Algorithm // empty: all four
}

func header(name string, value any) func(*forged)   { return func(f *forged) { f.header[name] = value } }
func claim(name string, value any) func(*forged)    { return func(f *forged) { f.payload[name] = value } }
func noHeader(name string) func(*forged)            { return func(f *forged) { delete(f.header, name) } }
func noClaim(name string) func(*forged)             { return func(f *forged) { delete(f.payload, name) } }
func text(change func(string) string) func(*forged) { return func(f *forged) { f.token = change } }
func number(name, digits string) func(*forged)      { return claim(name, json.RawMessage(digits)) }
func signature(change func(string, []byte) []byte) func(*forged) {
	return func(f *forged) { f.signature = change }
}
func payloadText(change func(string) string) func(*forged) {
	return func(f *forged) { f.payloadText = change(ordered(f.payload)) }
}
func headerText(change func(string) string) func(*forged) {
	return func(f *forged) { f.headerText = change(ordered(f.header)) }
}

// part changes one of the three segments.
func part(i int, change func(string) string) func(*forged) {
	return text(func(raw string) string {
		parts := strings.Split(raw, ".")
		parts[i] = change(parts[i])
		return strings.Join(parts, ".")
	})
}

// lastBits sets bits past the last byte, where the segment has any.
func lastBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		return s + "\x00" // no spare bits: still refused, for another reason
	}
	i := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[i|1])
}

func replace(old, with string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("the attack changes nothing: " + old)
		}
		return strings.Replace(s, old, with, 1)
	}
}

func (f *forged) sign(with Algorithm, key Algorithm) {
	f.signature = func(input string, _ []byte) []byte {
		out, err := sign(with, keys()[key].signer, []byte(input))
		if err != nil {
			panic(err)
		}
		return out
	}
}

func attacks() []attack {
	return slices.Concat(shapeAttacks(), jsonAttacks(), headerAttacks(), claimAttacks(), signatureAttacks())
}

func shapeAttacks() []attack {
	malformed := policy.MalformedToken
	return []attack{
		{"shape", "two segments", malformed, text(func(s string) string { return s[:strings.LastIndexByte(s, '.')] }), nil},
		{"shape", "JWE of five segments", policy.EncryptedToken, text(func(s string) string { return s + ".AAAA.BBBB" }), nil},
		{"shape", "four segments", malformed, text(func(s string) string { return s + ".AAAA" }), nil},
		{"shape", "empty signature", malformed, part(2, func(string) string { return "" }), nil},
		{"shape", "empty header", malformed, part(0, func(string) string { return "" }), nil},
		{"shape", "empty payload", malformed, part(1, func(string) string { return "" }), nil},
		{"shape", "detached payload of dots", malformed, text(func(string) string { return "..." }), nil},
		{"shape", "JSON serialization", malformed, text(func(s string) string {
			p := strings.Split(s, ".")
			return `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`
		}), nil},
		{"shape", "leading space", malformed, text(func(s string) string { return " " + s }), nil},
		{"shape", "trailing line break", malformed, text(func(s string) string { return s + "\n" }), nil},
		{"shape", "two tokens by comma", policy.EncryptedToken, text(func(s string) string { return s + "," + s }), nil},
		{"shape", "huge", policy.TooLarge, claim("pad", strings.Repeat("x", MaxBytes)), nil},
		{"shape", "huge without a dot", policy.TooLarge, text(func(string) string { return strings.Repeat("A", 1<<20) }), nil},
		{"shape", "a million dots", policy.TooLarge, text(func(string) string { return strings.Repeat(".", 1<<20) }), nil},
		{"base64", "padding", malformed, part(1, func(s string) string { return s + "=" }), nil},
		{"base64", "escaped padding", malformed, part(1, func(s string) string { return s + "%3D" }), nil},
		{"base64", "standard alphabet", malformed, part(2, func(s string) string { return "+/" + s[2:] }), nil},
		{"base64", "line break inside", malformed, part(2, func(s string) string { return s[:4] + "\r\n" + s[4:] }), nil},
		{"base64", "trailing bits of the signature", malformed, part(2, lastBits), []Algorithm{RS256, PS256, ES256, EdDSA}},
		{"base64", "trailing bits of the payload", malformed, func(f *forged) {
			for len(ordered(f.payload))%3 == 0 {
				f.payload["pad"] = "x" + stringOr(f.payload["pad"])
			}
			part(1, lastBits)(f)
		}, nil},
		{"base64", "length 1 modulo 4", malformed, part(2, func(s string) string { return s[:len(s)/4*4-3] }), nil},
		{"base64", "not ASCII", malformed, part(2, func(s string) string { return "é" + s }), nil},
		{"base64", "NUL", malformed, part(0, func(s string) string { return s + "\x00" }), nil},
	}
}

func stringOr(v any) string { s, _ := v.(string); return s }

func jsonAttacks() []attack {
	malformed := policy.MalformedToken
	return []attack{
		{"json", "duplicate sub", malformed, payloadText(replace("{", `{"sub":"root",`)), nil},
		{"json", "duplicate alg", malformed, headerText(replace("{", `{"alg":"none",`)), nil},
		{"json", "duplicate by escape", malformed, payloadText(replace("{", `{"\u0073ub":"root",`)), nil},
		{"json", "duplicate in a nested object", malformed, claim("cnf", json.RawMessage(`{"a":1,"a":2}`)), nil},
		{"json", "duplicate in an array", malformed, claim("x", json.RawMessage(`[{"a":1,"a":2}]`)), nil},
		{"json", "name of another case", malformed, claim("Sub", "root"), nil},
		{"json", "name with U+017F", malformed, claim("\u017fub", "root"), nil},
		{"json", "kid with U+212A", malformed, header("\u212aid", "x"), nil},
		{"json", "kid of another case only", malformed, func(f *forged) { f.header["Kid"] = f.header["kid"]; delete(f.header, "kid") }, nil},
		{"json", "CRIT of another case", malformed, header("CRIT", []string{"exp"}), nil},
		{"json", "trailing object", malformed, payloadText(func(s string) string { return s + "{}" }), nil},
		{"json", "trailing NUL", malformed, headerText(func(s string) string { return s + "\x00" }), nil},
		{"json", "byte order mark", malformed, payloadText(func(s string) string { return "\ufeff" + s }), nil},
		{"json", "comment", malformed, payloadText(replace("{", "{/*x*/")), nil},
		{"json", "trailing comma", malformed, payloadText(replace("}", ",}")), nil},
		{"json", "single quotes", malformed, payloadText(replace(`"sub"`, `'sub'`)), nil},
		{"json", "array", malformed, payloadText(func(s string) string { return "[" + s + "]" }), nil},
		{"json", "null header", malformed, headerText(func(string) string { return "null" }), nil},
		{"json", "text", malformed, payloadText(func(string) string { return `"x"` }), nil},
		{"json", "not UTF-8", malformed, payloadText(replace("user-1", "user-\xff")), nil},
		{"json", "lone surrogate", malformed, payloadText(replace("user-1", `\ud800`)), nil},
		{"json", "lone low surrogate", malformed, payloadText(replace("user-1", `\udc00x`)), nil},
		{"json", "bad escape", malformed, payloadText(replace("user-1", `\x41`)), nil},
		{"json", "control character", malformed, payloadText(replace("user-1", "a\nb")), nil},
		{"json", "deep nesting", malformed, claim("x", json.RawMessage(strings.Repeat("[", 2000)+strings.Repeat("]", 2000))), nil},
		{"json", "deep objects", malformed, claim("x", json.RawMessage(strings.Repeat(`{"a":`, 500)+"1"+strings.Repeat("}", 500))), nil},
		{"json", "very many members", malformed, func(f *forged) {
			for i := range 100 {
				f.payload["m"+strings.Repeat("x", i)] = 1
			}
			f.token = func(s string) string { return s }
		}, []Algorithm{ES256}},
		{"json", "NaN", malformed, number("exp", "NaN"), nil},
		{"json", "Infinity", malformed, number("x", "-Infinity"), nil},
		{"json", "hexadecimal", malformed, number("exp", "0x7fffffff"), nil},
		{"json", "leading zero", malformed, number("exp", "01800000900"), nil},
		{"json", "plus sign", malformed, number("exp", "+1800000900"), nil},
	}
}

func headerAttacks() []attack {
	unsupported := policy.UnsupportedHeader
	jwk := func(f *forged) { f.header["jwk"] = json.RawMessage(keys()[f.algorithm].Public().JWK()) }
	return []attack{
		{"alg", "none", policy.AlgorithmMismatch, header("alg", "none"), nil},
		{"alg", "None with no signature", policy.MalformedToken, func(f *forged) {
			f.header["alg"] = "None"
			part(2, func(string) string { return "" })(f)
		}, nil},
		{"alg", "missing", policy.AlgorithmMismatch, noHeader("alg"), nil},
		{"alg", "null", policy.AlgorithmMismatch, header("alg", nil), nil},
		{"alg", "array", policy.AlgorithmMismatch, func(f *forged) { f.header["alg"] = []string{string(f.algorithm)} }, nil},
		{"alg", "lower case", policy.AlgorithmMismatch, func(f *forged) { f.header["alg"] = strings.ToLower(string(f.algorithm)) }, nil},
		{"alg", "with a space", policy.AlgorithmMismatch, func(f *forged) { f.header["alg"] = string(f.algorithm) + " " }, nil},
		{"alg", "HS256 with the public JWK", policy.AlgorithmMismatch, func(f *forged) {
			f.header["alg"] = "HS256"
			f.signature = func(input string, _ []byte) []byte { return mac(keys()[f.algorithm].Public().JWK(), input) }
		}, nil},
		{"alg", "RS256 with a key of PS256", policy.AlgorithmMismatch, func(f *forged) { f.header["alg"] = "RS256"; f.sign(RS256, PS256) }, []Algorithm{PS256}},
		{"alg", "PS256 with a key of RS256", policy.AlgorithmMismatch, func(f *forged) { f.header["alg"] = "PS256"; f.sign(PS256, RS256) }, []Algorithm{RS256}},
		{"alg", "ES256K", policy.AlgorithmMismatch, header("alg", "ES256K"), []Algorithm{ES256}},
		{"alg", "Ed25519", policy.AlgorithmMismatch, header("alg", "Ed25519"), []Algorithm{EdDSA}},
		{"alg", "EdDSA header for a key of ES256", policy.AlgorithmMismatch, func(f *forged) { f.header["kid"] = keys()[ES256].KID() }, []Algorithm{EdDSA}},
		{"kid", "missing", policy.UnknownKey, noHeader("kid"), nil},
		{"kid", "empty", policy.UnknownKey, header("kid", ""), nil},
		{"kid", "unknown", policy.UnknownKey, header("kid", "no-such-key"), nil},
		{"kid", "number", policy.UnknownKey, header("kid", 0), nil},
		{"kid", "path", policy.UnknownKey, header("kid", "../../../../dev/null"), nil},
		{"kid", "SQL", policy.UnknownKey, header("kid", "x' UNION SELECT 'key'--"), nil},
		{"kid", "address", policy.UnknownKey, header("kid", "https://evil.test/key"), nil},
		{"kid", "with a NUL", policy.UnknownKey, func(f *forged) { f.header["kid"] = keys()[f.algorithm].KID() + "\x00" }, nil},
		{"kid", "of another case", policy.UnknownKey, func(f *forged) { f.header["kid"] = strings.ToUpper(keys()[f.algorithm].KID()) }, nil},
		{"kid", "long", policy.UnknownKey, header("kid", strings.Repeat("k", 4000)), nil},
		{"kid", "in the payload only", policy.UnknownKey, func(f *forged) { f.payload["kid"] = f.header["kid"]; delete(f.header, "kid") }, nil},
		{"typ", "missing", policy.WrongType, noHeader("typ"), nil},
		{"typ", "JWT: an ID token", policy.WrongType, header("typ", "JWT"), nil},
		{"typ", "upper case", policy.WrongType, header("typ", "AT+JWT"), nil},
		{"typ", "with a parameter", policy.WrongType, header("typ", "at+jwt; charset=utf-8"), nil},
		{"typ", "text/at+jwt", policy.WrongType, header("typ", "text/at+jwt"), nil},
		{"typ", "array", policy.WrongType, header("typ", []string{Type}), nil},
		{"header", "crit", unsupported, header("crit", []string{"exp"}), nil},
		{"header", "empty crit", unsupported, header("crit", []string{}), nil},
		{"header", "b64 false", unsupported, func(f *forged) { f.header["b64"] = false; f.header["crit"] = []string{"b64"} }, nil},
		{"header", "b64 true", unsupported, header("b64", true), nil},
		{"header", "zip", unsupported, header("zip", "DEF"), nil},
		{"header", "jwk", unsupported, jwk, nil},
		{"header", "jku", unsupported, header("jku", "https://evil.test/jwks"), nil},
		{"header", "x5u", unsupported, header("x5u", "https://evil.test/cert"), nil},
		{"header", "x5c", unsupported, header("x5c", []string{"MIIB"}), nil},
		{"header", "x5t", unsupported, header("x5t", "AAAA"), nil},
		{"header", "x5t#S256", unsupported, header("x5t#S256", "AAAA"), nil},
		{"header", "cty JWT: a nested token", unsupported, header("cty", "JWT"), nil},
		{"header", "enc", unsupported, header("enc", "A128GCM"), nil},
		{"header", "p2c", unsupported, header("p2c", 2_000_000_000), nil},
	}
}

func mac(key []byte, input string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(input))
	return h.Sum(nil)
}

func claimAttacks() []attack {
	now := testNow.Unix()
	malformed := policy.MalformedToken
	return []attack{
		{"iss", "missing", policy.MissingClaim, noClaim("iss"), nil},
		{"iss", "empty", policy.MissingClaim, claim("iss", ""), nil},
		{"iss", "array", malformed, claim("iss", []string{testIssuer}), nil},
		{"iss", "another", policy.WrongIssuer, claim("iss", "https://evil.test"), nil},
		{"iss", "trailing slash", policy.WrongIssuer, claim("iss", testIssuer+"/"), nil},
		{"iss", "upper case host", policy.WrongIssuer, claim("iss", strings.ToUpper(testIssuer)), nil},
		{"sub", "missing", policy.MissingClaim, noClaim("sub"), nil},
		{"sub", "empty", policy.MissingClaim, claim("sub", ""), nil},
		{"sub", "number", malformed, claim("sub", 1), nil},
		{"jti", "missing", policy.MissingClaim, noClaim("jti"), nil},
		{"jti", "null", malformed, claim("jti", nil), nil},
		{"sid", "number", malformed, claim("sid", 7), nil},
		{"sid", "empty", policy.MissingClaim, claim("sid", ""), nil},
		{"client_id", "array", malformed, claim("client_id", []string{"a"}), nil},
		{"aud", "missing", policy.MissingClaim, noClaim("aud"), nil},
		{"aud", "another", policy.WrongAudience, claim("aud", "https://evil.test"), nil},
		{"aud", "prefix of ours", policy.WrongAudience, claim("aud", testAudience[:len(testAudience)-1]), nil},
		{"aud", "longer than ours", policy.WrongAudience, claim("aud", testAudience+".evil.test"), nil},
		{"aud", "ours inside a text", policy.WrongAudience, claim("aud", "x "+testAudience), nil},
		{"aud", "empty array", malformed, claim("aud", []string{}), nil},
		{"aud", "empty text", policy.WrongAudience, claim("aud", ""), nil},
		{"aud", "object", malformed, claim("aud", map[string]any{"0": testAudience}), nil},
		{"aud", "array with a number", malformed, claim("aud", []any{testAudience, 1}), nil},
		{"aud", "nested array", malformed, claim("aud", []any{[]string{testAudience}}), nil},
		{"exp", "missing", policy.MissingClaim, noClaim("exp"), nil},
		{"exp", "past", policy.ReasonExpired, number("exp", "1799999940"), nil},
		{"exp", "past, with an unknown kid", policy.ReasonExpired, func(f *forged) { f.payload["exp"] = now - 1000; f.header["kid"] = "gone" }, nil},
		{"exp", "zero", policy.ReasonExpired, number("exp", "0"), nil},
		{"exp", "text", malformed, claim("exp", "1800000900"), nil},
		{"exp", "null", malformed, claim("exp", nil), nil},
		{"exp", "true", malformed, claim("exp", true), nil},
		{"exp", "fraction", malformed, number("exp", "1800000900.5"), nil},
		{"exp", "exponent", malformed, number("exp", "1.8e9"), nil},
		{"exp", "overflow of float", malformed, number("exp", "1e400"), nil},
		{"exp", "overflow of int64", malformed, number("exp", "9223372036854775808"), nil},
		{"exp", "wraps to a good value", malformed, number("exp", "18446744075509552516"), nil},
		{"exp", "past the year 9999", malformed, number("exp", "253402300800"), nil},
		{"exp", "negative", malformed, number("exp", "-1"), nil},
		{"exp", "minus zero", malformed, number("exp", "-0"), nil},
		{"exp", "milliseconds", malformed, number("exp", "1800000900000"), nil},
		{"exp", "far away", policy.LifetimeTooLong, number("exp", "253402300799"), nil},
		{"exp", "one second past MaxTTL and skew", policy.LifetimeTooLong, claim("exp", now+3600+61), nil},
		{"exp", "before iat", policy.LifetimeTooLong, func(f *forged) { f.payload["exp"] = now + 10; f.payload["iat"] = now + 20 }, nil},
		{"exp", "same as iat", policy.LifetimeTooLong, claim("exp", now), nil},
		{"iat", "missing", policy.MissingClaim, noClaim("iat"), nil},
		{"iat", "text", malformed, claim("iat", "1800000000"), nil},
		{"iat", "in the future", policy.NotYetValid, claim("iat", now+61), nil},
		{"iat", "long ago", policy.LifetimeTooLong, claim("iat", 0), nil},
		{"nbf", "in the future", policy.NotYetValid, claim("nbf", now+61), nil},
		{"nbf", "text", malformed, claim("nbf", "0"), nil},
		{"nbf", "fraction", malformed, number("nbf", "0.1"), nil},
	}
}

func signatureAttacks() []attack {
	bad := policy.BadSignature
	fixed := func(b []byte) func(*forged) { return signature(func(string, []byte) []byte { return b }) }
	order := elliptic.P256().Params().N
	pair := func(r, s *big.Int) []byte {
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	}
	es, ed, pkcs, pss := []Algorithm{ES256}, []Algorithm{EdDSA}, []Algorithm{RS256}, []Algorithm{PS256}
	identity := make([]byte, 64)
	identity[0] = 1
	return []attack{
		{"signature", "first bit", bad, signature(func(_ string, s []byte) []byte { s[0] ^= 0x80; return s }), nil},
		{"signature", "last bit", bad, signature(func(_ string, s []byte) []byte { s[len(s)-1] ^= 1; return s }), nil},
		{"signature", "one byte short", bad, signature(func(_ string, s []byte) []byte { return s[1:] }), nil},
		{"signature", "one byte long", bad, signature(func(_ string, s []byte) []byte { return append([]byte{0}, s...) }), nil},
		{"signature", "all zero", bad, signature(func(_ string, s []byte) []byte { return make([]byte, len(s)) }), nil},
		{"signature", "one byte", bad, fixed([]byte{1}), nil},
		{"signature", "of another payload", bad, func(f *forged) {
			other := strings.Split(forge(f.algorithm).raw(), ".")
			f.payload["sub"] = "root"
			part(2, func(string) string { return other[2] })(f)
		}, nil},
		{"signature", "of another key of the kind", bad, signature(func(input string, _ []byte) []byte { return mac([]byte("x"), input) }), nil},
		{"ecdsa", "psychic: r = s = 0", bad, fixed(make([]byte, 64)), es},
		{"ecdsa", "r = 0", bad, fixed(pair(new(big.Int), big.NewInt(1))), es},
		{"ecdsa", "s = 0", bad, fixed(pair(big.NewInt(1), new(big.Int))), es},
		{"ecdsa", "r = s = order", bad, fixed(pair(order, order)), es},
		{"ecdsa", "DER", bad, signature(func(input string, _ []byte) []byte {
			digest := sha256.Sum256([]byte(input))
			der, err := ecdsa.SignASN1(rand.Reader, keys()[ES256].signer.(*ecdsa.PrivateKey), digest[:])
			if err != nil {
				panic(err)
			}
			return der
		}), es},
		{"ecdsa", "DER of r = s = 0", bad, fixed(must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int), new(big.Int)}))), es},
		{"ecdsa", "s + order", bad, signature(func(_ string, s []byte) []byte {
			sum := new(big.Int).Add(new(big.Int).SetBytes(s[32:]), order)
			if sum.BitLen() > 256 {
				return make([]byte, 64)
			}
			return pair(new(big.Int).SetBytes(s[:32]), sum)
		}), es},
		{"eddsa", "identity and zero", bad, fixed(identity), ed},
		{"eddsa", "S + order", bad, signature(func(_ string, s []byte) []byte { return addOrder(s) }), ed},
		{"eddsa", "prehashed", bad, signature(func(input string, _ []byte) []byte {
			digest := sha256.Sum256([]byte(input))
			return must(sign(EdDSA, keys()[EdDSA].signer, digest[:]))
		}), ed},
		{"rsa", "PSS signature under RS256", bad, func(f *forged) { f.sign(PS256, RS256) }, pkcs},
		{"rsa", "PKCS #1 signature under PS256", bad, func(f *forged) { f.sign(RS256, PS256) }, pss},
		{"rsa", "PSS with another salt length", bad, signature(func(input string, _ []byte) []byte {
			digest := sha256.Sum256([]byte(input))
			return must(rsa.SignPSS(rand.Reader, keys()[PS256].signer.(*rsa.PrivateKey), 5, digest[:], &rsa.PSSOptions{SaltLength: 20}))
		}), pss},
		{"rsa", "one", bad, fixed(append(make([]byte, 255), 1)), []Algorithm{RS256, PS256}},
		{"rsa", "the modulus", bad, func(f *forged) {
			f.signature = func(string, []byte) []byte { return keys()[f.algorithm].Public().key.(*rsa.PublicKey).N.Bytes() }
		}, []Algorithm{RS256, PS256}},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// addOrder returns the other spelling of an Ed25519 signature that RFC 8032, section 5.1.7 refuses.
func addOrder(s []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	little := slices.Clone(s[32:])
	slices.Reverse(little)
	sum := new(big.Int).Add(new(big.Int).SetBytes(little), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return append(slices.Clone(s[:32]), sum...)
}

func TestAdversarialTokens(t *testing.T) {
	v := testVerifier()
	count := 0
	for _, a := range attacks() {
		on := a.only
		if on == nil {
			on = Algorithms[:]
		}
		for _, algorithm := range on {
			count++
			f := forge(algorithm)
			a.change(f)
			raw := f.raw()
			got := v.Verify(testNow, raw)
			if got.Outcome == policy.Valid || got.Reason != a.want {
				t.Errorf("%s %s/%s: %s %s, want %s", algorithm, a.class, a.name, got.Outcome, got.Reason, a.want)
			}
			if want := outcomeOf(a.want); got.Outcome != want {
				t.Errorf("%s %s/%s: outcome %s, want %s", algorithm, a.class, a.name, got.Outcome, want)
			}
			if got.Claims.Subject != "" || got.KID != "" {
				t.Errorf("%s %s/%s: a refused token leaves claims behind", algorithm, a.class, a.name)
			}
			// Nothing but its age may be forgiven to a token that logs out.
			if again := v.VerifyExpired(testNow, raw); again.Outcome == policy.Valid && a.want != policy.ReasonExpired {
				t.Errorf("%s %s/%s: good enough for logout", algorithm, a.class, a.name)
			}
		}
	}
	if len(attacks()) < 60 {
		t.Errorf("%d attacks only", len(attacks()))
	}
	t.Logf("%d attacks, %d tokens", len(attacks()), count)
}

func outcomeOf(r policy.Reason) policy.Outcome {
	switch r {
	case policy.WrongIssuer:
		return policy.Foreign
	case policy.ReasonExpired:
		return policy.Expired
	default:
		return policy.Invalid
	}
}
