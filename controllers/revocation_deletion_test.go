package controllers

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// letGo waits until a Revocation is gone.
func (w *world) letGo(name string) {
	w.Helper()
	w.eventually(name+" goes", func() string {
		var rev keyturnv1alpha1.Revocation
		if w.get(&rev, name) {
			return strings.Join(rev.Finalizers, ",") + " " + conditionMessage(rev.Status.Conditions, toldEnforced)
		}
		return ""
	})
}

// waits deletes a Revocation, which stays and says for what.
func (w *world) waits(name, message string) {
	w.Helper()
	w.remove(w.revocation(name))
	w.eventually(name+" waits", func() string {
		rev := w.revocation(name)
		said := conditionMessage(rev.Status.Conditions, toldEnforced)
		if rev.DeletionTimestamp.IsZero() || !strings.Contains(said, message) || !strings.Contains(said, "it is being deleted, and goes once it is enforced") {
			return said
		}
		return ""
	})
}

// TestRevocationDeletedEarly: what was accepted is carried out before the object goes, and nothing holds one that is enforced.
func TestRevocationDeletedEarly(t *testing.T) {
	w := settled(t)
	w.fleet.set("signer", fault{storeDown: true})
	w.create(w.newRevocation("alice", ofUser("staff:alice")))
	w.create(w.newRevocation("bob", ofUser("staff:bob")))
	w.revocationSays("alice", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonStoreUnavailable)
	w.waits("alice", "the disk is full")
	// The manager is away meanwhile, and remembers nothing.
	w.stopManager()
	w.startManager()
	w.revocationSays("bob", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonStoreUnavailable)
	w.fleet.set("edge", fault{deaf: true}) // before the store has anything to tell them
	w.fleet.set("signer", fault{})
	w.eventually("the store has both", func() string {
		if len(w.fleet.written()) != 2 {
			return "it has not"
		}
		return ""
	})
	w.revocationSays("alice", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonWaitingForReplicas)
	w.fleet.set("edge", fault{})
	w.letGo("alice")
	if rev := w.isEnforced("bob"); len(rev.Finalizers) != 0 {
		w.eventually("nothing holds what is enforced", func() string { return strings.Join(w.revocation("bob").Finalizers, ",") })
	}
	w.remove(w.revocation("bob"))
	w.letGo("bob")

	first := w.ring().Active().KID
	w.fleet.set("signer", fault{lag: true})
	w.create(w.newRevocation("leaked", ofKey(first)))
	w.state(first, keys.Retiring)
	w.waits("leaked", "is good until another key has taken over")
	w.fleet.set("signer", fault{})
	w.letGo("leaked")
	if !revokedIn(w.ring(), first) {
		t.Error("the key is not revoked")
	}
}

// TestRevocationDeletedInVain: what cannot be carried out any more is held by nothing, whatever else is down; so neither is its
// namespace. It is told if it had been accepted.
func TestRevocationDeletedInVain(t *testing.T) {
	w := settled(t)
	w.create(w.newRevocation("misspelt", func(spec *keyturnv1alpha1.RevocationSpec) {
		ofAll(spec)
		spec.All.TokenServiceRef.Name = "other"
	}))
	w.create(w.newRevocation("too-long", ofUser(strings.Repeat("é", 300))))
	w.revocationSays("misspelt", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonTokenServiceNotFound)
	w.revocationSays("too-long", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonInvalidSpec)
	for _, name := range []string{"misspelt", "too-long"} {
		if rev := w.revocation(name); len(rev.Finalizers) != 0 {
			t.Errorf("%s is held by %v", name, rev.Finalizers)
		}
		w.remove(w.revocation(name))
		w.letGo(name)
	}
	w.fleet.set("signer", fault{storeDown: true, lag: true})
	w.fleet.set("edge", fault{unreachable: true})
	kid := w.ring().Active().KID
	w.create(w.newRevocation("alice", ofUser("staff:alice")))
	w.create(w.newRevocation("leaked", ofKey(kid)))
	w.revocationSays("leaked", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonAwaitingTakeover)
	w.revocationSays("alice", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonWaitingForReplicas)
	w.waits("alice", "web-tokenservice-0 has revision")
	w.waits("leaked", "is good until another key has taken over")
	// All of the namespace goes, as when it is deleted.
	w.stopManager()
	w.remove(w.service())
	w.remove(w.set())
	edit(w, w.newSet(), func(set *keyturnv1alpha1.SigningKeySet) { set.Finalizers = nil })
	w.startManager()
	w.letGo("alice")
	w.letGo("leaked")
	w.eventually("Events tell", func() string {
		all := w.events()
		for _, reason := range []string{keyturnv1alpha1.ReasonTokenServiceNotFound, keyturnv1alpha1.ReasonKeySetNotFound} {
			if !slices.Contains(all, reason) {
				return strings.Join(all, "\n")
			}
		}
		return ""
	})
}
