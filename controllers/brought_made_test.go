package controllers

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// TestBroughtAndMade: a set goes over from keys that are made to keys that are brought, changes the algorithm, and goes back. Each
// is a rotation, and none of the kinds signs in the place of the other.
func TestBroughtAndMade(t *testing.T) {
	w := newWorld(t)
	w.declare()
	w.has("1 Active, 2 Published", nil)
	made := w.ring().Active().KID
	edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) { broughtFrom(ownKeys)(s, nil, nil) })
	w.setSays("ResolvedRefs", "False SecretNotFound")
	w.step(25 * time.Hour)
	w.has("1 Active, 2 Published", nil) // no brought key: the made one goes on, and the made standby does not take over
	if w.ring().Active().KID != made {
		t.Fatal("a made key took over")
	}
	one, two := ownEC(t), ownEC(t)
	w.bring("1.pem", one.text, "2.pem", two.text)
	w.eventually("the made standby goes", func() string { return w.whole("1 Active, 3 Published, 2 Removed") })
	w.step(25 * time.Hour)
	w.eventually("the brought one signs", func() string { w.expire(); return w.whole("3 Active, 4 Published, 2 Removed, 1 Removed") })
	w.has("3 Active, 4 Published, 2 Removed, 1 Removed", map[int64]string{3: one.kid, 4: two.kid})

	edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) { s.Spec.Algorithm = keyturnv1alpha1.PS256 })
	w.setSays("StandbyReady", "False NoKeyLeft", "Secret my-keys holds no PS256 key", "2 are for another algorithm")
	large := ownKey(t, ownRSA(t, 2304))
	w.bring("3.pem", large.text)
	w.eventually("the RSA key is published", func() string { return w.whole("3 Active, 5 Published, 2 Removed, 1 Removed, 4 Removed") })
	w.step(25 * time.Hour)
	w.eventually("it signs", func() string { w.expire(); return w.shape("5 Active, 2 Removed, 1 Removed, 4 Removed, 3 Removed") })
	if a := w.ring().Active(); a.KID != large.kid || a.Bits != 2304 || a.Algorithm != keys.PS256 {
		t.Errorf("the key that signs is %s %s of %d bits", a.Algorithm, short(a.KID), a.Bits)
	}

	edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) {
		s.Spec.KeySource, s.Spec.Algorithm = nil, keyturnv1alpha1.ES256
	})
	w.eventually("a made one is published", func() string { return w.shape("5 Active, 6 Published, 2 Removed, 1 Removed, 4 Removed, 3 Removed") })
	w.step(25 * time.Hour)
	w.eventually("a made one signs", func() string {
		w.expire()
		return w.shape("6 Active, 7 Published, 2 Removed, 1 Removed, 4 Removed, 3 Removed, 5 Removed")
	})
	if a := w.ring().Active(); a.Brought {
		t.Error("a brought key signs where keys are made")
	}
	w.eventually("there is no reference any more", func() string {
		if slices.ContainsFunc(w.set().Status.Conditions, func(c metav1.Condition) bool { return c.Type == "ResolvedRefs" }) {
			return "ResolvedRefs is there"
		}
		return ""
	})
}
