package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var testNow = time.Unix(1_800_000_000, 0)

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// testKey is a key of somebody else's.
type testKey struct {
	kid, alg string
	signer   crypto.Signer
}

// testKeys are one key of each kind, and a stranger's with the kid of the first.
var testKeys = sync.OnceValue(func() map[string]testKey {
	made := map[string]testKey{}
	for _, name := range []string{"rsa", "stranger"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		made[name] = testKey{"rsa-1", "RS256", key}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	made["ec"] = testKey{"ec-1", "ES256", ec}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	made["ed"] = testKey{"ed-1", "EdDSA", ed}
	return made
})

func (k testKey) sign(alg, input string) []byte {
	digest := sha256.Sum256([]byte(input))
	switch key := k.signer.(type) {
	case *rsa.PrivateKey:
		var out []byte
		var err error
		if alg == "PS256" {
			out, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			out, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		}
		if err != nil {
			panic(err)
		}
		return out
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			panic(err)
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input))
	}
	panic("no such key")
}

func (k testKey) jwk() map[string]any {
	out := map[string]any{"kid": k.kid, "use": "sig"}
	switch key := k.signer.Public().(type) {
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64(key.N.Bytes()), "AQAB"
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err)
		}
		out["kty"], out["crv"], out["x"], out["y"], out["alg"] = "EC", "P-256", b64(point[1:33]), b64(point[33:]), "ES256"
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"], out["alg"] = "OKP", "Ed25519", b64(key), "EdDSA"
	}
	return out
}

func jwksOf(keys ...testKey) []byte {
	list := []any{}
	for _, k := range keys {
		list = append(list, k.jwk())
	}
	raw, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		panic(err)
	}
	return raw
}

// forged is a token made by hand: every part can be wrong on its own while the signature is right.
type forged struct {
	key             testKey
	header, payload map[string]any
	// headerText and payloadText change the JSON.
	headerText, payloadText func(string) string
	signature               func(input string, good []byte) []byte
	raw                     func(string) string
}

func (f *forged) token() string {
	header, payload := ordered(f.header), ordered(f.payload)
	if f.headerText != nil {
		header = f.headerText(header)
	}
	if f.payloadText != nil {
		payload = f.payloadText(payload)
	}
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	alg, _ := f.header["alg"].(string)
	signature := f.key.sign(alg, input)
	if f.signature != nil {
		signature = f.signature(input, signature)
	}
	raw := input + "." + b64(signature)
	if f.raw != nil {
		raw = f.raw(raw)
	}
	return raw
}

// ordered writes members by name; a json.RawMessage is written as it stands.
func ordered(m map[string]any) string {
	parts := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		quoted, _ := json.Marshal(name)
		value, ok := m[name].(json.RawMessage)
		if !ok {
			value, _ = json.Marshal(m[name])
		}
		parts = append(parts, string(quoted)+":"+string(value))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (f *forged) signWith(name, alg string) {
	f.key = testKeys()[name]
	f.header["alg"], f.header["kid"] = alg, f.key.kid
}

const (
	testIssuer  = "https://login.example.test/realm"
	testClient  = "shop"
	testCluster = "https://kubernetes.default.svc.cluster.local"
	ourIssuer   = "https://auth.example.test"
)

func forgeID() *forged {
	key := testKeys()["rsa"]
	return &forged{
		key:    key,
		header: map[string]any{"alg": "RS256", "kid": key.kid, "typ": "JWT"},
		payload: map[string]any{
			"iss": testIssuer, "sub": "auth0|4711", "aud": testClient, "exp": testNow.Unix() + 600, "iat": testNow.Unix() - 10,
			"nonce": "n", "email": "alice@example.test", "roles": []string{"admin", "user"}, "team": "blue", "level": 7,
		},
	}
}

func forgeAccount() *forged {
	key := testKeys()["rsa"]
	return &forged{
		key:    key,
		header: map[string]any{"alg": "RS256", "kid": key.kid},
		payload: map[string]any{
			"iss": testCluster, "sub": "system:serviceaccount:jobs:nightly", "aud": []string{ourIssuer}, "jti": "j",
			"iat": testNow.Unix() - 10, "nbf": testNow.Unix() - 10, "exp": testNow.Unix() + 3590,
			"kubernetes.io": map[string]any{"namespace": "jobs", "serviceaccount": map[string]any{"name": "nightly", "uid": "u"}, "pod": map[string]any{"name": "p", "uid": "v"}},
		},
	}
}

func replaced(old, with string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic(fmt.Sprintf("the attack changes nothing: %q is not in %q", old, s))
		}
		return strings.Replace(s, old, with, 1)
	}
}

func TestForgeIsRight(t *testing.T) {
	for _, k := range testKeys() {
		if _, err := readKeySet(jwksOf(k)); err != nil {
			t.Errorf("%s: %v", k.alg, err)
		}
	}
}
