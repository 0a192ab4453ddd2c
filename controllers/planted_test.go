package controllers

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

// planted checks that the attacker's key is where it was put and nowhere else.
func (a *attack) planted(secret *corev1.Secret) {
	a.Helper()
	a.eventually("settle", a.unhealthy)
	if _, all := kids(a.ring()); slices.Contains(all, a.foreign.KID()) {
		a.Error("the ring holds the attacker's key")
	}
	a.eventsTell(keyturnv1alpha1.ReasonKeySecretInvalid)
	version := secret.ResourceVersion
	if !a.get(secret, secret.Name) || secret.ResourceVersion != version {
		a.Error("somebody else's Secret was touched")
	}
}

func (w *world) attack() *attack {
	w.Helper()
	foreign, err := token.Generate("ES256", 0)
	if err != nil {
		w.Fatal(err)
	}
	return &attack{world: w, before: w.ring(), foreign: foreign}
}

// TestPlantedFirstKey: a private half that waits under the name of the first key does not become it.
func TestPlantedFirstKey(t *testing.T) {
	w := newWorld(t)
	a := w.attack()
	secret := a.plant(1)
	w.declare()
	a.planted(secret)
}

// TestPlantedNextKey: nor does one under the name of the next. Who may only create Secrets gets no key published.
func TestPlantedNextKey(t *testing.T) {
	w := settled(t)
	a := w.attack()
	secret := a.plant(a.before.NextSequence)
	second := a.before.Standby().KID
	w.step(25 * time.Hour)
	w.request("now")
	w.eventually("the standby takes over", func() string {
		if w.ring().Active().KID != second {
			return "it does not"
		}
		return ""
	})
	a.planted(secret)
	if !w.get(&corev1.Secret{}, keysecret.KeyName(setName, a.before.NextSequence+1)) {
		t.Error("the number after it was not used")
	}
}
