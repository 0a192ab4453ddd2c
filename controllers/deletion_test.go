package controllers

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

func (w *world) gone(object interface{ GetName() string }, check func() bool) {
	w.Helper()
	w.eventually(object.GetName()+" is gone", func() string {
		if check() {
			return "it is there"
		}
		return ""
	})
}

// TestRetain: a set in use stays, works on and says why; its keys outlive it, and a set of that name adopts them.
func TestRetain(t *testing.T) {
	w := settled(t)
	active, standby, epoch := w.ring().Active().KID, w.ring().Standby().KID, w.ring().Epoch
	w.remove(w.newSet())
	w.eventually("the set is kept", func() string {
		return want(w.set().Status.Conditions, "Ready", "False InUse")
	})
	w.step(25 * time.Hour)
	w.request("while deletion waits")
	w.state(standby, keys.Active)
	w.state(active, keys.Retiring)
	w.remove(w.newService())
	w.gone(w.newSet(), func() bool { return w.get(&keyturnv1alpha1.SigningKeySet{}, setName) })
	left := w.ring()
	if left == nil || left.Active().KID != standby || left.Epoch < epoch {
		t.Fatalf("the ring that is left: %+v", left)
	}
	w.create(w.newSet())
	w.create(w.newService())
	w.eventually("the keys are adopted", func() string {
		ring := w.ring()
		if ring == nil || ring.Active() == nil {
			return "no key signs"
		}
		if ring.Active().KID != standby {
			t.Fatalf("another key signs: %s", ring.Active().KID)
		}
		if !slices.Contains(w.events(), "RingAdopted") {
			return "no Event RingAdopted"
		}
		return ""
	})
	if ring := w.ring(); ring.Key(active) == nil || ring.Epoch < left.Epoch {
		t.Errorf("the adopted ring: %+v", ring)
	}
}

// TestDestroy: ring, keys and JWKS go, and nothing of others.
func TestDestroy(t *testing.T) {
	w := newWorld(t)
	foreign := &corev1.ConfigMap{ObjectMeta: w.meta("main-other")}
	w.create(foreign)
	set := w.newSet()
	set.Spec.DeletionPolicy = keyturnv1alpha1.DeletionDestroy
	w.create(set)
	w.eventually("the set is ready", func() string { return want(w.set().Status.Conditions, "Ready", "True Ready") })
	first := w.ring().Active().Sequence
	w.remove(w.newSet())
	w.gone(set, func() bool { return w.get(&keyturnv1alpha1.SigningKeySet{}, setName) })
	for _, name := range []string{keysecret.RingName(setName), keysecret.KeyName(setName, first), keysecret.KeyName(setName, first+1)} {
		if w.get(&corev1.Secret{}, name) {
			t.Errorf("Secret %s is left", name)
		}
	}
	if w.get(&corev1.ConfigMap{}, keysecret.JWKSName(setName)) {
		t.Error("the JWKS is left")
	}
	if !w.get(&corev1.ConfigMap{}, foreign.Name) {
		t.Error("somebody else's ConfigMap is gone")
	}
}

// TestDestroySparesForeign: objects of those names that are not the set's stay.
func TestDestroySparesForeign(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.ConfigMap{ObjectMeta: w.meta(keysecret.JWKSName(setName)), Data: map[string]string{"mine": "x"}})
	w.create(&corev1.Secret{ObjectMeta: w.meta(keysecret.RingName(setName))})
	set := w.newSet()
	set.Spec.DeletionPolicy = keyturnv1alpha1.DeletionDestroy
	w.create(set)
	w.eventually("the set is refused", func() string {
		return want(w.set().Status.Conditions, "Ready", "False ForeignObject")
	})
	w.remove(w.newSet())
	w.gone(set, func() bool { return w.get(&keyturnv1alpha1.SigningKeySet{}, setName) })
	if !w.get(&corev1.ConfigMap{}, keysecret.JWKSName(setName)) || !w.get(&corev1.Secret{}, keysecret.RingName(setName)) {
		t.Error("somebody else's object was deleted")
	}
}
