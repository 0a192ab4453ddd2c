package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

const (
	toldEnforced = keyturnv1alpha1.ConditionEnforced
	aSession     = "3k9z.AAAAAAAAAAAAAAAAAAAAAA"
)

// TestRevocations are carried out once each, told, and leave the document when nothing lives any more that they hit.
func TestRevocations(t *testing.T) {
	w := settled(t)
	user := w.newRevocation("alice", ofUser("staff:alice"))
	w.create(user)
	w.create(w.newRevocation("session", ofSession(aSession)))
	w.create(w.newRevocation("all", ofAll))
	for name, want := range map[string]struct {
		kind keyturnv1alpha1.RevocationKind
		what string
	}{"alice": {"User", "staff:alice"}, "session": {"Session", aSession}, "all": {"All", serviceName}} {
		status := w.isEnforced(name).Status
		if status.Kind != want.kind || status.What != want.what || status.Number <= firstNumber || status.ObservedGeneration != 1 {
			t.Errorf("%s: status %+v", name, status)
		}
		if status.EnforcedTime.IsZero() || status.RecordedTime.IsZero() || status.Exposure.Replicas != "2/2" || len(status.Exposure.WaitingFor) != 0 {
			t.Errorf("%s: status %+v", name, status)
		}
		// A TTL of 15 minutes and twice a skew of one.
		if life := status.Exposure.Until.Sub(status.RecordedTime.Time); life < 17*time.Minute || life > 17*time.Minute+2*time.Second {
			t.Errorf("%s: tokens live for %s", name, life)
		}
		w.revocationSays(name, keyturnv1alpha1.ConditionReady, metav1.ConditionTrue, keyturnv1alpha1.ReasonEnforced)
		w.revocationSays(name, keyturnv1alpha1.ConditionAccepted, metav1.ConditionTrue, keyturnv1alpha1.ReasonAccepted)
	}
	listed := w.revokedInDocument()
	if got := listed[string(user.UID)]; len(listed) != 3 || got != (snapshot.Revocation{UID: string(user.UID), Kind: "user", Value: "staff:alice"}) {
		t.Errorf("the document has %+v", listed)
	}
	if written := w.fleet.written(); len(written) != 3 {
		t.Errorf("the store was given %+v", written)
	}
	w.eventually("an Event says that it is enforced", func() string {
		if all := w.events(); !slices.Contains(all, keyturnv1alpha1.ReasonEnforced) {
			return strings.Join(all, "\n")
		}
		return ""
	})
	// Deleting one takes it out of the document, and nothing else with it.
	w.remove(user)
	w.eventually("what was deleted leaves the document", func() string {
		if len(w.revokedInDocument()) != 2 {
			return "it is there"
		}
		return ""
	})
	w.step(18 * time.Minute)
	w.eventually("what is over leaves the document", func() string {
		if len(w.revokedInDocument()) != 0 {
			return "it is there"
		}
		return ""
	})
	if !enforced(w.revocation("all")) || len(w.fleet.written()) != 3 {
		t.Error("what was enforced is so no more, or was written again")
	}
}

// TestRevocationWaits tells why something is not enforced, by name.
func TestRevocationWaits(t *testing.T) {
	w := settled(t)
	w.create(w.newRevocation("nobody", func(spec *keyturnv1alpha1.RevocationSpec) {
		spec.All = &keyturnv1alpha1.AllRevocation{TokenServiceRef: keyturnv1alpha1.TokenServiceReference{Name: "other"}}
	}))
	w.create(w.newRevocation("too-long", ofUser(strings.Repeat("é", 300))))
	w.revocationSays("nobody", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonTokenServiceNotFound)
	w.revocationSays("too-long", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonInvalidSpec)

	w.fleet.set("signer", fault{storeDown: true})
	w.fleet.set("edge", fault{deaf: true})
	w.create(w.newRevocation("alice", ofUser("staff:alice")))
	said := w.revocationSays("alice", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonStoreUnavailable)
	if !strings.Contains(said.Message, "web-tokenservice-0 cannot write its store") || !strings.Contains(said.Message, "the disk is full") {
		t.Errorf("message %q", said.Message)
	}
	if status := w.revocation("alice").Status; status.Number != 0 || !status.RecordedTime.IsZero() || status.Exposure.Until.Time.Before(w.clock.Now().Add(17*time.Minute)) {
		t.Errorf("nothing is stored, status %+v", status)
	}
	w.fleet.set("signer", fault{})
	w.revocationSays("alice", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonWaitingForReplicas)
	status := w.revocation("alice").Status
	if status.Exposure.Replicas != "0/2" || len(status.Exposure.WaitingFor) != 2 || !strings.HasPrefix(status.Exposure.WaitingFor[0], "web-extauthz-") || status.Number == 0 || status.RecordedTime.IsZero() {
		t.Errorf("the edges are deaf, status %+v", status)
	}
	w.fleet.set("edge", fault{unreachable: true})
	w.revocationSays("alice", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonReplicaUnreachable)
	w.fleet.set("edge", fault{})
	w.isEnforced("alice")
	// The manager was away: what is enforced stays so, and is not written again.
	w.stopManager()
	w.startManager()
	w.create(w.newRevocation("bob", ofUser("staff:bob")))
	w.isEnforced("bob")
	if written := w.fleet.written(); len(written) != 2 {
		t.Errorf("the store was given %+v", written)
	}
}

// TestRevocationOfAKey: the standby takes over, and then no edge has the key any more.
func TestRevocationOfAKey(t *testing.T) {
	w := settled(t)
	first, second := w.ring().Active().KID, w.ring().Standby().KID
	w.create(w.newRevocation("stranger", ofKey(strings.Repeat("A", 43))))
	w.fleet.set("edge", fault{deaf: true, lag: true})
	rev := w.newRevocation("leaked", ofKey(first))
	w.create(rev)
	w.revocationSays("stranger", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonKeyNotFound)
	w.eventually("the key is buried", func() string {
		if ring := w.ring(); ring.Active() == nil || ring.Active().KID != second || !revokedIn(ring, first) {
			return w.describe()
		}
		return ""
	})
	said := w.revocationSays("leaked", toldEnforced, metav1.ConditionFalse, keyturnv1alpha1.ReasonWaitingForReplicas)
	if !strings.Contains(said.Message, "web-extauthz-") || w.revokedInDocument()[string(rev.UID)].Value != first {
		t.Errorf("message %q, document %v", said.Message, w.revokedInDocument())
	}
	// The feed tells an edge whose mount is late.
	w.fleet.set("edge", fault{lag: true})
	if status := w.isEnforced("leaked").Status; status.Kind != "Key" || status.What != short(first) || status.Number == 0 || status.RecordedTime.IsZero() {
		t.Errorf("status %+v", status)
	}
	w.fleet.set("edge", fault{})
	if w.ring().Key(first) != nil {
		t.Error("the key is back")
	}
}
