package keysecret_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

func TestKeyRoundTrip(t *testing.T) {
	for _, a := range token.Algorithms {
		private := generate(t, a, 2048)
		secret, err := keysecret.EncodeKey(owner, 7, private)
		if err != nil {
			t.Fatal(err)
		}
		got, public, err := keysecret.DecodeKey(secret, owner, 7)
		if err != nil {
			t.Fatal(err)
		}
		want := keys.Key{KID: private.KID(), Algorithm: keys.Algorithm(a), Bits: private.Public().Bits(), Sequence: 7, PublicJWK: private.Public().JWK()}
		if diff := cmp.Diff(want, public); diff != "" {
			t.Errorf("%s: %s", a, diff)
		}
		if !got.JWK().Equal(private.JWK()) {
			t.Errorf("%s: another private key came back", a)
		}
		if secret.Immutable == nil || !*secret.Immutable || secret.Type != "keyturn.dev/signing-key" || secret.Name != "main-7" {
			t.Errorf("%s: immutable %v, type %q, name %q", a, secret.Immutable, secret.Type, secret.Name)
		}
	}
}

func TestEditedKeyIsRefused(t *testing.T) {
	mine, other := generate(t, token.ES256, 0), generate(t, token.ES256, 0)
	encode := func(o keysecret.Owner, seq int64, k *token.PrivateKey) *corev1.Secret {
		s, err := keysecret.EncodeKey(o, seq, k)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	renamed := func(s *corev1.Secret) *corev1.Secret {
		s.Namespace, s.Name = "shop", "main-7"
		return s
	}
	changed := func(key, from, to string) func(*corev1.Secret) {
		return func(s *corev1.Secret) {
			text := string(s.Data[key])
			if !strings.Contains(text, from) {
				t.Fatalf("%s has no %q to edit", key, from)
			}
			s.Data[key] = []byte(strings.Replace(text, from, to, 1))
		}
	}
	for name, c := range map[string]struct {
		edit   func(*corev1.Secret)
		reason string
	}{
		"no data":         {func(s *corev1.Secret) { s.Data = nil }, keysecret.ReasonUndecodable},
		"garbage":         {func(s *corev1.Secret) { s.Data["private.jwk"] = []byte("garbage") }, keysecret.ReasonInvalid},
		"no private key":  {func(s *corev1.Secret) { delete(s.Data, "private.jwk") }, keysecret.ReasonInvalid},
		"no binding":      {func(s *corev1.Secret) { delete(s.Data, "binding.json") }, keysecret.ReasonUndecodable},
		"unknown version": {changed("binding.json", "/v1", "/v9"), keysecret.ReasonUndecodable},
		"unknown member":  {changed("binding.json", "{", `{"extra":1,`), keysecret.ReasonUndecodable},
		"of another type": {func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, keysecret.ReasonForeign},
		"renamed":         {func(s *corev1.Secret) { s.Name = "main-8" }, keysecret.ReasonForeign},
		"of another namespace": {func(s *corev1.Secret) {
			*s = *renamed(encode(keysecret.Owner{Namespace: "evil", Name: "main"}, 7, mine))
		}, keysecret.ReasonForeign},
		"of another set": {func(s *corev1.Secret) {
			*s = *renamed(encode(keysecret.Owner{Namespace: "shop", Name: "other"}, 7, mine))
		}, keysecret.ReasonForeign},
		"of another number":     {func(s *corev1.Secret) { *s = *renamed(encode(owner, 8, mine)) }, keysecret.ReasonForeign},
		"swapped private keys":  {func(s *corev1.Secret) { s.Data["private.jwk"] = other.JWK().Reveal() }, keysecret.ReasonInvalid},
		"only the public half":  {func(s *corev1.Secret) { s.Data["private.jwk"] = mine.Public().JWK() }, keysecret.ReasonInvalid},
		"another kid":           {changed("binding.json", mine.KID(), other.KID()), keysecret.ReasonInvalid},
		"another algorithm":     {changed("binding.json", "ES256", "EdDSA"), keysecret.ReasonInvalid},
		"kid no thumbprint":     {changed("private.jwk", mine.KID(), "b41e02aa"), keysecret.ReasonInvalid},
		"use encryption":        {changed("private.jwk", `"sig"`, `"enc"`), keysecret.ReasonInvalid},
		"an undersized RSA key": {func(s *corev1.Secret) { s.Data["private.jwk"] = []byte(undersized) }, keysecret.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := encode(owner, 7, mine)
			c.edit(s)
			private, _, err := keysecret.DecodeKey(s, owner, 7)
			refused(t, err, c.reason)
			if private != nil {
				t.Error("a refused key was returned")
			}
			hides(t, err, mine, other)
		})
	}
}

// undersized has the shape of a private RSA key of 512 bits.
var undersized = fmt.Sprintf(`{"kty":"RSA","kid":"x","alg":"RS256","use":"sig","e":"AQAB","n":%q,"d":%q,"p":%q,"q":%q,"dp":%q,"dq":%q,"qi":%q}`,
	number(64), number(64), number(32), number(32), number(32), number(32), number(32))

func number(n int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\x9d", n)))
}
