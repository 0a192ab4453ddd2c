package token

import (
	"crypto/x509"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

func wrongJWK() []refusedEntry {
	o := owners()
	rsaJWK, ec, ed := numbersOf(o.rsa).jwk(), ecJWK(o.ec), edJWK(o.ed)
	small := *o.ec
	small.D = big.NewInt(1) //nolint:staticcheck // what no generator makes
	return []refusedEntry{
		{"no JSON", "{", "not one JSON object"},
		{"a member twice", strings.Replace(with(ed), `"crv"`, `"crv":"Ed25519","crv"`, 1), "not one JSON object"},
		{"something after", with(ed) + with(ed), "not one JSON object"},
		{"a shared secret", `{"kty":"oct","k":"c2VjcmV0"}`, "shared secret"},
		{"no kind", with(ed, "kty", nil), "kty must be"},
		{"an unknown kind", with(ed, "kty", "AKP"), "kty must be"},
		{"use enc", with(rsaJWK, "use", "enc"), "use is not sig"},
		{"use no string", with(rsaJWK, "use", 1), "use is not sig"},
		{"key_ops without sign", with(ec, "key_ops", []string{"verify"}), "key_ops must name sign"},
		{"key_ops with more", with(rsaJWK, "key_ops", []string{"sign", "decrypt"}), "key_ops must name sign"},
		{"key_ops no list", with(rsaJWK, "key_ops", map[string]any{}), "key_ops must name sign"},
		{"alg of another kind", with(ec, "alg", "RS256"), "alg is none that its kind"},
		{"alg unknown", with(rsaJWK, "alg", "RS512"), "alg is none that its kind"},
		{"alg none", with(rsaJWK, "alg", "none"), "alg is none that its kind"},
		{"a certificate inside", with(rsaJWK, "x5c", []string{"AA"}), "has a member that a private signing key does not have"},
		{"an address inside", with(ed, "x5u", "https://evil.example"), "has a member that a private signing key does not have"},
		{"only the public half", with(ec, "d", nil), "is a public key"},
		{"RSA without primes", with(rsaJWK, "p", nil), "p is missing"},
		{"padded base64", with(ed, "d", ed["d"].(string)+"="), "d is missing or not canonical"},
		{"d is empty", with(ed, "d", ""), "d is missing or not canonical"},
		{"P-384", with(ec, "crv", "P-384"), "crv must be P-256"},
		{"secp256k1", with(ec, "crv", "secp256k1"), "crv must be P-256"},
		{"X25519", with(ed, "crv", "X25519"), "crv must be Ed25519"},
		{"a curve in RSA", with(rsaJWK, "crv", "P-256"), "has a member that"},
		{"x of another point", with(ec, "x", ec["y"]), "public point does not belong"},
		{"x too short", with(ec, "x", "AAAA"), "x and y must have 32 bytes"},
		{"d = 0", with(ec, "d", encoding.EncodeToString(make([]byte, 32))), "between 1 and the order"},
		{"d beyond the order", with(ec, "d", strings.Repeat("_", 42)+"8"), "between 1 and the order"},
		{"d = 1", with(ecJWK(&small), "x", ec["x"]), "can be guessed"},
		{"another's Ed25519 half", with(ed, "x", ec["x"]), "public half does not belong"},
	}
}

// FuzzParseBrought: nothing panics, nothing is quoted, and what is taken signs and reads back as itself.
func FuzzParseBrought(f *testing.F) {
	o := owners()
	for _, entry := range []string{
		block("PRIVATE KEY", pkcs8Of(o.rsa)), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(o.rsa)), block("PRIVATE KEY", pkcs8Of(o.ec)),
		block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(o.ec))), block("PRIVATE KEY", pkcs8Of(o.ed)), block("PRIVATE KEY", withPublic(pkcs8Of(o.ed), o.ed[32:])),
		with(numbersOf(o.rsa).jwk(), "use", "sig", "alg", "PS256", "key_ops", []string{"sign"}), with(ecJWK(o.ec)), with(edJWK(o.ed)),
	} {
		f.Add([]byte(entry))
	}
	for _, rows := range [][]refusedEntry{wrongPEM(), wrongJWK()} {
		for _, c := range rows {
			if len(c.entry) < 4<<10 {
				f.Add([]byte(c.entry))
			}
		}
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		b, err := ParseBrought(entry)
		if err != nil {
			if b != nil {
				t.Fatal("refused, and returned")
			}
			refusalsQuoteNothing(t, entry, err)
			return
		}
		for _, a := range b.Algorithms() {
			k, _ := b.Key(a)
			signs(t, k, b.KID())
			var members map[string]string
			if err := json.Unmarshal(k.JWK().Reveal(), &members); err != nil {
				t.Fatal(err)
			}
			again, err := ParseBrought(k.JWK().Reveal())
			if err != nil || again.KID() != b.KID() {
				t.Fatalf("its own JWK is not taken: %v", err)
			}
		}
	})
}
