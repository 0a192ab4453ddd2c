package keysecret_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

// TestDependencies keeps the mapping pure: no client.
func TestDependencies(t *testing.T) {
	deptest.Forbid(t, "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/keyturn/keyturn/controllers")
}

var (
	owner = keysecret.Owner{Namespace: "shop", Name: "main"}
	noon  = time.Date(2026, 6, 1, 12, 0, 0, 123456789, time.UTC)
)

func generate(t *testing.T, a token.Algorithm, bits int) *token.PrivateKey {
	t.Helper()
	k, err := token.Generate(a, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sample is a ring with a key in each state.
func sample(t *testing.T) *keys.Ring {
	t.Helper()
	r := &keys.Ring{Epoch: 41, Revision: 12, NextSequence: 6, RotateHandled: "2026-05-01T00:00:00Z", Tombstones: []keys.Tombstone{
		{KID: "gone", Sequence: 1, State: keys.Revoked, Time: noon.Add(-time.Hour)},
	}}
	add := func(state keys.State, a token.Algorithm, change func(*keys.Key)) {
		private := generate(t, a, 2048)
		public := private.Public()
		k := keys.Key{
			KID: public.KID(), Algorithm: keys.Algorithm(a), Bits: public.Bits(), Sequence: int64(len(r.Keys) + 2), State: state,
			PublicJWK: public.JWK(), Created: noon.Add(-4 * time.Hour),
		}
		change(&k)
		r.Keys = append(r.Keys, k)
	}
	signed := func(k *keys.Key) {
		k.Published, k.Activated, k.MaxTTL = noon.Add(-3*time.Hour), noon.Add(-2*time.Hour), 15*time.Minute
	}
	add(keys.Retiring, token.RS256, func(k *keys.Key) {
		signed(k)
		k.Retiring, k.VerifyUntil = noon.Add(-time.Hour), noon.Add(time.Hour)
	})
	add(keys.Active, token.PS256, signed)
	add(keys.Published, token.ES256, func(k *keys.Key) { k.Published = noon })
	add(keys.Pending, token.EdDSA, func(*keys.Key) {})
	return r
}

func ringSecret(t *testing.T, r *keys.Ring) *corev1.Secret {
	t.Helper()
	s, err := keysecret.EncodeRing(owner, r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRingRoundTrip(t *testing.T) {
	want := sample(t)
	secret := ringSecret(t, want)
	got, err := keysecret.DecodeRing(secret, owner)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Error(diff)
	}
	again := ringSecret(t, &got)
	if keysecret.Digest(again) != keysecret.Digest(secret) {
		t.Error("the digest of the same ring differs")
	}
	got.Epoch++
	if keysecret.Digest(ringSecret(t, &got)) == keysecret.Digest(secret) {
		t.Error("another ring has the same digest")
	}
	if secret.Name != "main-ring" || secret.Type != "keyturn.dev/ring" || secret.Labels["keyturn.dev/signing-key-set"] != "main" || secret.Labels["app.kubernetes.io/managed-by"] == "" {
		t.Errorf("name %q, type %q, labels %v", secret.Name, secret.Type, secret.Labels)
	}
	if len(secret.OwnerReferences) > 0 {
		t.Error("deleting the set would take its keys along")
	}
	if _, err := keysecret.EncodeRing(owner, &keys.Ring{Keys: want.Keys}); err == nil {
		t.Error("an invalid ring was written")
	}
}

// edit changes the JSON of a ring as a person with kubectl would.
func edit(change func(ring map[string]any)) func(*testing.T, *corev1.Secret) {
	return func(t *testing.T, s *corev1.Secret) {
		var doc map[string]any
		if err := json.Unmarshal(s.Data["ring.json"], &doc); err != nil {
			t.Fatal(err)
		}
		change(doc)
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		s.Data["ring.json"] = raw
	}
}

func nth(ring map[string]any, i int) map[string]any { return ring["keys"].([]any)[i].(map[string]any) }

func setKey(i int, member string, value any) func(*testing.T, *corev1.Secret) {
	return edit(func(r map[string]any) { nth(r, i)[member] = value })
}

func raw(text string) func(*testing.T, *corev1.Secret) {
	return func(_ *testing.T, s *corev1.Secret) { s.Data["ring.json"] = []byte(text) }
}

func TestEditedRingIsRefused(t *testing.T) {
	good := sample(t)
	for name, c := range map[string]struct {
		edit   func(*testing.T, *corev1.Secret)
		reason string
	}{
		"no data":              {func(_ *testing.T, s *corev1.Secret) { s.Data = nil }, keysecret.ReasonUndecodable},
		"garbage":              {raw("\x00\xff{"), keysecret.ReasonUndecodable},
		"null":                 {raw("null"), keysecret.ReasonUndecodable},
		"too large":            {raw(`{"format":"` + strings.Repeat("x", 1<<20) + `"}`), keysecret.ReasonUndecodable},
		"something follows":    {func(_ *testing.T, s *corev1.Secret) { s.Data["ring.json"] = append(s.Data["ring.json"], "{}"...) }, keysecret.ReasonUndecodable},
		"unknown version":      {edit(func(r map[string]any) { r["format"] = "keyturn.dev/ring/v9" }), keysecret.ReasonUndecodable},
		"unknown member":       {edit(func(r map[string]any) { r["extra"] = 1 }), keysecret.ReasonUndecodable},
		"unknown key member":   {setKey(0, "private", "x"), keysecret.ReasonUndecodable},
		"epoch as text":        {edit(func(r map[string]any) { r["epoch"] = "41" }), keysecret.ReasonUndecodable},
		"bad lifetime":         {setKey(1, "maxTTL", "-1h"), keysecret.ReasonUndecodable},
		"of another set":       {edit(func(r map[string]any) { r["set"] = "shop/other" }), keysecret.ReasonForeign},
		"of another namespace": {edit(func(r map[string]any) { r["set"] = "evil/main" }), keysecret.ReasonForeign},
		"moved to a namespace": {func(_ *testing.T, s *corev1.Secret) { s.Namespace = "evil" }, keysecret.ReasonForeign},
		"renamed":              {func(_ *testing.T, s *corev1.Secret) { s.Name = "other-ring" }, keysecret.ReasonForeign},
		"of another type":      {func(_ *testing.T, s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, keysecret.ReasonForeign},
		"a kid edited":         {setKey(0, "kid", "b41e02aa"), keysecret.ReasonInvalid},
		"two keys swapped":     {edit(func(r map[string]any) { nth(r, 0)["jwk"], nth(r, 1)["jwk"] = nth(r, 1)["jwk"], nth(r, 0)["jwk"] }), keysecret.ReasonInvalid},
		"a public key edited":  {edit(func(r map[string]any) { nth(r, 3)["jwk"].(map[string]any)["x"] = strings.Repeat("A", 43) }), keysecret.ReasonInvalid},
		"no public key":        {setKey(0, "jwk", nil), keysecret.ReasonInvalid},
		"another algorithm":    {setKey(0, "alg", "PS256"), keysecret.ReasonInvalid},
		"another size":         {setKey(0, "bits", 4096), keysecret.ReasonInvalid},
		"two active keys": {edit(func(r map[string]any) {
			nth(r, 0)["state"] = "Active"
			delete(nth(r, 0), "retiring")
			delete(nth(r, 0), "verifyUntil")
		}), keysecret.ReasonInvalid},
		"an unknown state":      {setKey(0, "state", "Sleeping"), keysecret.ReasonInvalid},
		"standby made active":   {setKey(2, "state", "Active"), keysecret.ReasonInvalid},
		"times out of order":    {setKey(1, "activated", "2020-01-01T00:00:00Z"), keysecret.ReasonInvalid},
		"a sequence twice":      {setKey(0, "sequence", 3), keysecret.ReasonInvalid},
		"a sequence to come":    {setKey(3, "sequence", 99), keysecret.ReasonInvalid},
		"a buried key returned": {edit(func(r map[string]any) { r["tombstones"].([]any)[0].(map[string]any)["kid"] = nth(r, 0)["kid"] }), keysecret.ReasonInvalid},
		"a negative epoch":      {edit(func(r map[string]any) { r["epoch"] = -1 }), keysecret.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := ringSecret(t, good).DeepCopy()
			before := keysecret.Digest(s)
			c.edit(t, s)
			_, err := keysecret.DecodeRing(s, owner)
			refused(t, err, c.reason)
			if c.reason == keysecret.ReasonInvalid && keysecret.Digest(s) == before {
				t.Error("the edit did not change the digest: the test edits nothing")
			}
		})
	}
}

func refused(t *testing.T, err error, reason string) {
	t.Helper()
	var r *keysecret.RefusedError
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if r.Reason != reason {
		t.Errorf("reason %s (%s), want %s", r.Reason, r.Message, reason)
	}
}

// hides checks that no way to print a value shows a private key.
func hides(t *testing.T, v any, private ...*token.PrivateKey) {
	t.Helper()
	out := fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v)
	if j, err := json.Marshal(v); err == nil {
		out += string(j)
	}
	for _, k := range private {
		var jwk map[string]string
		if err := json.Unmarshal(k.JWK().Reveal(), &jwk); err != nil {
			t.Fatal(err)
		}
		if len(jwk["d"]) < 40 {
			t.Fatal("the test knows no private member")
		}
		if strings.Contains(out, jwk["d"]) {
			t.Errorf("%T prints a private key", v)
		}
	}
}

func TestNothingPrintsKeys(t *testing.T) {
	private := generate(t, token.ES256, 0)
	secret, err := keysecret.EncodeKey(owner, 7, private)
	if err != nil {
		t.Fatal(err)
	}
	got, public, err := keysecret.DecodeKey(secret, owner, 7)
	if err != nil {
		t.Fatal(err)
	}
	hides(t, got, private)
	hides(t, public, private)
	ring := &keys.Ring{Epoch: 1, NextSequence: 8, Keys: []keys.Key{public}}
	ring.Keys[0].State, ring.Keys[0].Created = keys.Pending, noon
	hides(t, ringSecret(t, ring).Data["ring.json"], private)
	hides(t, string(ringSecret(t, ring).Data["ring.json"]), private)
	m, err := keysecret.EncodeJWKS(owner, ring)
	if err != nil {
		t.Fatal(err)
	}
	hides(t, m.Data, private)
}

func TestJWKS(t *testing.T) {
	ring := sample(t)
	one, err := keysecret.EncodeJWKS(owner, ring)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(one.Data["jwks.json"]), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 4 || one.Annotations["keyturn.dev/jwks-revision"] != "12" || one.Name != "main-jwks" {
		t.Errorf("%d keys, annotations %v, name %q", len(set.Keys), one.Annotations, one.Name)
	}
	two, err := keysecret.EncodeJWKS(owner, ring.Clone())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, two); diff != "" || !keysecret.SameJWKS(one, two) {
		t.Errorf("the projection is not deterministic: %s", diff)
	}
	for name, change := range map[string]func(*corev1.ConfigMap){
		"data":        func(m *corev1.ConfigMap) { m.Data["jwks.json"] += " " },
		"another key": func(m *corev1.ConfigMap) { m.Data["more"] = "" },
		"binary data": func(m *corev1.ConfigMap) { m.BinaryData = map[string][]byte{"x": nil} },
		"label":       func(m *corev1.ConfigMap) { m.Labels["keyturn.dev/signing-key-set"] = "other" },
		"annotation":  func(m *corev1.ConfigMap) { m.Annotations = nil },
	} {
		edited := one.DeepCopy()
		if change(edited); keysecret.SameJWKS(edited, two) {
			t.Errorf("an edit of %s is not noticed", name)
		}
	}
	ring.Keys[0].PublicJWK = []byte("{}")
	if _, err := keysecret.EncodeJWKS(owner, ring); err == nil {
		t.Error("a broken public key was published")
	}
}

func TestSequence(t *testing.T) {
	for name, want := range map[string]int64{"main-1": 1, "main-42": 42, "main-0": 0, "main--1": 0, "main-01": 0, "main-1-2": 0, "main-ring": 0, "other-1": 0, "main-+1": 0, "main-99999999999999999999": 0} {
		if n, ok := keysecret.Sequence("main", name); ok != (want > 0) || ok && n != want {
			t.Errorf("%s: %d %t, want %d", name, n, ok, want)
		}
	}
}
