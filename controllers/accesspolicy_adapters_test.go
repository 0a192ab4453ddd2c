package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// TestAdapterEnvoyGateway: the SecurityPolicy attaches itself, fails closed, belongs to the policy, comes back when it is
// edited or deleted, and goes when it is not wanted any more.
func TestAdapterEnvoyGateway(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newRoute("orders"))
	target := routeRef("orders")
	target.SectionName = new("checkout")
	w.create(w.newAccess("orders", onTargets(routeRef("orders"), target), by(keyturnv1alpha1.AdapterEnvoyGateway)))
	w.accessReady("orders")
	made := w.made(keyturnv1alpha1.AdapterEnvoyGateway, "orders")
	if made == nil {
		t.Fatal("there is no SecurityPolicy")
	}
	want := map[string]any{
		"targetRefs": []any{
			map[string]any{"group": groupGateway, "kind": "HTTPRoute", "name": "orders"},
			map[string]any{"group": groupGateway, "kind": "HTTPRoute", "name": "orders", "sectionName": "checkout"},
		},
		"extAuth": map[string]any{
			"failOpen":          false,
			"grpc":              map[string]any{"backendRefs": []any{map[string]any{"group": "", "kind": "Service", "name": serviceName + "-extauthz", "port": int64(9000)}}},
			"contextExtensions": []any{map[string]any{"name": "keyturn.dev/policy", "type": "Value", "value": w.ns + "/orders"}},
		},
	}
	if diff := cmp.Diff(want, made.Object["spec"]); diff != "" {
		t.Errorf("the SecurityPolicy (-want +got):\n%s", diff)
	}
	if acp := w.access("orders"); !metav1.IsControlledBy(made, acp) || acp.Status.AdapterObject != "SecurityPolicy keyturn-orders" {
		t.Errorf("it is not the policy's: %v, %q", made.GetOwnerReferences(), acp.Status.AdapterObject)
	}

	made.Object["spec"].(map[string]any)["extAuth"].(map[string]any)["failOpen"] = true
	if err := admin.Update(w.ctx, made); err != nil {
		t.Fatal(err)
	}
	w.eventually("the edit is undone", func() string {
		if found := w.made(keyturnv1alpha1.AdapterEnvoyGateway, "orders"); found == nil || cmp.Diff(want, found.Object["spec"]) != "" {
			return "not yet"
		}
		return ""
	})
	w.remove(w.made(keyturnv1alpha1.AdapterEnvoyGateway, "orders"))
	w.eventually("the deletion is undone", func() string {
		if w.made(keyturnv1alpha1.AdapterEnvoyGateway, "orders") == nil {
			return "not yet"
		}
		return ""
	})

	refused := w.made(keyturnv1alpha1.AdapterEnvoyGateway, "orders")
	refused.Object["status"] = map[string]any{"ancestors": []any{map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": "False", "reason": "Conflicted", "message": "another one has the route"}}}}}
	if err := admin.Status().Update(w.ctx, refused); err != nil {
		t.Fatal(err)
	}
	c := w.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonAdapterRefused)
	if !strings.Contains(c.Message, "another one has the route") {
		t.Errorf("it does not say what Envoy Gateway says: %s", c.Message)
	}

	edit(w, w.newAccess("orders"), func(acp *keyturnv1alpha1.AccessPolicy) { acp.Spec.Adapter.Type = keyturnv1alpha1.AdapterNone })
	w.accessReady("orders")
	if w.made(keyturnv1alpha1.AdapterEnvoyGateway, "orders") != nil || w.access("orders").Status.AdapterObject != "" {
		t.Error("the SecurityPolicy stays")
	}
	w.remove(w.newAccess("orders"))
}

// TestAdapterHandsOver: a target that an older policy takes over is never without an object.
func TestAdapterHandsOver(t *testing.T) {
	w := newWorld(t)
	serving(w)
	for _, name := range []string{"one", "two"} {
		w.create(w.newRoute(name))
	}
	w.create(w.newAccess("old", onTargets(routeRef("two")), by(keyturnv1alpha1.AdapterEnvoyGateway)))
	w.accessReady("old")
	w.afterThisSecond("old")
	w.create(w.newAccess("young", onTargets(routeRef("one")), by(keyturnv1alpha1.AdapterEnvoyGateway)))
	w.accessReady("young")
	edit(w, w.newAccess("old"), func(acp *keyturnv1alpha1.AccessPolicy) {
		acp.Spec.TargetRefs = append(acp.Spec.TargetRefs, routeRef("one"))
	})
	w.eventually("the older one has it", func() string {
		guards := w.guards("one")
		if len(guards) == 0 {
			t.Fatal("nothing guards the route")
		}
		if len(guards) != 1 || guards[0] != "keyturn-old" {
			return strings.Join(guards, " ")
		}
		return ""
	})
	w.accessSays("young", keyturnv1alpha1.ConditionAccepted, metav1.ConditionFalse, keyturnv1alpha1.ReasonConflicted)
	w.accessReady("old")
}

// guards are the SecurityPolicies of a route.
func (w *world) guards(route string) []string {
	w.Helper()
	var all unstructured.UnstructuredList
	all.SetGroupVersionKind(adapters[keyturnv1alpha1.AdapterEnvoyGateway])
	if err := admin.List(w.ctx, &all, inNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	var out []string
	for i := range all.Items {
		refs, _, _ := unstructured.NestedSlice(all.Items[i].Object, "spec", "targetRefs")
		for _, ref := range refs {
			if ref.(map[string]any)["name"] == route {
				out = append(out, all.Items[i].GetName())
			}
		}
	}
	return out
}

// TestAdapterTraefik: the Middleware asks in Traefik's dialect, believes nobody's word about the request, and does not let
// the client say who it is.
func TestAdapterTraefik(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newAccess("orders", by(keyturnv1alpha1.AdapterTraefik), func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.TokenSources = []keyturnv1alpha1.AccessTokenSource{{Header: &keyturnv1alpha1.TokenHeader{Name: "X-Api-Token"}}}
		spec.UpstreamHeaders = []keyturnv1alpha1.UpstreamHeader{{Name: "X-Session", Claim: "sid"}}
	}))
	w.accessReady("orders")
	forward, _, err := unstructured.NestedMap(w.made(keyturnv1alpha1.AdapterTraefik, "orders").Object, "spec", "forwardAuth")
	if err != nil {
		t.Fatal(err)
	}
	if forward["address"] != "http://"+serviceName+"-extauthz."+w.ns+".svc:8080/authz/traefik/"+w.ns+"/orders" || forward["trustForwardHeader"] != false {
		t.Errorf("it asks %v", forward)
	}
	if diff := cmp.Diff([]any{"X-Auth-User", "X-Auth-Role", "X-Auth-Method", "X-Session"}, forward["authResponseHeaders"]); diff != "" {
		t.Errorf("authResponseHeaders (-want +got):\n%s", diff)
	}
	if list, given := forward["authRequestHeaders"]; given {
		t.Errorf("authRequestHeaders: %v: what is not listed is hidden from the edge and reaches the application", list)
	}
	if got := w.access("orders").Status.Snippet; !strings.Contains(got, w.ns+"-keyturn-orders@kubernetescrd") || !strings.Contains(got, "kind: Middleware, name: keyturn-orders") {
		t.Errorf("the snippet does not say how to attach it:\n%s", got)
	}
	edit(w, w.newAccess("orders"), func(acp *keyturnv1alpha1.AccessPolicy) {
		acp.Spec.Unauthenticated = keyturnv1alpha1.UnauthenticatedSpec{Navigation: keyturnv1alpha1.NavigationRedirect, LoginURL: new("/login")}
	})
	w.eventually("the location is kept", func() string {
		if kept, _, _ := unstructured.NestedBool(w.made(keyturnv1alpha1.AdapterTraefik, "orders").Object, "spec", "forwardAuth", "preserveLocationHeader"); !kept {
			return "not yet"
		}
		return ""
	})
	w.remove(w.newAccess("orders"))
	w.eventually("the deletion says that the route is open", func() string { return w.deletionSaid("orders", "Middleware keyturn-orders goes with it") })
}

// TestAdapterNginx prints annotations and edits nobody's Ingress.
func TestAdapterNginx(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newIngress("orders"))
	w.create(w.newAccess("orders", onTargets(ingressRef("orders")), by(keyturnv1alpha1.AdapterNginx)))
	w.accessReady("orders")
	got := w.access("orders").Status.Snippet
	for _, want := range []string{
		"nginx.ingress.kubernetes.io/auth-url: http://" + serviceName + "-extauthz." + w.ns + ".svc:8080/authz/ingress-nginx/" + w.ns + "/orders\n",
		"nginx.ingress.kubernetes.io/auth-response-headers: X-Auth-User,X-Auth-Role,X-Auth-Method\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the snippet has no %q:\n%s", want, got)
		}
	}
	ingress := w.newIngress("orders")
	if w.get(ingress, "orders"); len(ingress.Annotations) > 0 || len(ingress.ManagedFields) != 1 {
		t.Errorf("somebody edited the Ingress: %v", ingress.ManagedFields)
	}
}

// TestAdapterNameTaken: an object of that name that is not ours is reported and never touched, also when the policy goes.
func TestAdapterNameTaken(t *testing.T) {
	w := newWorld(t)
	serving(w)
	theirs := w.foreign("traefik.io/v1alpha1", "Middleware", w.ns, "keyturn-orders", map[string]any{"forwardAuth": map[string]any{"address": "http://theirs"}})
	w.create(theirs)
	w.create(w.newAccess("orders", by(keyturnv1alpha1.AdapterTraefik)))
	c := w.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonNameTaken)
	if !strings.Contains(c.Message, "keyturn-orders") || !strings.Contains(c.Message, "rename or delete it") {
		t.Errorf("says %s", c.Message)
	}
	edit(w, w.newAccess("orders"), func(acp *keyturnv1alpha1.AccessPolicy) { acp.Spec.Adapter.Type = keyturnv1alpha1.AdapterNone })
	w.accessReady("orders")
	if found := w.made(keyturnv1alpha1.AdapterTraefik, "orders"); found == nil || found.GetResourceVersion() != theirs.GetResourceVersion() {
		t.Error("it was touched")
	}
	edit(w, w.newAccess("orders"), func(acp *keyturnv1alpha1.AccessPolicy) { acp.Spec.Adapter.Type = keyturnv1alpha1.AdapterTraefik })
	w.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonNameTaken)
	w.remove(theirs)
	w.accessReady("orders")
}

// TestBareCluster has no kind of anybody else's: what needs one says so, the rest works, and all of it once they are there.
func TestBareCluster(t *testing.T) {
	w := newQuietWorld(t)
	bare := &bareCluster{groups: []string{groupGateway, "traefik.io", "gateway.envoyproxy.io"}}
	w.startManagerOver(bare.over)
	serving(w)
	w.create(w.newRoute("orders"))
	w.create(w.newAccess("named"))
	w.create(w.newAccess("routed", onTargets(routeRef("orders"))))
	w.create(w.newAccess("traefik", by(keyturnv1alpha1.AdapterTraefik)))
	w.create(w.newAccess("abroad", func(spec *keyturnv1alpha1.AccessPolicySpec) { spec.TokenServiceRef.Namespace = new("auth") }))
	w.accessReady("named")
	for _, row := range []struct{ name, condition, reason, text string }{
		{"routed", keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonTargetNotFound, "does not have the kind HTTPRoute"},
		{"traefik", keyturnv1alpha1.ConditionProgrammed, keyturnv1alpha1.ReasonAdapterNotInstalled, "does not have the kind Middleware"},
		{"abroad", keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonRefNotPermitted, "put the policy into namespace auth"},
	} {
		if c := w.accessSays(row.name, row.condition, metav1.ConditionFalse, row.reason); !strings.Contains(c.Message, row.text) {
			t.Errorf("%s says %s", row.name, c.Message)
		}
	}
	w.compiledAre("named", "routed", "traefik")
	bare.installed.Store(true)
	w.accessReady("routed")
	w.accessReady("traefik")
	if c := w.accessSays("abroad", keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonRefNotPermitted); strings.Contains(c.Message, "does not have") {
		w.eventually("the kind is noticed", func() string {
			c := (conditions{&w.access("abroad").Status.Conditions, 0}).find(keyturnv1alpha1.ConditionResolvedRefs)
			if strings.Contains(c.Message, "does not have") {
				return c.Message
			}
			return ""
		})
	}
}
