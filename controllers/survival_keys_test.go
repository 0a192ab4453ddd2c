package controllers

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

// forgery is what somebody makes of the Secret of a private half, which is immutable: it is deleted and made anew.
type forgery struct {
	name string
	make func(a *attack, secret *corev1.Secret)
}

// keyForgeries are edits of a private half. Each leaves it useless: the key is lost, and nothing else happens.
var keyForgeries = []forgery{
	{"emptied", func(_ *attack, s *corev1.Secret) { s.Data = nil }},
	{"garbage", func(_ *attack, s *corev1.Secret) { fill(s, func([]byte) []byte { return []byte("{]") }) }},
	{"cut short", func(_ *attack, s *corev1.Secret) { fill(s, func(b []byte) []byte { return b[:len(b)/2] }) }},
	{"one letter changed", func(_ *attack, s *corev1.Secret) {
		fill(s, func(b []byte) []byte {
			at := len(b) / 2
			b[at] ^= 1
			return b
		})
	}},
	{"the public half only", func(a *attack, s *corev1.Secret) {
		fill(s, func([]byte) []byte { return a.before.Standby().PublicJWK })
	}},
	{"an attacker's key", func(a *attack, s *corev1.Secret) { a.become(s, a.foreign, a.owner()) }},
	{"another algorithm's key", func(a *attack, s *corev1.Secret) {
		other, err := token.Generate("EdDSA", 0)
		if err != nil {
			a.Fatal(err)
		}
		a.become(s, other, a.owner())
	}},
	{"another tenant's", func(a *attack, s *corev1.Secret) {
		a.become(s, a.foreign, keysecret.Owner{Namespace: "other", Name: setName})
	}},
	{"the key that signs", func(a *attack, s *corev1.Secret) {
		var active corev1.Secret
		a.get(&active, keysecret.KeyName(setName, a.before.Active().Sequence))
		s.Data, s.Annotations = active.Data, active.Annotations
	}},
	{"another type", func(_ *attack, s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque; s.Data = nil }},
	{"another set's label", func(_ *attack, s *corev1.Secret) {
		s.Labels[keyturnv1alpha1.LabelSigningKeySet] = "other"
		s.Data = nil
	}},
	{"an attacker's key without labels", func(a *attack, s *corev1.Secret) {
		a.become(s, a.foreign, a.owner())
		s.Labels = nil
	}},
}

// fill changes every value of a Secret.
func fill(s *corev1.Secret, change func([]byte) []byte) {
	data := maps.Clone(s.Data)
	for k, v := range data {
		data[k] = change(append([]byte(nil), v...))
	}
	s.Data = data
}

// become makes the Secret that of another key, as well formed as it can be.
func (a *attack) become(s *corev1.Secret, private *token.PrivateKey, owner keysecret.Owner) {
	a.Helper()
	forged, err := keysecret.EncodeKey(owner, a.before.Standby().Sequence, private)
	if err != nil {
		a.Fatal(err)
	}
	s.Data, s.Annotations = forged.Data, forged.Annotations
}

// TestEditedKeys: the private half of the key that is next is edited in a dozen ways. None of them ever signs or is published:
// the key is given up, another is made, and the one that signs goes on.
func TestEditedKeys(t *testing.T) {
	w := settled(t)
	for _, f := range keyForgeries {
		w.Run(f.name, func(t *testing.T) {
			local := &world{T: t, ctx: w.ctx, ns: w.ns, clock: w.clock, fleet: w.fleet}
			local.substitute(f)
		})
		if w.Failed() {
			return
		}
	}
}

func (w *world) substitute(f forgery) {
	a := w.attack()
	live, _ := kids(a.before)
	w.fleet.holds(live...)
	defer w.fleet.report(w.T)
	standby := a.before.Standby()
	var secret corev1.Secret
	if !w.get(&secret, keysecret.KeyName(setName, standby.Sequence)) {
		w.Fatal("the standby has no Secret")
	}
	w.remove(&secret)
	forged := &corev1.Secret{Type: secret.Type, Data: secret.Data, Immutable: secret.Immutable}
	forged.Namespace, forged.Name, forged.Labels, forged.Annotations = secret.Namespace, secret.Name, secret.Labels, secret.Annotations
	f.make(a, forged)
	w.create(forged)
	w.eventually("another key is next", func() string {
		ring := w.ring()
		if ring == nil {
			return "there is no ring"
		}
		if ring.Key(a.foreign.KID()) != nil {
			w.Fatal("the attacker's key is in the ring")
		}
		if k := ring.Active(); k == nil || k.KID != a.before.Active().KID {
			w.Fatal("another key signs")
		}
		if next := ring.Standby(); next == nil || next.KID == standby.KID || next.State != keys.Published {
			return "it is not"
		}
		return w.unhealthy()
	})
}
