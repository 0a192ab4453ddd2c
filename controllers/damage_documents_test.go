package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

const (
	edgeSecret   = serviceName + "-edge-snapshot"
	issuerSecret = serviceName + "-issuer-snapshot"
)

var documentDamages = []damage{
	{name: "issuer deleted", do: func(a *attack) { a.remove(a.secret(issuerSecret)) }},
	{name: "issuer edited", do: func(a *attack) {
		doc, err := a.issuerDocument()
		if err != nil {
			a.Fatal(err)
		}
		doc.Access.Audiences = []string{"attacker"}
		raw, err := snapshot.EncodeIssuer(doc)
		if err != nil {
			a.Fatal(err)
		}
		a.editData(issuerSecret, snapshotKey, raw)
	}},
	{name: "issuer garbage", do: func(a *attack) { a.editData(issuerSecret, snapshotKey, []byte("x")) }},
	{name: "edge deleted", do: func(a *attack) { a.remove(a.secret(edgeSecret)) }},
	{name: "edge garbage", do: func(a *attack) { a.editData(edgeSecret, snapshotKey, []byte("x")) }},
	{name: "edge with an attacker's key", do: func(a *attack) {
		a.forgeEdge(func(doc *snapshot.Edge) {
			doc.Keys.Keys = append(doc.Keys.Keys, snapshot.Key{KID: a.foreign.KID(), Algorithm: "ES256", JWK: a.foreign.Public().JWK()})
		})
	}},
	{name: "edge with a lower revision", do: func(a *attack) { a.forgeEdge(func(doc *snapshot.Edge) { doc.Revision = 1 }) }},
	{name: "edge with a higher revision", do: func(a *attack) { a.forgeEdge(func(doc *snapshot.Edge) { doc.Revision += 1000 }) }},
	{name: "edge with the highest revision", do: func(a *attack) { a.forgeEdge(func(doc *snapshot.Edge) { doc.Revision = 1<<63 - 1 }) }},
	{name: "edge with the highest epoch", do: func(a *attack) {
		a.forgeEdge(func(doc *snapshot.Edge) { doc.Keys.Epoch = countersEnd - 1 })
		a.eventually("the document is put right", func() string {
			if doc, err := a.edgeDocument(); err != nil || doc.Keys.Epoch >= believedEnd {
				return "it is not"
			}
			return ""
		})
		var pods corev1.PodList // the replicas that took it take no lower one: each is named, and is to be deleted
		if err := admin.List(a.ctx, &pods, client.InNamespace(a.ns)); err != nil {
			a.Fatal(err)
		}
		for i := range pods.Items {
			if strings.Contains(pods.Items[i].Name, "-extauthz") {
				a.remove(&pods.Items[i])
			}
		}
	}},
	{name: "edge with another key besides", do: func(a *attack) { a.editData(edgeSecret, "extra", []byte("x")) }},
	{name: "edge's label removed", do: func(a *attack) {
		edit(a.world, a.secret(edgeSecret), func(s *corev1.Secret) { delete(s.Labels, keyturnv1alpha1.LabelManagedBy) })
	}},
	{name: "edge made immutable and wrong", do: func(a *attack) {
		immutable := true
		edit(a.world, a.secret(edgeSecret), func(s *corev1.Secret) { s.Data[snapshotKey], s.Immutable = []byte("x"), &immutable })
	}},
	{name: "feed server deleted", do: func(a *attack) { a.remove(a.secret("web-feed-server")) }},
	{name: "feed server edited", do: func(a *attack) { a.editData("web-feed-server", "tls.key", []byte("x")) }},
	{name: "feed server's token weakened", do: func(a *attack) { a.editData("web-feed-server", "token", []byte("x")) }},
	{name: "feed client deleted", do: func(a *attack) { a.remove(a.secret("web-feed-client")) }},
	{name: "feed client edited", do: func(a *attack) { a.editData("web-feed-client", "ca.crt", []byte("x")) }},
}

func (a *attack) secret(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: a.meta(name)}
}

func (a *attack) editData(secret, key string, value []byte) {
	a.Helper()
	edit(a.world, a.secret(secret), func(s *corev1.Secret) { s.Data[key] = value })
}

func (a *attack) forgeEdge(forge func(*snapshot.Edge)) {
	a.Helper()
	doc, err := a.edgeDocument()
	if err != nil {
		a.Fatal(err)
	}
	forge(&doc)
	raw, err := snapshot.EncodeEdge(doc)
	if err != nil {
		a.Fatal(err)
	}
	a.editData(edgeSecret, snapshotKey, raw)
}

// TestDocumentRestored: whoever edits or deletes a document is told of, also by the next manager; changes of the manager's own
// are no news.
func TestDocumentRestored(t *testing.T) {
	w := settled(t)
	second := w.ring().Standby().KID
	w.step(25 * time.Hour)
	w.request("now")
	w.state(second, keys.Active)
	w.eventually("settle", w.unhealthy)
	if told := w.restoredDocuments(); len(told) > 0 {
		t.Fatalf("the manager takes its own documents for somebody's: %v", told)
	}
	a := w.attack()
	a.editData(edgeSecret, snapshotKey, []byte("x"))
	w.told(edgeSecret)
	w.stopManager()
	a.editData(issuerSecret, snapshotKey, []byte("x"))
	w.startManager()
	w.told(issuerSecret, edgeSecret)
}

// told waits until exactly these documents are reported as restored.
func (w *world) told(names ...string) {
	w.Helper()
	slices.Sort(names)
	w.eventually("the edit is told", func() string {
		if told := w.restoredDocuments(); !slices.Equal(told, names) {
			return fmt.Sprintf("told of %v, want %v", told, names)
		}
		return w.unhealthy()
	})
}

// restoredDocuments are the Secrets that Warning Events name as restored, sorted.
func (w *world) restoredDocuments() []string {
	var all eventsv1.EventList
	if err := admin.List(w.ctx, &all, client.InNamespace(w.ns)); err != nil {
		w.Fatalf("list Events: %v", err)
	}
	var out []string
	for _, e := range all.Items {
		if e.Reason == keyturnv1alpha1.ReasonDocumentRestored && e.Type == corev1.EventTypeWarning && e.Related != nil {
			out = append(out, e.Related.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var workloadDamages = []damage{
	{name: "StatefulSet deleted", do: func(a *attack) { a.remove(&appsv1.StatefulSet{ObjectMeta: a.meta("web-tokenservice")}) }},
	{name: "Deployment deleted", do: func(a *attack) { a.remove(&appsv1.Deployment{ObjectMeta: a.meta("web-extauthz")}) }},
	{name: "Service deleted", do: func(a *attack) { a.remove(&corev1.Service{ObjectMeta: a.meta("web-extauthz")}) }},
	{name: "feed Service deleted", do: func(a *attack) { a.remove(&corev1.Service{ObjectMeta: a.meta("web-feed")}) }},
	{name: "ServiceAccount deleted", do: func(a *attack) { a.remove(&corev1.ServiceAccount{ObjectMeta: a.meta("web-extauthz")}) }},
	{name: "StatefulSet scaled", do: func(a *attack) {
		edit(a.world, &appsv1.StatefulSet{ObjectMeta: a.meta("web-tokenservice")}, func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32(0)) })
	}},
	{name: "Deployment scaled", do: func(a *attack) {
		edit(a.world, &appsv1.Deployment{ObjectMeta: a.meta("web-extauthz")}, func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(0)) })
	}},
	{name: "image edited", do: func(a *attack) {
		edit(a.world, &appsv1.Deployment{ObjectMeta: a.meta("web-extauthz")}, func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Image = "attacker"
		})
	}},
	{name: "port edited", do: func(a *attack) {
		edit(a.world, &corev1.Service{ObjectMeta: a.meta("web-feed")}, func(s *corev1.Service) { s.Spec.Ports[0].Port = 1 })
	}},
	{name: "labels removed", do: func(a *attack) {
		for _, object := range []client.Object{
			&appsv1.StatefulSet{ObjectMeta: a.meta("web-tokenservice")}, &appsv1.Deployment{ObjectMeta: a.meta("web-extauthz")},
			&corev1.Service{ObjectMeta: a.meta("web-feed")}, &corev1.ServiceAccount{ObjectMeta: a.meta("web-extauthz")},
		} {
			edit(a.world, object, func(o client.Object) { o.SetLabels(nil) })
		}
	}},
	{name: "pods' annotations removed", do: func(a *attack) {
		var pods corev1.PodList
		if err := admin.List(a.ctx, &pods, client.InNamespace(a.ns)); err != nil {
			a.Fatal(err)
		}
		for i := range pods.Items {
			edit(a.world, &pods.Items[i], func(p *corev1.Pod) { p.Annotations = nil })
		}
	}},
	{name: "a pod's label removed", do: func(a *attack) {
		edit(a.world, &corev1.Pod{ObjectMeta: a.meta("web-tokenservice-0")}, func(p *corev1.Pod) { p.Labels = nil })
		a.remove(&corev1.Pod{ObjectMeta: a.meta("web-tokenservice-0")}) // released by its workload, which makes another
	}},
}
