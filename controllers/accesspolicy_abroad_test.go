package controllers

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// newWorldAbroad is a world whose TokenService is to be used from another namespace, whose name it returns.
func newWorldAbroad(t *testing.T) (w *world, abroad string) {
	t.Helper()
	w = newQuietWorld(t)
	abroad = newNamespace(t)
	w.elsewhere = []string{abroad}
	w.startManager()
	serving(w)
	return w, abroad
}

// from is a world seen from another namespace: its helpers read the policies there.
func (w *world) from(namespace string) *world {
	return &world{T: w.T, ctx: w.ctx, ns: namespace, clock: w.clock, fleet: w.fleet}
}

// TestAccessAbroad: a policy of another namespace counts while a ReferenceGrant in the TokenService's namespace says so, and
// not a moment longer.
func TestAccessAbroad(t *testing.T) {
	w, namespace := newWorldAbroad(t)
	there := w.from(namespace)
	there.create(there.newAccess("orders", func(spec *keyturnv1alpha1.AccessPolicySpec) { spec.TokenServiceRef.Namespace = new(w.ns) }))
	refused := there.accessSays("orders", keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonRefNotPermitted)
	for _, part := range []string{"create a ReferenceGrant in namespace " + w.ns, "namespace " + namespace, "kind AccessPolicy", "kind TokenService"} {
		if !strings.Contains(refused.Message, part) {
			t.Errorf("it does not say %q: %s", part, refused.Message)
		}
	}
	there.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonRefNotPermitted)
	// Grants that are for something else permit nothing.
	for i, wrong := range []client.Object{
		there.grant(w.ns, keyturnv1alpha1.Group, "AccessPolicy", keyturnv1alpha1.Group, "TokenService", "another"),
		there.grant(w.ns, keyturnv1alpha1.Group, "AccessPolicy", keyturnv1alpha1.Group, "TokenPolicy", ""),
		there.grant(w.ns, groupGateway, "AccessPolicy", keyturnv1alpha1.Group, "TokenService", ""),
		w.grant(w.ns, keyturnv1alpha1.Group, "AccessPolicy", keyturnv1alpha1.Group, "TokenService", ""), // of the wrong namespace
		there.grant(namespace, keyturnv1alpha1.Group, "AccessPolicy", keyturnv1alpha1.Group, "TokenService", ""),
	} {
		wrong.SetName("wrong-" + string(rune('a'+i)))
		w.create(wrong)
	}
	w.create(w.newAccess("here")) // and as long as this takes, no policy of another namespace came in
	w.accessReady("here")
	w.compiledAre("here")

	grant := there.grant(w.ns, keyturnv1alpha1.Group, "AccessPolicy", keyturnv1alpha1.Group, "TokenService", serviceName)
	w.create(grant)
	there.accessReady("orders")
	w.compiledAre("here", namespace+"/orders")

	w.remove(grant)
	there.accessSays("orders", keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonRefNotPermitted)
	w.compiledAre("here")
}

// TestAdapterAbroad: Envoy Gateway needs a grant of its own for the edge's Service.
func TestAdapterAbroad(t *testing.T) {
	w, namespace := newWorldAbroad(t)
	there := w.from(namespace)
	there.create(there.newRoute("orders"))
	w.create(there.grant(w.ns, keyturnv1alpha1.Group, "AccessPolicy", keyturnv1alpha1.Group, "TokenService", ""))
	there.create(there.newAccess("orders", onTargets(routeRef("orders")), by(keyturnv1alpha1.AdapterEnvoyGateway), func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.TokenServiceRef.Namespace = new(w.ns)
	}))
	w.eventually("the grant that is missing is named", func() string { // until the other one is noticed, it is that one
		refused := there.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonRefNotPermitted)
		if !strings.Contains(refused.Message, "kind SecurityPolicy") || !strings.Contains(refused.Message, "Service "+serviceName+"-extauthz") {
			return refused.Message
		}
		return ""
	})
	made := there.made(keyturnv1alpha1.AdapterEnvoyGateway, "orders")
	if made == nil {
		t.Fatal("there is no SecurityPolicy: the route would be open")
	}
	backend := made.Object["spec"].(map[string]any)["extAuth"].(map[string]any)["grpc"].(map[string]any)["backendRefs"].([]any)[0].(map[string]any)
	if backend["namespace"] != w.ns {
		t.Errorf("it asks %v", backend)
	}
	w.create(there.grant(w.ns, "gateway.envoyproxy.io", "SecurityPolicy", "", "Service", ""))
	there.accessReady("orders")
}
