package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/keyturn/keyturn/internal/policy"
)

func sha256URL(b []byte) string {
	sum := sha256.Sum256(b)
	return encoding.EncodeToString(sum[:])
}

// The published answers: RFC 7638, section 3.1; RFC 8037, appendix A.3.
func TestThumbprintKnownAnswers(t *testing.T) {
	cases := map[string]string{
		`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
	}
	for document, want := range cases {
		key, err := jwk.ParseKey([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := thumbprint(key); err != nil || got != want {
			t.Errorf("%s, want %s (%v)", got, want, err)
		}
	}
}

// The published signatures: RFC 7515, appendix A.2 (RS256) and A.3 (ES256); RFC 8037, appendix A.4 and A.5 (EdDSA).
func TestSignatureKnownAnswers(t *testing.T) {
	cases := []struct {
		algorithm Algorithm
		key       string
		token     string
	}{
		{RS256, `{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`,
			"eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
		{ES256, `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
		{EdDSA, `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
	}
	for _, c := range cases {
		parsed, err := jwk.ParseKey([]byte(c.key))
		if err != nil {
			t.Fatal(err)
		}
		var raw any
		if err := parsed.Raw(&raw); err != nil {
			t.Fatal(err)
		}
		var key crypto.PublicKey
		switch k := raw.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			key = k
		}
		dot := strings.LastIndexByte(c.token, '.')
		input := c.token[:dot]
		signature, ok := decodeSegment(c.token[dot+1:])
		if !ok {
			t.Fatal("the signature is not base64url")
		}
		for _, a := range Algorithms {
			if err := verifySignature(a, key, input, signature); (err == nil) != (a == c.algorithm) {
				t.Errorf("the %s example checked as %s: %v", c.algorithm, a, err)
			}
		}
		if verifySignature(c.algorithm, key, input+".", signature) == nil {
			t.Errorf("%s: a longer input verifies", c.algorithm)
		}
	}
}

// The published texts are made again, byte for byte, where the signature is deterministic: RFC 7515, appendix A.2; RFC 8037,
// appendix A.4.
func TestSigningKnownAnswers(t *testing.T) {
	number := func(text string) *big.Int {
		raw, ok := decodeSegment(text)
		if !ok {
			t.Fatal("not base64url")
		}
		return new(big.Int).SetBytes(raw)
	}
	p := number("4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc")
	q := number("uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc")
	one := big.NewInt(1)
	d := new(big.Int).ModInverse(big.NewInt(rsaExponent), new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)))
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: rsaExponent}, D: d, Primes: []*big.Int{p, q}}
	key.Precompute()
	for _, c := range []struct {
		algorithm        Algorithm
		key              crypto.Signer
		input, signature string
	}{
		{RS256, key, "eyJhbGciOiJSUzI1NiJ9." + joe, "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
		{EdDSA, fuzzKey(t).signer, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
	} {
		got, err := sign(c.algorithm, c.key, []byte(c.input))
		if err != nil || encoding.EncodeToString(got) != c.signature {
			t.Errorf("%s: %s, %v", c.algorithm, encoding.EncodeToString(got), err)
		}
	}
}

// joe is the payload of most examples: {"iss":"joe", "exp":1300819380, "http://example.com/is_root":true} with line breaks.
const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

// The published tokens are none of ours, good as most of them are: none is an access token of RFC 9068. Each is refused
// for what it is by a verifier of their own issuer in their own year, and is foreign or malformed to any other.
func TestPublishedTokensAreRefused(t *testing.T) {
	set, err := NewKeySet(keys()[RS256].Public())
	if err != nil {
		t.Fatal(err)
	}
	theirs := &Verifier{Issuer: "joe", AnyAudience: true, Keys: set, MaxTTL: time.Hour, Skew: time.Minute}
	then := time.Unix(1300819380-60, 0)
	for name, c := range map[string]struct {
		raw  string
		want policy.Reason
		ours policy.Reason
	}{
		"RFC 7515 A.1 and RFC 7519 3.1, HS256": {"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", policy.WrongType, policy.WrongIssuer},
		"RFC 7515 A.2, RS256":                  {"eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw", policy.WrongType, policy.WrongIssuer},
		"RFC 7515 A.3, ES256":                  {"eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", policy.WrongType, policy.WrongIssuer},
		"RFC 7515 A.5 and RFC 7519 6.1, none":  {"eyJhbGciOiJub25lIn0." + joe + ".", policy.MalformedToken, policy.MalformedToken},
		"RFC 7515 A.7, flattened": {`{"payload":"` + joe + `","protected":"eyJhbGciOiJFUzI1NiJ9","header":{"kid":"e9bc097a-ce51-4036-9562-d2ade882db0d"},"signature":"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"}`,
			policy.MalformedToken, policy.MalformedToken},
		"RFC 7515 appendix F, detached":     {"eyJhbGciOiJFUzI1NiJ9..DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", policy.MalformedToken, policy.MalformedToken},
		"RFC 7797 4.2, not encoded":         {"eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19.$.02.A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY", policy.MalformedToken, policy.MalformedToken},
		"RFC 8037 A.4, a payload of a text": {"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg", policy.MalformedToken, policy.MalformedToken},
	} {
		if got := theirs.Verify(then, c.raw); got.Reason != c.want || got.Outcome != policy.Invalid {
			t.Errorf("%s: %s %s, want %s", name, got.Outcome, got.Reason, c.want)
		}
		if got := testVerifier().Verify(then, c.raw); got.Reason != c.ours || got.Outcome == policy.Valid {
			t.Errorf("%s, to us: %s %s, want %s", name, got.Outcome, got.Reason, c.ours)
		}
	}
}

// Each algorithm both ways with another implementation: what jwx signs is good here, what is minted here is good there.
func TestTogetherWithAnotherLibrary(t *testing.T) {
	for _, a := range Algorithms {
		set, err := jwk.Parse(JWKS([]*PublicKey{keys()[a].Public()}))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := NewSigner(keys()[a]).Sign(claims())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jwt.Parse([]byte(ours.Reveal()), jwt.WithKeySet(set), jwt.WithValidate(false)); err != nil {
			t.Errorf("%s: minted here, refused by jwx: %v", a, err)
		}
		private, err := jwk.ParseKey(keys()[a].JWK().Reveal())
		if err != nil {
			t.Fatal(err)
		}
		headers := jws.NewHeaders()
		if err := headers.Set("typ", Type); err != nil {
			t.Fatal(err)
		}
		payload, err := claims().encode()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := jws.Sign(payload, jws.WithKey(jwa.SignatureAlgorithm(a), private, jws.WithProtectedHeaders(headers)))
		if err != nil {
			t.Fatal(err)
		}
		if got := testVerifier().Verify(testNow, string(theirs)); got.Outcome != policy.Valid {
			t.Errorf("%s: minted by jwx: %s %s", a, got.Outcome, got.Reason)
		}
	}
}
