package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// state waits until a key has a state in the ring and the status shows the same.
func (w *world) state(kid string, to keys.State) *keys.Key {
	w.Helper()
	var out *keys.Key
	w.eventually("key "+short(kid)+" becomes "+string(to), func() string {
		ring := w.ring()
		if out = ring.Key(kid); out == nil || out.State != to {
			return "it is not"
		}
		return badKeyStatus(w.set().Status.Keys, ring)
	})
	return out
}

// request asks for a rotation.
func (w *world) request(value string) {
	w.Helper()
	edit(w, &keyturnv1alpha1.SigningKeySet{ObjectMeta: w.meta(setName)}, func(s *keyturnv1alpha1.SigningKeySet) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, keyturnv1alpha1.AnnotationRotateRequestedAt, value)
	})
}

// TestRotation walks two rotations step by step.
func TestRotation(t *testing.T) {
	w := settled(t)
	first, second := w.ring().Active().KID, w.ring().Standby().KID
	published := w.ring().Standby().Published

	// On demand: prePublish is counted from the last acknowledgement.
	w.request("2026-12-01T00:00:00Z")
	w.eventually("the request waits for prePublish", func() string {
		next := w.set().Status.NextTransition
		if next == nil || next.Kid != second || !next.NotBefore.Time.Equal(published.Add(24*time.Hour).Truncate(time.Second)) {
			return "it is not announced"
		}
		return ""
	})
	if w.set().Status.RotateRequestObserved != "" {
		t.Error("the request is acknowledged before it was carried out")
	}
	w.fleet.set("signer", fault{lag: true})
	w.step(published.Add(24*time.Hour + time.Second).Sub(w.clock.Now()))
	w.state(second, keys.Active)
	w.state(first, keys.Retiring)
	w.eventually("the request is acknowledged", func() string {
		if got := w.set().Status.RotateRequestObserved; got != "2026-12-01T00:00:00Z" {
			return "acknowledged is " + got
		}
		return ""
	})

	// The signer has not switched: the old key verifies without end, and one line says who is waited for.
	w.eventually("the laggard is named", func() string {
		message := conditionMessage(w.set().Status.Conditions, "Published")
		if !strings.Contains(message, "web-tokenservice-0") || strings.Contains(message, "\n") {
			return message
		}
		return want(w.service().Status.Conditions, "KeysLoaded", "False WaitingForReplicas", "Ready", "False WaitingForReplicas")
	})
	if k := w.ring().Key(first); !k.VerifyUntil.IsZero() {
		t.Errorf("verifyUntil is %s before the signer has switched", k.VerifyUntil)
	}
	w.fleet.set("signer", fault{})
	var until time.Time
	w.eventually("verifyUntil is set", func() string {
		if k := w.ring().Key(first); k != nil {
			until = k.VerifyUntil
		}
		if until.IsZero() {
			return "it is open"
		}
		return w.unhealthy()
	})
	if least := w.clock.Now().Add(17 * time.Minute); until.Before(least) {
		t.Errorf("verifyUntil %s, want at least %s: TTL and twice the skew after the switch", until, least)
	}
	w.removal(first, until)
}

// removal waits for the end of a retired key.
func (w *world) removal(kid string, until time.Time) {
	w.Helper()
	secret := keysecret.KeyName(setName, w.ring().Key(kid).Sequence)
	w.step(until.Sub(w.clock.Now()))
	w.eventually("the key verifies to its last second", func() string {
		if w.ring().Key(kid) == nil {
			w.Fatal("it is removed at verifyUntil, not after it")
		}
		return w.unhealthy()
	})
	w.step(2 * time.Second)
	w.eventually("the key is removed", func() string {
		if w.ring().Key(kid) != nil || w.get(&corev1.Secret{}, secret) {
			return "ring or Secret still has it"
		}
		return w.unhealthy()
	})
	edge, err := w.edgeDocument()
	if err != nil || len(edge.Keys.Keys) != len(w.ring().Keys) {
		w.Errorf("the edge has %d keys: %v", len(edge.Keys.Keys), err)
	}
	w.eventsTell("Expired")
}

// TestPublishBeforeSign: an edge that lags keeps the next key from being published, and one that cannot be reached keeps it
// from signing.
func TestPublishBeforeSign(t *testing.T) {
	w := newWorld(t)
	w.declare()
	w.eventually("settle", w.unhealthy)
	second := w.ring().Standby().KID
	w.fleet.set("edge", fault{lag: true})
	w.remove(&corev1.Secret{ObjectMeta: w.meta(keysecret.KeyName(setName, w.ring().Standby().Sequence))}) // a new standby has to come
	var third string
	w.eventually("a new standby is Pending", func() string {
		k := w.ring().Standby()
		if k == nil || k.KID == second || k.State != keys.Pending {
			return "it is not"
		}
		third = k.KID
		status := w.set().Status
		if bad := want(status.Conditions, "StandbyReady", "False StandbyPending", "Published", "False WaitingForReplicas", "Ready", "True Ready"); bad != "" {
			return bad
		}
		if status.Propagation.Replicas != "1/3" || len(status.Propagation.WaitingFor) != 2 {
			return "propagation does not name two edges"
		}
		if !strings.Contains(conditionMessage(status.Conditions, "Published"), "kid "+short(third)+" not yet loaded by web-extauthz") {
			return conditionMessage(status.Conditions, "Published")
		}
		return ""
	})
	w.step(48 * time.Hour)
	w.request("now")
	w.eventually("the request is blocked by the edge", func() string {
		next := w.set().Status.NextTransition
		if w.ring().Key(third).State != keys.Pending {
			t.Fatal("a key was published that an edge does not know")
		}
		if next == nil || !strings.Contains(next.BlockedBy, "web-extauthz") {
			return "it is not"
		}
		return ""
	})
	w.fleet.set("edge", fault{})
	now := w.clock.Now()
	if k := w.state(third, keys.Published); !k.Published.Equal(now) {
		t.Errorf("published at %s, the last acknowledgement came at %s", k.Published, now)
	}
	w.fleet.set("edge", fault{unreachable: true})
	// Only then does time pass: a look that has just heard them would decide by what they said, and by the time to come.
	w.setSays("Published", "False WaitingForReplicas", "web-extauthz", "is unreachable")
	w.step(25 * time.Hour)
	w.eventually("an unreachable edge blocks the activation", func() string {
		next := w.set().Status.NextTransition
		if w.ring().Key(third).State == keys.Active {
			t.Fatal("a key signs that an edge may not know")
		}
		if next == nil || !strings.Contains(next.BlockedBy, "unreachable") || w.set().Status.Next != "rotate waits" {
			return "it is not: " + w.set().Status.Next
		}
		return want(w.service().Status.Conditions, "KeysLoaded", "False ReplicaUnreachable")
	})
	w.fleet.set("edge", fault{})
	w.state(third, keys.Active)
	w.eventually("settle", w.unhealthy)
}

// TestReplicasSay what a refusal and a wrong clock look like.
func TestReplicasSay(t *testing.T) {
	w := settled(t)
	w.fleet.set("edge", fault{refuse: true})
	w.fleet.set("signer", fault{skew: 5 * time.Minute})
	w.touch()
	w.eventually("the clock is reported", func() string {
		return want(w.set().Status.Conditions, "ClockSkewed", "True ClockSkewed", "Ready", "False ClockSkewed")
	})
	edit(w, &keyturnv1alpha1.TokenPolicy{ObjectMeta: w.meta(policyName)}, func(p *keyturnv1alpha1.TokenPolicy) {
		p.Spec.AccessToken.Audiences = []string{"other"}
	})
	w.eventually("the refusal is reported", func() string {
		if m := conditionMessage(w.service().Status.Conditions, "KeysLoaded"); !strings.Contains(m, "refused revision") {
			return m
		}
		return want(w.service().Status.Conditions, "KeysLoaded", "False SnapshotRefused")
	})
	w.fleet.set("edge", fault{})
	w.fleet.set("signer", fault{})
	w.eventually("settle", w.unhealthy)
}

// TestLongRequest: whatever somebody writes into the annotation, it is carried out once.
func TestLongRequest(t *testing.T) {
	w := settled(t)
	second := w.ring().Standby().KID
	w.step(25 * time.Hour)
	w.request("a" + strings.Repeat("é", 1000))
	w.state(second, keys.Active)
	w.eventually("settle", w.unhealthy)
	if got := w.set().Status.RotateRequestObserved; len(got) > 256 || !strings.HasPrefix(got, "aé") {
		t.Errorf("acknowledged is %q", got)
	}
}

func conditionMessage(list []metav1.Condition, kind string) string {
	for _, c := range list {
		if c.Type == kind {
			return c.Message
		}
	}
	return ""
}
