package controllers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

// ownKeys is the Secret with the keys that the owner brings.
const ownKeys = "my-keys"

// own is a key that the owner made: its text and its kid.
type own struct{ text, kid string }

func ownKey(t *testing.T, made any) own {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	b, err := token.ParseBrought([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return own{text, b.KID()}
}

func ownEC(t *testing.T) own {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ownKey(t, key)
}

func ownRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ownJWK is one in the other form.
func ownJWK(t *testing.T) own {
	t.Helper()
	key, err := token.Generate(token.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	return own{string(key.JWK().Reveal()), key.KID()}
}

// bring puts entries into the owner's Secret, as kubectl edit does; an empty text takes one out.
func (w *world) bring(pairs ...string) {
	w.Helper()
	put := func(s *corev1.Secret) {
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		for i := 0; i < len(pairs); i += 2 {
			if s.Data[pairs[i]] = []byte(pairs[i+1]); pairs[i+1] == "" {
				delete(s.Data, pairs[i])
			}
		}
	}
	secret := &corev1.Secret{ObjectMeta: w.meta(ownKeys)}
	if !w.get(&corev1.Secret{}, ownKeys) {
		put(secret)
		w.create(secret)
		return
	}
	edit(w, secret, put)
}

func broughtFrom(name string) func(*keyturnv1alpha1.SigningKeySet, *keyturnv1alpha1.TokenPolicy, *keyturnv1alpha1.TokenService) {
	return func(s *keyturnv1alpha1.SigningKeySet, _ *keyturnv1alpha1.TokenPolicy, _ *keyturnv1alpha1.TokenService) {
		s.Spec.KeySource = &keyturnv1alpha1.KeySource{SecretRef: keyturnv1alpha1.SecretReference{Name: name}}
	}
}

// setSays waits for a condition of the set, and for words in its message.
func (w *world) setSays(kind, status string, words ...string) {
	w.Helper()
	w.eventually(kind+" says "+status, func() string {
		list := w.set().Status.Conditions
		message := conditionMessage(list, kind)
		for _, word := range words {
			if !strings.Contains(message, word) {
				return message + "\ndoes not say " + word
			}
		}
		return want(list, kind, status)
	})
}

// has waits for a shape of the ring, and holds some numbers to the kids that they should have.
func (w *world) has(shape string, kids map[int64]string) {
	w.Helper()
	check := w.shape
	if strings.Contains(shape, "Published") { // else the system is not well: nothing stands by
		check = w.whole
	}
	w.eventually("the ring is "+shape, func() string { return check(shape) })
	for _, k := range w.ring().Keys {
		if want, asked := kids[k.Sequence]; asked && (k.KID != want || !k.Brought) {
			w.Errorf("number %d is key %s, brought %t, want %s", k.Sequence, short(k.KID), k.Brought, short(want))
		}
	}
}

const noneLeft = "Secret my-keys holds no ES256 key that was not used yet: add an entry"

// TestBroughtKeys lives the life of a set whose keys are brought: nothing is ever made, each entry is used once, and whoever looks is
// told when one is missing.
func TestBroughtKeys(t *testing.T) {
	w := newWorld(t)
	first, second, third, fourth := ownEC(t), ownJWK(t), ownEC(t), ownJWK(t)
	w.declare(broughtFrom(ownKeys))
	const absent = "Secret my-keys, which spec.keySource names, does not exist: create it"
	w.setSays("ResolvedRefs", "False SecretNotFound", absent)
	w.setSays("Ready", "False NoKeyLeft", absent)
	if ring := w.ring(); ring != nil && len(ring.Keys) > 0 {
		t.Fatal("a key was made where one is to be brought")
	}

	w.bring("2026-01.pem", first.text, "tls.crt", "a certificate, which is no key")
	w.has("1 Active", map[int64]string{1: first.kid})
	w.setSays("ResolvedRefs", "True Resolved", "1 keys for ES256, 0 not used yet")
	w.setSays("StandbyReady", "False NoKeyLeft", "0 of 1 standby keys are published: "+noneLeft)
	if next := w.set().Status; next.NextTransition == nil || next.NextTransition.BlockedBy != noneLeft {
		t.Errorf("the next step is %+v", next.NextTransition)
	}
	w.bring("2026-02.json", second.text)
	w.has("1 Active, 2 Published", map[int64]string{1: first.kid, 2: second.kid})
	w.setSays("StandbyReady", "True AsExpected")

	w.step(25 * time.Hour)
	w.request("now")
	w.eventually("it rotates, and the first goes", func() string { w.expire(); return w.shape("2 Active, 1 Removed") })
	w.step(800 * time.Hour) // the second is due, and the first entry, which is used, is no heir
	w.setSays("RotationOverdue", "True RotationOverdue", noneLeft)
	if next := w.set().Status.Next; next != "rotate waits for a key to take" {
		t.Errorf("the column says %q", next)
	}
	w.has("2 Active, 1 Removed", map[int64]string{2: second.kid})

	w.bring("2026-02.json", third.text) // in place
	w.eventually("the standby is there", func() string { return w.shape("2 Active, 3 Published, 1 Removed") })
	w.step(25 * time.Hour)
	w.eventually("it rotates", func() string { w.expire(); return w.shape("3 Active, 1 Removed, 2 Removed") })

	w.revoke("leak", third.kid)
	w.setSays("RevocationPending", "True RevocationPending", "signs until another key takes over: "+noneLeft)
	w.has("3 Active, 1 Removed, 2 Removed", map[int64]string{3: third.kid})
	w.bring("2026-04.json", fourth.text, "2026-05.json", second.text, "2026-06.pem", third.text)
	w.revoked(third.kid, 3)
	w.has("4 Active, 1 Removed, 2 Removed, 3 Revoked", map[int64]string{4: fourth.kid})
	w.usedForEver(first, second, third, fourth)
}

// usedForEver: what was taken is remembered in the ring and in the status, and no key returns, not even to a ring that was lost.
func (w *world) usedForEver(all ...own) {
	w.Helper()
	active := w.ring().Active().KID
	w.remove(&corev1.Secret{ObjectMeta: w.meta(keysecret.RingName(setName))})
	w.eventually("the ring is rebuilt", func() string {
		if ring := w.ring(); ring == nil || ring.Active() == nil || w.set().Status.Epoch != ring.Epoch {
			return "there is no ring, or the status is of another"
		}
		return ""
	})
	w.touch()
	w.setSays("StandbyReady", "False NoKeyLeft", noneLeft)
	ring, status := w.ring(), w.set().Status
	if len(ring.Keys) != 1 || ring.Active().KID != active {
		w.Errorf("after the loss of the ring its keys are %+v", ring.Keys)
	}
	for _, o := range all {
		if !slices.Contains(ring.Taken, o.kid) || !slices.Contains(status.TakenKids, o.kid) {
			w.Errorf("key %s is forgotten: ring %v, status %v", short(o.kid), ring.Taken, status.TakenKids)
		}
	}
	w.eventsTell("KeyTaken", "SecretNotFound", "NoKeyLeft")
}

// TestBroughtEntriesAreRefused: each with its name and a way out, and the good one beside them is used.
func TestBroughtEntriesAreRefused(t *testing.T) {
	w := newWorld(t)
	good := ownEC(t)
	w.bring("a.json", weakJWK(), "b.pem", good.text, "c.pem", good.text, "d.txt", "hunter2-hunter2-hunter2")
	w.declare(broughtFrom(ownKeys))
	w.has("1 Active", map[int64]string{1: good.kid})
	w.setSays("ResolvedRefs", "False KeyRefused", "entry a.json is refused: the RSA modulus has 1024 bits, which is too weak",
		"entry c.pem is refused: it is the same key as entry b.pem", "entry d.txt is refused: it is neither a PEM block nor a JWK", "1 keys for ES256, 0 not used yet")
	w.setSays("StandbyReady", "False NoKeyLeft", "of its 4 entries 3 are refused")
	if message := fmt.Sprint(w.set().Status.Conditions); strings.Contains(message, "hunter2") {
		t.Errorf("a message quotes an entry: %s", message)
	}

	other := ownKey(t, ownRSA(t, 2048))
	w.bring("a.json", other.text, "c.pem", "", "d.txt", "")
	w.setSays("ResolvedRefs", "True Resolved", "for another algorithm, and not taken until spec.algorithm says so: a.json (RS256 or PS256)")
	w.has("1 Active", map[int64]string{1: good.kid})

	w.remove(&corev1.Secret{ObjectMeta: w.meta(ownKeys)})
	w.touch()
	w.setSays("ResolvedRefs", "False SecretNotFound")
	w.setSays("Ready", "True Ready") // what was taken goes on
	w.has("1 Active", map[int64]string{1: good.kid})

	edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) { s.Spec.KeySource.SecretRef.Name = "other-1" })
	secret, err := keysecret.EncodeKey(keysecret.Owner{Namespace: w.ns, Name: "other"}, 1, must(token.Generate(token.ES256, 0)))
	if err != nil {
		t.Fatal(err)
	}
	secret.Labels = nil
	w.create(secret)
	w.setSays("ResolvedRefs", "False KeyRefused", "Secret other-1 is one in which Keyturn keeps keys itself")
	w.has("1 Active", map[int64]string{1: good.kid})
}

// weakJWK is an RSA key of 1024 bits, as far as anybody looks: the size is asked first.
func weakJWK() string {
	number := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xab}, 128))
	out := `{"kty":"RSA","e":"AQAB"`
	for _, name := range []string{"n", "d", "p", "q", "dp", "dq", "qi"} {
		out += `,"` + name + `":"` + number + `"`
	}
	return out + "}"
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
