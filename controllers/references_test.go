package controllers

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// TestMissingReferences: what is missing is named with how to mend it, and what runs is left alone.
func TestMissingReferences(t *testing.T) {
	for name, row := range map[string]struct {
		remove func(w *world) client.Object
		reason string
		says   string
	}{
		"policy": {func(w *world) client.Object { return w.newPolicy() }, "PolicyNotFound", "create it"},
		"users":  {func(w *world) client.Object { return w.newUsers() }, "RefNotFound", "create it with the key htpasswd"},
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t)
			var before, after appsv1.StatefulSet
			w.get(&before, "web-tokenservice")
			w.remove(row.remove(w))
			w.touch()
			w.eventually("the missing reference is reported", func() string {
				list := w.service().Status.Conditions
				if m := conditionMessage(list, "ResolvedRefs"); !strings.Contains(m, row.says) {
					return m
				}
				return want(list, "ResolvedRefs", "False "+row.reason, "Ready", "False "+row.reason)
			})
			w.get(&after, "web-tokenservice")
			if after.UID != before.UID || after.Generation != before.Generation {
				t.Error("the workload was touched")
			}
			second := w.ring().Standby().KID
			w.step(25 * time.Hour)
			w.request("now")
			w.state(second, keys.Active)
			again := row.remove(w)
			w.create(again)
			w.eventually("settle", w.unhealthy)
		})
	}
}

func TestUsersWithoutKey(t *testing.T) {
	w := settled(t)
	edit(w, w.newUsers(), func(s *corev1.Secret) { s.Data = map[string][]byte{"users": []byte("x")} })
	w.eventually("the missing key is reported", func() string {
		return want(w.service().Status.Conditions, "ResolvedRefs", "False SecretInvalid", "Ready", "False SecretInvalid")
	})
}

func TestMissingSet(t *testing.T) {
	w := newWorld(t)
	w.create(w.newPolicy())
	w.create(w.newService())
	w.eventually("the missing set is reported", func() string {
		return want(w.service().Status.Conditions, "ResolvedRefs", "False KeySetNotFound", "Ready", "False KeySetNotFound")
	})
	w.create(w.newUsers())
	w.create(w.newSet())
	w.eventually("settle", func() string {
		// Ready means ready: never before a replica has loaded a document.
		if s := w.service().Status; shows(s.Conditions, "Ready") == "True Ready" && s.Replicas != "1/1" {
			t.Fatalf("Ready with %s token services", s.Replicas)
		}
		return w.unhealthy()
	})
}

// TestForeignObjects: an object of a name that Keyturn needs and that is not its own is never overwritten.
func TestForeignObjects(t *testing.T) {
	for name, object := range map[string]func(w *world) client.Object{
		"ring":     func(w *world) client.Object { return &corev1.Secret{ObjectMeta: w.meta(keysecret.RingName(setName))} },
		"snapshot": func(w *world) client.Object { return &corev1.Secret{ObjectMeta: w.meta(edgeSecret)} },
		"Service": func(w *world) client.Object {
			return &corev1.Service{ObjectMeta: w.meta("web-extauthz"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			foreign := object(w)
			w.create(foreign)
			version := foreign.GetResourceVersion()
			w.declare()
			w.eventually("it is refused", func() string {
				list := w.service().Status.Conditions
				if name == "ring" {
					list = w.set().Status.Conditions
				}
				if m := conditionMessage(list, "Ready"); !strings.Contains(m, "rename or delete it") {
					return m
				}
				return want(list, "Ready", "False ForeignObject")
			})
			if w.get(foreign, foreign.GetName()); foreign.GetResourceVersion() != version {
				t.Error("it was overwritten")
			}
			w.remove(foreign)
			w.eventually("settle", w.unhealthy)
		})
	}
}

// TestForeignKeyName: a name that is taken is passed over.
func TestForeignKeyName(t *testing.T) {
	w := newWorld(t)
	foreign := &corev1.Secret{ObjectMeta: w.meta(keysecret.KeyName(setName, 1)), Data: map[string][]byte{"mine": []byte("x")}}
	w.create(foreign)
	version := foreign.ResourceVersion
	w.declare(func(*keyturnv1alpha1.SigningKeySet, *keyturnv1alpha1.TokenPolicy, *keyturnv1alpha1.TokenService) {})
	w.eventually("settle", w.unhealthy)
	if w.ring().Active().Sequence != 2 {
		t.Errorf("the first key has number %d", w.ring().Active().Sequence)
	}
	if !w.get(foreign, foreign.Name) || foreign.ResourceVersion != version {
		t.Error("somebody else's Secret was touched")
	}
}
