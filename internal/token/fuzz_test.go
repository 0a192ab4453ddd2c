package token

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/keyturn/keyturn/internal/policy"
)

// The keys of the fuzz targets are fixed, so that what was found once is found again from its file.
const (
	fuzzSeed = `{"alg":"EdDSA","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kty":"OKP","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
)

func fuzzKey(tb testing.TB) *PrivateKey {
	k, err := ParsePrivate([]byte(fuzzSeed))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// FuzzVerify signs whatever header and payload it is given with a good key, so that only the reading stands between
// the input and acceptance. What Keyturn accepts, jwx must accept, and must read as the same user.
func FuzzVerify(f *testing.F) {
	k := fuzzKey(f)
	public, err := NewKeySet(k.Public())
	if err != nil {
		f.Fatal(err)
	}
	v := &Verifier{Issuer: testIssuer, Audiences: []string{testAudience}, Keys: public, MaxTTL: time.Hour, Skew: time.Minute}
	set, err := jwk.Parse(JWKS([]*PublicKey{k.Public()}))
	if err != nil {
		f.Fatal(err)
	}
	seeds := setting()
	for _, c := range append(seeds.Cases(forgingKey(k)), seeds.Variants(forgingKey(k))...) {
		if len(c.Raw) <= 4<<10 {
			f.Add([]byte(c.Header), []byte(c.Payload))
		}
	}
	f.Fuzz(func(t *testing.T, head, body []byte) {
		input := encoding.EncodeToString(head) + "." + encoding.EncodeToString(body)
		signature, err := sign(EdDSA, k.signer, []byte(input))
		if err != nil {
			t.Fatal(err)
		}
		raw := input + "." + encoding.EncodeToString(signature)
		got := v.Verify(testNow, raw)
		if got.Outcome == policy.Unknown || got.Reason == "" {
			t.Fatalf("no answer: %+v", got)
		}
		if got.Outcome != policy.Valid {
			return
		}
		other, err := jwt.Parse([]byte(raw), jwt.WithKeySet(set), jwt.WithIssuer(testIssuer), jwt.WithAudience(testAudience), jwt.WithAcceptableSkew(time.Minute),
			jwt.WithClock(jwt.ClockFunc(func() time.Time { return testNow })))
		if err != nil {
			t.Fatalf("accepted here, refused by jwx (%v): %q %q", err, head, body)
		}
		if other.Subject() != got.Claims.Subject || other.JwtID() != got.Claims.ID || !other.Expiration().Equal(got.Claims.ExpiresAt) {
			t.Fatalf("read differently: %q", body)
		}
	})
}

// FuzzVerifyText throws text at Verify: it must neither panic nor accept what it did not make.
func FuzzVerifyText(f *testing.F) {
	v := testVerifier()
	for _, c := range setting().Cases(forgingKey(keys()[EdDSA])) {
		if len(c.Raw) < 4<<10 {
			f.Add(c.Raw)
		}
	}
	for _, s := range []string{"", ".", "..", "...", "e30.e30.AA", "a.b.c", "\x00", "Bearer x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if got := v.Verify(testNow, raw); got.Outcome == policy.Valid || got.Outcome == policy.Unknown {
			t.Fatalf("%q: %+v", raw, got)
		}
	})
}

// FuzzReadObject compares the reader with encoding/json: what it accepts, the library accepts, with the same values.
func FuzzReadObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, ` { "a" : [ 1 , -0.5e+3 , "x\u00e9\ud83d\ude00" , null ] } `, `{"a":1,"a":2}`, `{"a":{"b":{}}}`, `{"a":01}`, `{"a":"\ud800"}`,
		`{"a":1}{}`, `[]`, `{"a":tru}`, `{"\u0061":1,"a":2}`, `{"":""}`, `{"a":"\"\\\/\b\f\n\r\t"}`, "{\"a\":\"\x7f\"}", `{"a":1e}`, `{"a":-}`, `{"a":.5}`, `{"a":"\`, `{"a"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := readObject(string(raw))
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("accepted here, refused by encoding/json (%v): %q", err, raw)
		}
		if err := json.Unmarshal(raw, new(any)); err != nil {
			t.Fatalf("accepted here, a value refused by encoding/json (%v): %q", err, raw)
		}
		if len(want) != len(o) {
			t.Fatalf("%d members here, %d there: %q", len(o), len(want), raw)
		}
		for _, m := range o {
			if string(want[m.name]) != m.raw {
				t.Fatalf("%q: %q here, %q there", m.name, m.raw, want[m.name])
			}
			var text string
			if s, ok := asString(m.raw); ok && (json.Unmarshal([]byte(m.raw), &text) != nil || text != s) {
				t.Fatalf("%q: text %q here, %q there", m.name, s, text)
			}
			var list []string
			if l, ok := asWords(m.raw); ok && m.raw[0] == '[' && (json.Unmarshal([]byte(m.raw), &list) != nil || len(l) != len(list)) {
				t.Fatalf("%q: list %q here, %q there", m.name, l, list)
			}
		}
	})
}

// FuzzParsePrivate must neither panic nor accept a key whose kid is not its thumbprint.
func FuzzParsePrivate(f *testing.F) {
	f.Add([]byte(fuzzSeed))
	for _, a := range Algorithms {
		f.Add(keys()[a].JWK().Reveal())
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		k, err := ParsePrivate(document)
		if err != nil {
			return
		}
		again, err := ParsePrivate(k.JWK().Reveal())
		if err != nil || again.KID() != k.KID() {
			t.Fatalf("accepted once, then %v", err)
		}
	})
}
