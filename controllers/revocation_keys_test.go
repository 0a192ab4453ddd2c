package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// revoke creates an accepted Revocation of a key.
func (w *world) revoke(name, kid string) {
	w.Helper()
	rev := &keyturnv1alpha1.Revocation{ObjectMeta: w.meta(name), Spec: keyturnv1alpha1.RevocationSpec{
		Key:    &keyturnv1alpha1.KeyRevocation{SigningKeySetRef: keyturnv1alpha1.SigningKeySetReference{Name: setName}, Kid: kid},
		Reason: "it was found in a log",
	}}
	w.create(rev)
	w.eventually("the Revocation is accepted", func() string {
		w.get(rev, name)
		now := metav1.NewTime(w.clock.Now())
		accepted := metav1.Condition{Type: keyturnv1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: keyturnv1alpha1.ReasonAccepted, LastTransitionTime: now}
		if want(rev.Status.Conditions, "Accepted", "True Accepted") == "" {
			return ""
		}
		rev.Status.Conditions = append(rev.Status.Conditions, accepted)
		if err := admin.Status().Update(w.ctx, rev); err != nil && !isConflict(err) {
			w.Fatal(err)
		}
		return "not yet"
	})
}

// revoked waits until the ring has a kid as revoked and nothing is left of the key.
func (w *world) revoked(kid string, sequence int64) {
	w.Helper()
	w.eventually("key "+short(kid)+" is revoked", func() string {
		ring := w.ring()
		if ring == nil || ring.Key(kid) != nil {
			return "it is in the ring"
		}
		stone := func(t keys.Tombstone) bool { return t.KID == kid && t.State == keys.Revoked }
		if !slices.ContainsFunc(ring.Tombstones, stone) {
			return "no tombstone says so"
		}
		if w.get(&corev1.Secret{}, keysecret.KeyName(setName, sequence)) {
			return "its private half is there"
		}
		var jwks corev1.ConfigMap
		if w.get(&jwks, keysecret.JWKSName(setName)); strings.Contains(jwks.Data["jwks.json"], kid) {
			return "the JWKS has it"
		}
		if !slices.Contains(w.set().Status.RevokedKids, kid) {
			return "the status does not remember it"
		}
		return want(w.set().Status.Conditions, "RevocationPending", "False AsExpected")
	})
}

// TestRevokedKey: the standby takes over without a wait, the old key verifies until the signers have left it, and is gone.
func TestRevokedKey(t *testing.T) {
	w := settled(t)
	first, second := *w.ring().Active(), *w.ring().Standby()
	w.fleet.set("signer", fault{lag: true})
	w.revoke("leak", first.KID)
	w.state(second.KID, keys.Active)
	w.state(first.KID, keys.Retiring)
	w.eventually("it says for whom it waits", func() string {
		conditions := w.set().Status.Conditions
		if m := conditionMessage(conditions, "RevocationPending"); !strings.Contains(m, "until web-tokenservice-0 is seen on kid "+short(second.KID)) {
			return m
		}
		return want(conditions, "RevocationPending", "True RevocationPending")
	})
	w.eventsTell("Revoked")
	w.fleet.set("signer", fault{})
	w.revoked(first.KID, first.Sequence)
	w.eventually("the exposure is told", func() string {
		if got := w.revocation("leak").Status.Exposure.Tokens; got != livingTokens {
			return fmt.Sprintf("%d tokens, want %d", got, livingTokens)
		}
		return ""
	})
	w.eventually("a standby is there again", w.unhealthy)
	if edge, err := w.edgeDocument(); err != nil || slices.ContainsFunc(edge.Keys.Keys, func(k snapshot.Key) bool { return k.KID == first.KID }) {
		t.Errorf("the edge's document has the revoked key: %v", err)
	}

	// The next two at once: nothing stands by. A signer that never changes over is not waited for beyond the bound.
	third := *w.ring().Standby()
	w.revoke("standby", third.KID)
	w.revoked(third.KID, third.Sequence)
	w.fleet.set("signer", fault{lag: true})
	w.eventually("a standby is there again", func() string {
		if k := w.ring().Standby(); k == nil || k.KID == third.KID {
			return "it is not"
		}
		return ""
	})
	w.fleet.set("signer", fault{})
	w.eventually("settle", w.unhealthy)
	w.fleet.set("signer", fault{lag: true})
	w.fleet.set("edge", fault{lag: true}) // which would be right to refuse what that signer signs
	w.revoke("again", second.KID)
	w.state(second.KID, keys.Retiring)
	w.step(6 * time.Second)
	w.eventually("the bound has passed", func() string {
		if w.ring().Key(second.KID) != nil {
			return "the key is in the ring"
		}
		return want(w.set().Status.Conditions, "RevocationPending", "True RevocationUnconfirmed")
	})
	w.fleet.set("signer", fault{})
	w.eventually("the signer has changed over", func() string {
		if said := conditionMessage(w.set().Status.Conditions, "RevocationPending"); strings.Contains(said, "tokenservice") {
			return said
		}
		return ""
	})
	w.fleet.set("edge", fault{})
	w.revoked(second.KID, second.Sequence)
	w.eventually("settle", w.unhealthy)
}

// TestRevokedKeyStays: neither a deleted ring nor a restored one brings a revoked key back, nor does a Revocation that is gone.
func TestRevokedKeyStays(t *testing.T) {
	w := settled(t)
	var backup corev1.Secret
	w.get(&backup, keysecret.RingName(setName))
	status, old := w.set().Status, w.ring().Epoch
	var private corev1.Secret
	first := *w.ring().Active()
	w.get(&private, keysecret.KeyName(setName, first.Sequence))
	w.revoke("leak", first.KID)
	w.revoked(first.KID, first.Sequence)
	w.eventually("settle", w.unhealthy)
	w.remove(&keyturnv1alpha1.Revocation{ObjectMeta: w.meta("leak")})
	back := func(when string) {
		t.Helper()
		w.eventually(when+": a key signs", func() string {
			w.clock.step(time.Second)
			ring := w.ring()
			if ring == nil || ring.Active() == nil {
				return "none does"
			}
			if ring.Epoch > old && ring.Key(first.KID) != nil { // not the backup itself
				t.Fatalf("%s: the revoked key is %s again", when, ring.Key(first.KID).State)
			}
			return w.unhealthy()
		})
		if !slices.Contains(w.set().Status.RevokedKids, first.KID) {
			t.Errorf("%s: the status has forgotten it", when)
		}
	}
	ring := &corev1.Secret{ObjectMeta: w.meta(keysecret.RingName(setName))}
	w.remove(ring)
	back("the ring was deleted")

	// The manager died between the ring and the status, and then the ring was lost: the status shows the key as it was.
	key := func() *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: w.meta(private.Name), Type: private.Type, Data: private.Data, Immutable: private.Immutable}
		s.Labels = private.Labels
		return s
	}
	w.stopManager()
	set := w.set()
	set.Status.Keys = append(set.Status.Keys, status.Keys[slices.IndexFunc(status.Keys, func(k keyturnv1alpha1.KeyStatus) bool { return k.Kid == first.KID })])
	if err := admin.Status().Update(w.ctx, set); err != nil {
		t.Fatal(err)
	}
	w.create(key())
	w.remove(ring)
	w.startManager()
	back("the ring was lost before the status told of it")

	// A backup of ring and key. Its status knows nothing of the revocation either; the replicas' documents do.
	if !w.get(&corev1.Secret{}, private.Name) {
		w.create(key())
	}
	edit(w, ring, func(s *corev1.Secret) { s.Data = backup.Data })
	back("the ring was restored")
	w.stopManager()
	set = w.set()
	set.Status = status
	if err := admin.Status().Update(w.ctx, set); err != nil {
		t.Fatal(err)
	}
	edit(w, ring, func(s *corev1.Secret) { s.Data = backup.Data })
	w.startManager()
	w.eventually("ring and status were restored: a key signs", func() string {
		w.clock.step(time.Second)
		ring := w.ring()
		if ring.Epoch > old && ring.Key(first.KID) != nil {
			t.Fatalf("the revoked key is %s again", ring.Key(first.KID).State)
		}
		return w.unhealthy()
	})
}

// TestRevokedOf: the status remembers the last kids, whatever became of the ring's memory.
func TestRevokedOf(t *testing.T) {
	known := []string{"gone"}
	for i := range 2 * keyturnv1alpha1.MaxRevokedKids {
		kid := strings.Repeat("k", i+1)
		ring := &keys.Ring{Tombstones: []keys.Tombstone{{KID: kid, State: keys.Revoked}, {KID: "expired", State: keys.Removed}}}
		known = revokedOf(known, ring)
		known = revokedOf(known, ring)
		if known[len(known)-1] != kid || len(known) != min(i+2, keyturnv1alpha1.MaxRevokedKids) {
			t.Fatalf("after %d: %d kids, the last %q", i+1, len(known), known[len(known)-1])
		}
	}
	if slices.Contains(known, "expired") {
		t.Error("a key that expired is taken for a revoked one")
	}
}
