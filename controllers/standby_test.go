package controllers

import (
	"strings"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// TestNoStandby: without standby keys a set makes the next key when one is asked for, and in an emergency it signs as soon as the
// replicas have it.
func TestNoStandby(t *testing.T) {
	w := newWorld(t)
	w.declare(func(s *keyturnv1alpha1.SigningKeySet, _ *keyturnv1alpha1.TokenPolicy, _ *keyturnv1alpha1.TokenService) {
		s.Spec.Rotation.StandbyKeys = new(int32(0))
	})
	w.eventually("one key signs, none stands by", func() string {
		if bad := w.shape("1 Active"); bad != "" {
			return bad
		}
		return want(w.set().Status.Conditions, "StandbyReady", "False StandbyDisabled", "Published", "True AsExpected", "Ready", "True Ready")
	})
	first := *w.ring().Active()
	w.fleet.set("edge", fault{lag: true})
	w.revoke("leak", first.KID)
	w.eventually("it says for whom it waits", func() string {
		if bad := w.shape("1 Active, 2 Pending"); bad != "" {
			return bad
		}
		if m := conditionMessage(w.set().Status.Conditions, "RevocationPending"); !strings.Contains(m, "signs until another key takes over: kid "+short(w.ring().Standby().KID)+" not yet loaded by web-extauthz") {
			return m
		}
		return want(w.set().Status.Conditions, "RevocationPending", "True RevocationPending")
	})
	w.fleet.set("edge", fault{})
	w.revoked(first.KID, first.Sequence)
	w.eventually("one key signs, none stands by", func() string { return w.shape("2 Active, 1 Revoked") })

	w.request("now")
	w.eventually("the next one is published", func() string { return w.shape("2 Active, 3 Published, 1 Revoked") })
	w.step(25 * time.Hour)
	w.eventually("it signs", func() string {
		w.expire()
		return w.shape("3 Active, 1 Revoked, 2 Removed")
	})
}

// TestManualWithTwoStandbys: two keys stand by; no time rotates a set by hand, a request does, once.
func TestManualWithTwoStandbys(t *testing.T) {
	w := newWorld(t)
	w.declare(func(s *keyturnv1alpha1.SigningKeySet, _ *keyturnv1alpha1.TokenPolicy, _ *keyturnv1alpha1.TokenService) {
		s.Spec.Rotation.StandbyKeys, s.Spec.Rotation.Mode = new(int32(2)), keyturnv1alpha1.RotationManual
	})
	w.eventually("two stand by", func() string {
		if bad := w.shape("1 Active, 2 Published, 3 Published"); bad != "" {
			return bad
		}
		return want(w.set().Status.Conditions, "StandbyReady", "True AsExpected")
	})
	epoch := w.ring().Epoch
	for range 3 {
		w.step(800 * time.Hour)
		w.eventually("the manager has looked", func() string {
			return want(w.set().Status.Conditions, "RotationOverdue", "False AsExpected", "Ready", "True Ready")
		})
	}
	if next := w.set().Status.NextTransition; next != nil || w.ring().Epoch != epoch {
		t.Errorf("it moves by itself: epoch %d after %d, next %+v", w.ring().Epoch, epoch, next)
	}
	w.request("now")
	w.eventually("the first of the two signs, and another stands by", func() string {
		w.expire()
		return w.whole("2 Active, 3 Published, 4 Published, 1 Removed")
	})
	if got := w.set().Status.RotateRequestObserved; got != "now" {
		t.Errorf("acknowledged is %q", got)
	}
	w.touch()
	w.eventually("once", func() string { return w.whole("2 Active, 3 Published, 4 Published, 1 Removed") })
	if k := w.ring().Active(); k.State != keys.Active || k.Sequence != 2 {
		t.Errorf("key %d signs", k.Sequence)
	}
}
