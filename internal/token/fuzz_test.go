package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
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

// fuzzWorld is a verifier of ours and one of jwx for the same key.
type fuzzWorld struct {
	key *PrivateKey
	our *Verifier
	set jwk.Set
}

func newFuzzWorld(tb testing.TB) *fuzzWorld {
	w := &fuzzWorld{key: fuzzKey(tb)}
	public, err := NewKeySet(w.key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	w.our = &Verifier{Issuer: testIssuer, Audiences: []string{testAudience}, Keys: public, MaxTTL: time.Hour, Skew: time.Minute}
	if w.set, err = jwk.Parse(JWKS([]*PublicKey{w.key.Public()})); err != nil {
		tb.Fatal(err)
	}
	return w
}

// seeds are the texts of all hostile and all good tokens.
func (w *fuzzWorld) seeds(add func(header, payload []byte)) {
	key := forgingKey(w.key)
	for _, c := range append(setting().Cases(key), setting().Variants(key)...) {
		if len(c.Raw) <= 2<<10 {
			add([]byte(c.Header), []byte(c.Payload))
		}
	}
}

// judge signs whatever header and payload it is given with a good key, so that only the reading stands between the
// input and acceptance. What Keyturn accepts, jwx must accept, and must read with the same claims.
func (w *fuzzWorld) judge(t *testing.T, head, body []byte) {
	input := encoding.EncodeToString(head) + "." + encoding.EncodeToString(body)
	signature := make([]byte, 64)
	if new(parsed).parse(input + ".AAAA") { // the others need no signature to be refused
		var err error
		if signature, err = sign(EdDSA, w.key.signer, []byte(input)); err != nil {
			t.Fatal(err)
		}
	}
	raw := input + "." + encoding.EncodeToString(signature)
	got := w.our.Verify(testNow, raw)
	if got.Outcome == policy.Unknown || got.Reason == "" || (got.Reason == policy.OK) != (got.Outcome == policy.Valid) {
		t.Fatalf("no answer: %+v", got)
	}
	if got.Reason == policy.BadSignature {
		t.Fatalf("a good signature is refused: %q %q", head, body)
	}
	if got.Outcome != policy.Valid {
		return
	}
	other, err := jwt.Parse([]byte(raw), jwt.WithKeySet(w.set), jwt.WithIssuer(testIssuer), jwt.WithAudience(testAudience), jwt.WithAcceptableSkew(time.Minute),
		jwt.WithClock(jwt.ClockFunc(func() time.Time { return testNow })))
	if err != nil {
		t.Fatalf("accepted here, refused by jwx (%v): %q %q", err, head, body)
	}
	c := got.Claims
	if other.Issuer() != c.Issuer || other.Subject() != c.Subject || other.JwtID() != c.ID || !slices.Equal(other.Audience(), c.Audience) ||
		!other.Expiration().Equal(c.ExpiresAt) || !other.IssuedAt().Equal(c.IssuedAt) {
		t.Fatalf("read differently: %q", body)
	}
	for name, want := range map[string]string{"client_id": c.ClientID, "sid": c.SessionID} {
		if value, given := other.Get(name); given && value != want || !given && want != "" {
			t.Fatalf("%s is %q here, %q there: %q", name, want, value, body)
		}
	}
	for name, want := range c.Custom {
		if value, _ := other.Get(name); value != want {
			t.Fatalf("%s is %q here, %q there: %q", name, want, value, body)
		}
	}
}

// FuzzVerify changes header and payload under a good signature.
func FuzzVerify(f *testing.F) {
	w := newFuzzWorld(f)
	w.seeds(func(header, payload []byte) { f.Add(header, payload) })
	f.Fuzz(w.judge)
}

// FuzzClaims changes the payload under a good header.
func FuzzClaims(f *testing.F) {
	w := newFuzzWorld(f)
	w.seeds(func(_, payload []byte) { f.Add(payload) })
	head := []byte(`{"alg":"EdDSA","kid":"` + w.key.KID() + `","typ":"at+jwt"}`)
	f.Fuzz(func(t *testing.T, body []byte) { w.judge(t, head, body) })
}

// FuzzParse compares the reader of the compact serialization with the standard library: what it accepts is three
// segments that have no other spelling, and two objects.
func FuzzParse(f *testing.F) {
	key := forgingKey(fuzzKey(f))
	for _, c := range append(setting().Cases(key), setting().Variants(key)...) {
		if len(c.Raw) <= 2<<10 {
			f.Add(c.Raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p := new(parsed)
		ok := p.parse(raw)
		if !ok {
			return
		}
		parts := strings.Split(raw, ".")
		if len(parts) != 3 || p.input != parts[0]+"."+parts[1] {
			t.Fatalf("%q: signed over %q", raw, p.input)
		}
		for i, part := range parts {
			plain, err := base64.RawURLEncoding.Strict().DecodeString(part)
			if err != nil || base64.RawURLEncoding.EncodeToString(plain) != part {
				t.Fatalf("%q is accepted: %v", part, err)
			}
			if i == 2 {
				if !bytes.Equal(plain, p.signature) {
					t.Fatalf("%q is the signature %x", part, p.signature)
				}
				continue
			}
			var want map[string]json.RawMessage
			if err := json.Unmarshal(plain, &want); err != nil || len(want) != len([]object{p.header, p.payload}[i]) {
				t.Fatalf("%q: %d members, %v", plain, len(want), err)
			}
		}
	})
}

// FuzzDecodeSegment compares the decoder with the standard library's, which is strict but for line breaks.
func FuzzDecodeSegment(f *testing.F) {
	for _, s := range []string{"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "AA==", "+/+/", "-_-_", "AA\r\n", "é", "\xff\xff\xff\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := base64.RawURLEncoding.Strict().DecodeString(s)
		good := err == nil && !strings.ContainsAny(s, "\r\n")
		if got, ok := decodeSegment(s); ok != good || ok && !bytes.Equal(got, want) {
			t.Fatalf("%q: %x %v here, %x %v there", s, got, ok, want, err)
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

// FuzzParsePublic: what is accepted has one form, which is accepted too, and no private half.
func FuzzParsePublic(f *testing.F) {
	for _, a := range Algorithms {
		f.Add(keys()[a].Public().JWK())
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		k, err := ParsePublic(document)
		if err != nil {
			return
		}
		again, err := ParsePublic(k.JWK())
		if err != nil || again.KID() != k.KID() || again.Algorithm() != k.Algorithm() || !bytes.Equal(again.JWK(), k.JWK()) {
			t.Fatalf("accepted once, then %v", err)
		}
		if _, err := ParsePrivate(document); err == nil {
			t.Fatal("a private key is taken for a public one")
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
