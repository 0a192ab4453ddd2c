package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func grantOf(from, to map[string]any) unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"from": []any{from}, "to": []any{to}}}}
}

// TestReferenceGrants walks what a grant can say. Every member counts, and a name that is not said is every name.
func TestReferenceGrants(t *testing.T) {
	from := func(group, kind, namespace any) map[string]any {
		return map[string]any{"group": group, "kind": kind, "namespace": namespace}
	}
	good := from("keyturn.dev", "AccessPolicy", "shop")
	for _, row := range []struct {
		name     string
		from, to map[string]any
		want     bool
	}{
		{"by name", good, map[string]any{"group": "keyturn.dev", "kind": "TokenService", "name": "web"}, true},
		{"every name", good, map[string]any{"group": "keyturn.dev", "kind": "TokenService"}, true},
		{"an empty name", good, map[string]any{"group": "keyturn.dev", "kind": "TokenService", "name": ""}, true},
		{"another name", good, map[string]any{"group": "keyturn.dev", "kind": "TokenService", "name": "other"}, false},
		{"a name that is no text", good, map[string]any{"group": "keyturn.dev", "kind": "TokenService", "name": int64(1)}, false},
		{"another kind", good, map[string]any{"group": "keyturn.dev", "kind": "TokenPolicy"}, false},
		{"the core group", good, map[string]any{"group": "", "kind": "TokenService"}, false},
		{"from another namespace", from("keyturn.dev", "AccessPolicy", "other"), map[string]any{"group": "keyturn.dev", "kind": "TokenService"}, false},
		{"from no namespace", from("keyturn.dev", "AccessPolicy", nil), map[string]any{"group": "keyturn.dev", "kind": "TokenService"}, false},
		{"from another kind", from("keyturn.dev", "AuthRollout", "shop"), map[string]any{"group": "keyturn.dev", "kind": "TokenService"}, false},
		{"from another group", from("example.com", "AccessPolicy", "shop"), map[string]any{"group": "keyturn.dev", "kind": "TokenService"}, false},
	} {
		grants := &referenceGrants{[]unstructured.Unstructured{{Object: map[string]any{"spec": "nonsense"}}, grantOf(row.from, row.to)}}
		if got := grants.allow("keyturn.dev", "AccessPolicy", "shop", "keyturn.dev", "TokenService", "web"); got != row.want {
			t.Errorf("%s: %t", row.name, got)
		}
	}
	if (&referenceGrants{}).allow("keyturn.dev", "AccessPolicy", "shop", "keyturn.dev", "TokenService", "web") {
		t.Error("nothing permits something")
	}
}

// TestHolders: age first, then the name; a namespace, a section and a kind are targets of their own.
func TestHolders(t *testing.T) {
	at := func(second int64, namespace, name string, targets ...keyturnv1alpha1.AccessTargetReference) keyturnv1alpha1.AccessPolicy {
		acp := keyturnv1alpha1.AccessPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(second, 0))}}
		acp.Spec.TargetRefs = targets
		return acp
	}
	section, other := routeRef("a"), routeRef("a")
	section.SectionName = new("rule")
	other.Kind = "GRPCRoute"
	all := []keyturnv1alpha1.AccessPolicy{
		at(2, "shop", "young", routeRef("a")), at(1, "shop", "old", routeRef("a"), routeRef("b")), at(2, "shop", "half", routeRef("b"), routeRef("c")),
		at(3, "shop", "section", section), at(3, "shop", "kind", other), at(3, "other", "abroad", routeRef("a")), at(9, "shop", "named"),
		at(4, "shop", "x2", ingressRef("i")), at(4, "shop", "x1", ingressRef("i")),
	}
	held := holdersOf(all)
	for i, beaten := range []bool{true, false, false, false, false, false, false, true, false} {
		if got := held.beaten(&all[i]); got != beaten {
			t.Errorf("%s is beaten: %t", all[i].Name, got)
		}
	}
	if who := held.holder(&all[2], &all[2].Spec.TargetRefs[0]); who == nil || who.Name != "old" {
		t.Errorf("the target is %v's", who)
	}
}

// TestHeaderUses: the same header in another spelling is the same header, in whichever order the policies come.
func TestHeaderUses(t *testing.T) {
	tells := &snapshot.AccessPolicy{Name: "shop/tells", Headers: []snapshot.UpstreamHeader{{Name: "X-Team-Token", Claim: "sub"}}}
	reads := &snapshot.AccessPolicy{Name: "shop/reads", Sources: []snapshot.TokenSource{{Cookie: "c"}, {Header: "X-TEAM-token"}}}
	both := &snapshot.AccessPolicy{Name: "shop/both", Headers: tells.Headers, Sources: reads.Sources}
	again := &snapshot.AccessPolicy{Name: "shop/again", Headers: tells.Headers}
	for _, row := range []struct {
		policies []*snapshot.AccessPolicy
		clashes  bool
	}{
		{[]*snapshot.AccessPolicy{tells, reads}, true}, {[]*snapshot.AccessPolicy{reads, tells}, true}, {[]*snapshot.AccessPolicy{both}, true},
		{[]*snapshot.AccessPolicy{tells, again}, false}, {[]*snapshot.AccessPolicy{reads, reads}, false},
	} {
		var uses headerUses
		clash := ""
		for _, p := range row.policies {
			clash = uses.take(p)
		}
		if (clash != "") != row.clashes {
			t.Errorf("%s: %q", row.policies[0].Name, clash)
		}
	}
}

// TestTookOver: a policy that has lost its target keeps the object that guards the route until the new holder has one of its
// own, and has it again when that one goes.
func TestTookOver(t *testing.T) {
	holder := func(adapter keyturnv1alpha1.AdapterType, object string) *keyturnv1alpha1.AccessPolicy {
		acp := &keyturnv1alpha1.AccessPolicy{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
		acp.Spec.Adapter.Type, acp.Status.ObservedGeneration, acp.Status.AdapterObject = adapter, 2, object
		return acp
	}
	stale := holder(keyturnv1alpha1.AdapterEnvoyGateway, "SecurityPolicy keyturn-a")
	stale.Status.ObservedGeneration = 1
	dying := holder(keyturnv1alpha1.AdapterEnvoyGateway, "SecurityPolicy keyturn-a")
	dying.DeletionTimestamp = new(metav1.Now())
	for _, row := range []struct {
		name   string
		holder *keyturnv1alpha1.AccessPolicy
		object string // that the loser has
		keeps  bool
	}{
		{"nobody else has it", nil, "", true},
		{"the holder guards it", holder(keyturnv1alpha1.AdapterEnvoyGateway, "SecurityPolicy keyturn-a"), "SecurityPolicy keyturn-b", false},
		{"the holder has no object yet", holder(keyturnv1alpha1.AdapterEnvoyGateway, ""), "SecurityPolicy keyturn-b", true},
		{"the holder has not looked", stale, "SecurityPolicy keyturn-b", true},
		{"the holder makes nothing", holder(keyturnv1alpha1.AdapterNone, ""), "SecurityPolicy keyturn-b", true},
		{"the holder makes a Middleware, which routes must name", holder(keyturnv1alpha1.AdapterTraefik, "Middleware keyturn-a"), "SecurityPolicy keyturn-b", true},
		{"the loser never had one", holder(keyturnv1alpha1.AdapterNone, ""), "", false},
		{"the holder is being deleted", dying, "", true},
	} {
		loser := &keyturnv1alpha1.AccessPolicy{}
		loser.Spec.TargetRefs, loser.Status.AdapterObject = []keyturnv1alpha1.AccessTargetReference{routeRef("orders")}, row.object
		step := &accessStep{acp: loser, held: map[int]*keyturnv1alpha1.AccessPolicy{0: row.holder}}
		if got := len(step.attachedTo()) == 1; got != row.keeps {
			t.Errorf("%s: it keeps the target: %t", row.name, got)
		}
	}
}
