package controllers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// newAccess is a policy of the namespace, reached by name.
func (w *world) newAccess(name string, change ...func(*keyturnv1alpha1.AccessPolicySpec)) *keyturnv1alpha1.AccessPolicy {
	acp := &keyturnv1alpha1.AccessPolicy{ObjectMeta: w.meta(name), Spec: keyturnv1alpha1.AccessPolicySpec{
		TokenServiceRef: keyturnv1alpha1.AccessTokenServiceReference{Name: serviceName},
	}}
	for _, c := range change {
		c(&acp.Spec)
	}
	return acp
}

// onTargets puts a policy on targets.
func onTargets(all ...keyturnv1alpha1.AccessTargetReference) func(*keyturnv1alpha1.AccessPolicySpec) {
	return func(spec *keyturnv1alpha1.AccessPolicySpec) { spec.TargetRefs = all }
}

func by(adapter keyturnv1alpha1.AdapterType) func(*keyturnv1alpha1.AccessPolicySpec) {
	return func(spec *keyturnv1alpha1.AccessPolicySpec) { spec.Adapter.Type = adapter }
}

func ingressRef(name string) keyturnv1alpha1.AccessTargetReference {
	return keyturnv1alpha1.AccessTargetReference{Group: "networking.k8s.io", Kind: "Ingress", Name: name}
}

func routeRef(name string) keyturnv1alpha1.AccessTargetReference {
	return keyturnv1alpha1.AccessTargetReference{Group: groupGateway, Kind: "HTTPRoute", Name: name}
}

func (w *world) newIngress(name string) *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: w.meta(name), Spec: networkingv1.IngressSpec{
		DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "shop", Port: networkingv1.ServiceBackendPort{Number: 80}}},
	}}
}

// foreign is an object of somebody else's kind.
func (w *world) foreign(version, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetAPIVersion(version)
	object.SetKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

func (w *world) newRoute(name string) *unstructured.Unstructured {
	return w.foreign(groupGateway+"/v1", "HTTPRoute", w.ns, name, map[string]any{})
}

// grant lets objects of a namespace refer to what is in another.
func (w *world) grant(namespace, fromGroup, fromKind, toGroup, toKind, toName string) *unstructured.Unstructured {
	to := map[string]any{"group": toGroup, "kind": toKind}
	if toName != "" {
		to["name"] = toName
	}
	return w.foreign(groupGateway+"/v1beta1", "ReferenceGrant", namespace, strings.ToLower(fromKind+"-"+toKind), map[string]any{
		"from": []any{map[string]any{"group": fromGroup, "kind": fromKind, "namespace": w.ns}}, "to": []any{to},
	})
}

func (w *world) access(name string) *keyturnv1alpha1.AccessPolicy {
	w.Helper()
	var acp keyturnv1alpha1.AccessPolicy
	w.get(&acp, name)
	return &acp
}

// tells is what a policy says about itself.
func (w *world) tells(name string) string {
	acp := w.access(name)
	out := fmt.Sprintf("attached %q, replicas %q, object %q\n", acp.Status.Attached, acp.Status.Replicas, acp.Status.AdapterObject)
	for _, c := range acp.Status.Conditions {
		out += fmt.Sprintf("  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	for _, t := range acp.Status.Targets {
		for _, c := range t.Conditions {
			out += fmt.Sprintf("  %s %s: %s=%s %s: %s\n", t.TargetRef.Kind, t.TargetRef.Name, c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return out
}

// accessSays waits for a condition of a policy about its present spec.
func (w *world) accessSays(name, kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	w.Helper()
	var found *metav1.Condition
	w.eventually(fmt.Sprintf("%s: %s is %s %s", name, kind, status, reason), func() string {
		acp := w.access(name)
		found = conditions{&acp.Status.Conditions, 0}.find(kind)
		if found == nil || found.Status != status || found.Reason != reason || found.ObservedGeneration != acp.Generation {
			return w.tells(name)
		}
		return ""
	})
	return found
}

func (w *world) accessReady(name string) {
	w.Helper()
	w.accessSays(name, keyturnv1alpha1.ConditionReady, metav1.ConditionTrue, keyturnv1alpha1.ReasonReady)
}

// compiled are the policies in the edges' document, by name.
func (w *world) compiled() map[string]snapshot.AccessPolicy {
	w.Helper()
	doc, err := w.edgeDocument()
	if err != nil {
		w.Fatal(err)
	}
	out := map[string]snapshot.AccessPolicy{}
	for _, p := range doc.Policies {
		out[strings.TrimPrefix(p.Name, w.ns+"/")] = p
	}
	return out
}

// compiledAre waits until exactly these are in the edges' document.
func (w *world) compiledAre(names ...string) {
	w.Helper()
	w.eventually(fmt.Sprintf("the edges' document has %v", names), func() string {
		got := w.compiled()
		for _, name := range names {
			if _, has := got[name]; !has || len(got) != len(names) {
				return fmt.Sprintf("it has %v", got)
			}
		}
		if len(names) == 0 && len(got) > 0 {
			return fmt.Sprintf("it has %v", got)
		}
		return ""
	})
}

// made reads what an adapter made, nil if it is not there.
func (w *world) made(adapter keyturnv1alpha1.AdapterType, policy string) *unstructured.Unstructured {
	w.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(adapters[adapter])
	if err := admin.Get(w.ctx, client.ObjectKey{Namespace: w.ns, Name: "keyturn-" + policy}, object); client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	} else if err != nil {
		return nil
	}
	return object
}

// serving gives a world a TokenService that works.
func serving(w *world) {
	w.Helper()
	w.declare()
	w.eventually("settle", w.unhealthy)
}

// bareCluster answers as an API server without some groups, until they are installed.
type bareCluster struct {
	next      http.RoundTripper
	groups    []string
	installed atomic.Bool
}

func (b *bareCluster) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.installed.Load() {
		return b.next.RoundTrip(r)
	}
	for _, group := range b.groups {
		if strings.HasPrefix(r.URL.Path, "/apis/"+group) {
			r = r.Clone(r.Context())
			r.URL.Path = "/apis/absent.example.com/v1"
		}
	}
	response, err := b.next.RoundTrip(r)
	if err != nil || r.URL.Path != "/apis" || response.StatusCode != http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	var list map[string]any
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return nil, err
	}
	for _, member := range []string{"items", "groups"} { // with and without the resources of each
		if groups, found := list[member].([]any); found {
			list[member] = slices.DeleteFunc(groups, b.hides)
		}
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return response, nil
}

func (b *bareCluster) hides(entry any) bool {
	group, ok := entry.(map[string]any)
	if !ok {
		return false
	}
	name, _ := group["name"].(string)
	if metadata, has := group["metadata"].(map[string]any); has {
		name, _ = metadata["name"].(string)
	}
	return slices.Contains(b.groups, name)
}

func (b *bareCluster) over(next http.RoundTripper) http.RoundTripper {
	b.next = next
	return b
}

func (g *guillotine) over(next http.RoundTripper) http.RoundTripper {
	g.next = next
	return g
}

func inNamespace(namespace string) client.ListOption { return client.InNamespace(namespace) }
