package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

func (w *world) setTTL(ttl time.Duration) {
	w.Helper()
	edit(w, &keyturnv1alpha1.TokenPolicy{ObjectMeta: w.meta(policyName)}, func(p *keyturnv1alpha1.TokenPolicy) {
		p.Spec.AccessToken.TTL = metav1.Duration{Duration: ttl}
	})
}

// lifetimes are what the edges accept, the token services grant and the ring has recorded.
func (w *world) lifetimes() (edge, issuer, ring time.Duration) {
	w.Helper()
	e, err := w.edgeDocument()
	if err != nil {
		w.Fatal(err)
	}
	i, err := w.issuerDocument()
	if err != nil {
		w.Fatal(err)
	}
	return e.MaxTTL.Std(), i.Access.TTL.Std(), w.ring().Active().MaxTTL
}

// TestLifetime: a longer lifetime is accepted first, recorded second, granted last; a shorter one is granted at once, and
// accepted as long as before.
func TestLifetime(t *testing.T) {
	w := settled(t)
	w.fleet.set("edge", fault{lag: true})
	w.setTTL(time.Hour)
	w.eventually("the edges' document and the ring allow the longer lifetime", func() string {
		edge, issuer, ring := w.lifetimes()
		if issuer != 15*time.Minute {
			t.Fatalf("%s are granted while an edge accepts 15m", issuer)
		}
		if edge != time.Hour || ring != time.Hour {
			return "not yet"
		}
		return want(w.service().Status.Conditions, "KeysLoaded", "False WaitingForReplicas")
	})
	w.polls(3)
	if _, issuer, _ := w.lifetimes(); issuer != 15*time.Minute {
		t.Fatalf("%s are granted while an edge accepts 15m", issuer)
	}
	w.fleet.set("edge", fault{})
	w.eventually("it is granted", func() string {
		if _, issuer, _ := w.lifetimes(); issuer != time.Hour {
			return "not yet"
		}
		return w.unhealthy()
	})
	w.setTTL(5 * time.Minute)
	w.eventually("a shorter lifetime is granted at once", func() string {
		edge, issuer, ring := w.lifetimes()
		if edge != time.Hour || ring != time.Hour {
			t.Fatalf("the edges accept %s, the ring has %s: tokens of an hour are about", edge, ring)
		}
		if issuer != 5*time.Minute {
			return "not yet"
		}
		return w.unhealthy()
	})
}

// TestLifetimeBeforeService: a set that signed for nobody has recorded no lifetime; no document may grant zero.
func TestLifetimeBeforeService(t *testing.T) {
	w := newWorld(t)
	w.create(w.newSet())
	w.create(w.newPolicy())
	w.create(w.newUsers())
	w.eventually("the set is ready", func() string { return want(w.set().Status.Conditions, "Ready", "True Ready") })
	w.create(w.newService())
	w.eventually("settle", func() string {
		if doc, err := w.issuerDocument(); err == nil && doc.Access.TTL <= 0 {
			t.Fatal("a document grants no lifetime at all")
		}
		return w.unhealthy()
	})
}
