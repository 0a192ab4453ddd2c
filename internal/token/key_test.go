package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

// keys makes one key of each algorithm, once: RSA keys are slow to make.
var keys = sync.OnceValue(func() map[Algorithm]*PrivateKey {
	all := map[Algorithm]*PrivateKey{}
	for _, a := range Algorithms {
		k, err := Generate(a, 0)
		if err != nil {
			panic(err)
		}
		all[a] = k
	}
	return all
})

func TestGenerateRoundTrip(t *testing.T) {
	for _, a := range Algorithms {
		t.Run(string(a), func(t *testing.T) {
			k := keys()[a]
			again, err := ParsePrivate(k.JWK().Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if !again.JWK().Equal(k.JWK()) || again.KID() != k.KID() || again.Algorithm() != a {
				t.Errorf("read back as %s %s", again.Algorithm(), again.KID())
			}
			public, err := ParsePublic(k.Public().JWK())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(public.JWK(), k.Public().JWK()) || public.KID() != k.KID() || public.Algorithm() != a {
				t.Errorf("public half read back as %s", public)
			}
			input := []byte("input")
			signature, err := sign(a, k.signer, input)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifySignature(a, public.key, string(input), signature); err != nil {
				t.Error(err)
			}
			signature[0] ^= 1
			if verifySignature(a, public.key, string(input), signature) == nil {
				t.Error("a changed signature verifies")
			}
		})
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, c := range []struct {
		algorithm Algorithm
		bits      int
	}{{RS256, 1024}, {RS256, 2047}, {PS256, 8192}, {"HS256", 0}, {"none", 0}, {"", 0}, {"rs256", 2048}} {
		if _, err := Generate(c.algorithm, c.bits); err == nil {
			t.Errorf("Generate(%q, %d) made a key", c.algorithm, c.bits)
		}
	}
	if _, err := Generate(ES256, 1024); err != nil {
		t.Errorf("rsaBits matters to ES256: %v", err)
	}
}

func TestJWKSIsDeterministic(t *testing.T) {
	var forward, backward []*PublicKey
	for _, a := range Algorithms {
		forward = append(forward, keys()[a].Public())
		backward = append([]*PublicKey{keys()[a].Public()}, backward...)
	}
	one, other := JWKS(forward), JWKS(backward)
	if !bytes.Equal(one, other) {
		t.Error("the order of the arguments shows")
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(one, &set); err != nil || len(set.Keys) != len(Algorithms) {
		t.Fatalf("%v in %s", err, one)
	}
	for _, k := range set.Keys {
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if _, leaked := k[name]; leaked {
				t.Errorf("the JWKS carries %q", name)
			}
		}
		if k["use"] != "sig" || k["kid"] == "" || k["alg"] == "" {
			t.Errorf("incomplete key %v", k)
		}
	}
	if got := string(JWKS(nil)); got != `{"keys":[]}` {
		t.Error(got)
	}
}

func TestKeySet(t *testing.T) {
	k := keys()[ES256].Public()
	if _, err := NewKeySet(k, k); err == nil {
		t.Error("one kid twice")
	}
	if _, err := NewKeySet(nil); err == nil {
		t.Error("a nil key")
	}
	if _, err := NewKeySet(&PublicKey{}); err == nil {
		t.Error("an empty key")
	}
	set, err := NewKeySet(k, keys()[EdDSA].Public())
	if err != nil || set.Find(k.KID()) != k || set.Find("") != nil || len(set.KIDs()) != 2 {
		t.Errorf("%v %v", set.KIDs(), err)
	}
	if (KeySet{}).Find(k.KID()) != nil {
		t.Error("the zero set knows a key")
	}
}

// edit changes a JWK as text would be changed by hand.
func edit(t *testing.T, document []byte, change func(map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(document, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func set(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}
func drop(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }

func TestParseRefuses(t *testing.T) {
	other := map[Algorithm]*PrivateKey{}
	for _, a := range Algorithms {
		k, err := Generate(a, 0)
		if err != nil {
			t.Fatal(err)
		}
		other[a] = k
	}
	for _, a := range Algorithms {
		private, public := keys()[a].JWK().Reveal(), keys()[a].Public().JWK()
		var foreign map[string]any
		if err := json.Unmarshal(other[a].JWK().Reveal(), &foreign); err != nil {
			t.Fatal(err)
		}
		cases := map[string][]byte{
			"empty": nil, "null": []byte("null"), "array": []byte("[]"), "text": []byte(`"x"`), "no members": []byte("{}"),
			"trailing":         append(bytes.Clone(private), '{', '}'),
			"byte order mark":  append([]byte("\xef\xbb\xbf"), private...),
			"huge":             append(bytes.Clone(private), bytes.Repeat([]byte(" "), MaxJWKBytes)...),
			"duplicate":        bytes.Replace(private, []byte(`{`), []byte(`{"use":"sig",`), 1),
			"escaped twin":     bytes.Replace(private, []byte(`{`), []byte(`{"\u0075se":"sig",`), 1),
			"no kid":           edit(t, private, drop("kid")),
			"kid of another":   edit(t, private, set("kid", foreign["kid"])),
			"kid not a text":   edit(t, private, set("kid", 1)),
			"no alg":           edit(t, private, drop("alg")),
			"alg none":         edit(t, private, set("alg", "none")),
			"alg HS256":        edit(t, private, set("alg", "HS256")),
			"alg of any case":  edit(t, private, set("alg", strings.ToLower(string(a)))),
			"no use":           edit(t, private, drop("use")),
			"use enc":          edit(t, private, set("use", "enc")),
			"kty oct":          edit(t, private, set("kty", "oct")),
			"x5u":              edit(t, private, set("x5u", "https://example.test/")),
			"x5c":              edit(t, private, set("x5c", []string{"MIIB"})),
			"unknown member":   edit(t, private, set("n0", "AA")),
			"member by case":   edit(t, private, set("Kid", keys()[a].KID())),
			"no private half":  public,
			"private of other": edit(t, private, set("d", foreign["d"])),
			"private is zero":  edit(t, private, set("d", encoding.EncodeToString(make([]byte, 32)))),
			"private padded":   edit(t, private, func(m map[string]any) { m["d"] = m["d"].(string) + "=" }),
			"private broken":   edit(t, private, set("d", "a\nb")),
		}
		if a == RS256 || a == PS256 {
			cases["even exponent"] = edit(t, private, set("e", "AAI"))
			cases["small exponent"] = edit(t, private, set("e", "Aw"))
			cases["wrong dp"] = edit(t, private, set("dp", foreign["dp"]))
			cases["wrong qi"] = edit(t, private, set("qi", foreign["qi"]))
			cases["wrong prime"] = edit(t, private, set("p", foreign["p"]))
			cases["modulus of another"] = edit(t, private, set("n", foreign["n"]))
			cases["third prime"] = edit(t, private, set("oth", []any{map[string]any{"r": "AQ"}}))
			cases["no primes"] = edit(t, private, func(m map[string]any) { maps.DeleteFunc(m, func(k string, _ any) bool { return len(k) == 2 }) })
			cases["alg of the curve"] = edit(t, private, set("alg", "ES256"))
		} else {
			cases["x of another"] = edit(t, private, set("x", foreign["x"]))
			cases["wrong curve"] = edit(t, private, set("crv", "P-384"))
			cases["alg of RSA"] = edit(t, private, set("alg", "RS256"))
			cases["short d"] = edit(t, private, set("d", "AQ"))
			cases["long x"] = edit(t, private, set("x", encoding.EncodeToString(append([]byte{1}, make([]byte, 32)...))))
		}
		for name, document := range cases {
			if _, err := ParsePrivate(document); err == nil {
				t.Errorf("%s: a private key with %s is accepted", a, name)
			} else if d, _ := foreign["d"].(string); d != "" && strings.Contains(err.Error(), d) {
				t.Errorf("%s: the error for %s quotes the key", a, name)
			}
		}
		publics := map[string][]byte{
			"a private half": private, "nothing": nil, "a wrong kid": edit(t, public, set("kid", foreign["kid"])),
			"another alg": edit(t, public, set("alg", "none")), "key_ops": edit(t, public, set("key_ops", []string{"verify"})),
			"no use": edit(t, public, drop("use")),
		}
		for name, document := range publics {
			if _, err := ParsePublic(document); err == nil {
				t.Errorf("%s: a public key with %s is accepted", a, name)
			}
		}
	}
}

// withThumbprint gives a public key of chosen numbers the kid that belongs to it, so that only the numbers are wrong.
func withThumbprint(t *testing.T, m map[string]any) []byte {
	t.Helper()
	required := map[string][]string{"RSA": {"e", "kty", "n"}, "EC": {"crv", "kty", "x", "y"}, "OKP": {"crv", "kty", "x"}}[m["kty"].(string)]
	parts := make([]string, 0, len(required))
	for _, name := range required {
		parts = append(parts, fmt.Sprintf("%q:%q", name, m[name]))
	}
	m["kid"] = sha256URL([]byte("{" + strings.Join(parts, ",") + "}"))
	m["use"] = "sig"
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParsePublicRefusesWeakNumbers(t *testing.T) {
	modulus := func(bits int) string {
		n := make([]byte, bits/8)
		if _, err := rand.Read(n); err != nil {
			t.Fatal(err)
		}
		n[0] |= 0x80
		n[len(n)-1] |= 1
		return encoding.EncodeToString(n)
	}
	p256 := elliptic.P256().Params()
	cases := map[string]map[string]any{
		"RSA 1024":      {"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": modulus(1024)},
		"RSA 2040":      {"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": modulus(2040)},
		"RSA 8192":      {"kty": "RSA", "alg": "PS256", "e": "AQAB", "n": modulus(8192)},
		"RSA e=3":       {"kty": "RSA", "alg": "RS256", "e": "Aw", "n": modulus(2048)},
		"RSA e=1":       {"kty": "RSA", "alg": "RS256", "e": "AQ", "n": modulus(2048)},
		"EC off curve":  {"kty": "EC", "alg": "ES256", "crv": "P-256", "x": encoding.EncodeToString(p256.Gx.Bytes()), "y": encoding.EncodeToString(p256.Gx.Bytes())},
		"EC zero":       {"kty": "EC", "alg": "ES256", "crv": "P-256", "x": encoding.EncodeToString(make([]byte, 32)), "y": encoding.EncodeToString(make([]byte, 32))},
		"EC long":       {"kty": "EC", "alg": "ES256", "crv": "P-256", "x": encoding.EncodeToString(p256.Gx.Bytes()), "y": encoding.EncodeToString(append(p256.Gy.Bytes(), 1))},
		"EC P-384":      {"kty": "EC", "alg": "ES256", "crv": "P-384", "x": modulus(384), "y": modulus(384)},
		"Ed25519 short": {"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": "AQ"},
		"X25519":        {"kty": "OKP", "alg": "EdDSA", "crv": "X25519", "x": modulus(256)},
	}
	for _, point := range smallOrderPoints {
		raw, _ := hex.DecodeString(point)
		cases["Ed25519 "+point[:8]] = map[string]any{"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": encoding.EncodeToString(raw)}
		signed := bytes.Clone(raw)
		signed[31] |= 0x80
		cases["Ed25519 negative "+point[:8]] = map[string]any{"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": encoding.EncodeToString(signed)}
	}
	for name, m := range cases {
		if _, err := ParsePublic(withThumbprint(t, m)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	// The same way of making a document accepts a good key: the refusals above come from the numbers.
	good := map[string]any{"kty": "EC", "alg": "ES256", "crv": "P-256", "x": encoding.EncodeToString(p256.Gx.Bytes()), "y": encoding.EncodeToString(p256.Gy.Bytes())}
	if _, err := ParsePublic(withThumbprint(t, good)); err != nil {
		t.Errorf("the generator of P-256: %v", err)
	}
}

// The table of small-order points is right if each of them verifies messages nobody signed: with R the identity and
// S = 0 about one message in eight passes.
func TestSmallOrderPointsForge(t *testing.T) {
	forgery := make([]byte, ed25519.SignatureSize)
	forgery[0] = 1
	for _, point := range smallOrderPoints {
		raw, _ := hex.DecodeString(point)
		forged := false
		for i := 0; i < 2000 && !forged; i++ {
			forged = ed25519.Verify(raw, fmt.Appendf(nil, "message %d", i), forgery)
		}
		if !forged {
			t.Errorf("%s does not look like a point of small order", point)
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	for _, a := range Algorithms {
		k := keys()[a]
		var m map[string]string
		if err := json.Unmarshal(k.JWK().Reveal(), &m); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", k)
		marshalled, _ := json.Marshal(map[string]any{"key": k})
		signer := NewSigner(k)
		shown := fmt.Sprintf("%v %+v %#v %s %q %x", k, k, k, k, k, k) + fmt.Sprintf("%v %+v %#v", signer, signer, signer) + log.String() + string(marshalled)
		for _, name := range []string{"d", "p", "q"} {
			if m[name] != "" && strings.Contains(shown, m[name]) {
				t.Errorf("%s: %q shows", a, name)
			}
			if raw, _ := decodeSegment(m[name]); len(raw) > 0 && strings.Contains(shown, hex.EncodeToString(raw)) {
				t.Errorf("%s: %q shows in hexadecimal", a, name)
			}
		}
	}
}

func TestBits(t *testing.T) {
	for _, row := range []struct {
		algorithm Algorithm
		bits      int
	}{{RS256, 2048}, {PS256, 3072}, {ES256, 0}, {EdDSA, 0}} {
		key, err := Generate(row.algorithm, row.bits)
		if err != nil {
			t.Fatal(err)
		}
		if got := key.Public().Bits(); got != row.bits {
			t.Errorf("%s: %d bits, want %d", row.algorithm, got, row.bits)
		}
	}
}

func TestLongNamesAreClippedInErrors(t *testing.T) {
	key, err := Generate(ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	long := edit(t, key.Public().JWK(), set("alg", strings.Repeat("A", 4000)))
	if _, err := ParsePublic(long); err == nil || len(err.Error()) > 500 {
		t.Errorf("error of %d bytes: %.100v", len(fmt.Sprint(err)), err)
	}
}
