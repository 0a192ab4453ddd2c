package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// TestAccessReachesTheEdges walks a policy from its creation to its deletion: it is in the document as it was declared, an
// edit follows it, and it is Programmed only once every edge has it.
func TestAccessReachesTheEdges(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.fleet.set("edge", fault{lag: true})
	w.create(w.newAccess("orders", func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.Require.Roles = []string{"clerk"}
		spec.Rules = []keyturnv1alpha1.AccessRule{
			{Path: &keyturnv1alpha1.AccessPath{Value: "/public"}, Methods: []string{"GET"}, Anonymous: true},
			{Path: &keyturnv1alpha1.AccessPath{Type: keyturnv1alpha1.PathExact, Value: "/admin"}, Roles: []string{"admin"}},
		}
		spec.Preflight = true
		spec.Unauthenticated = keyturnv1alpha1.UnauthenticatedSpec{Navigation: keyturnv1alpha1.NavigationRedirect, LoginURL: new("/login")}
		spec.TokenSources = []keyturnv1alpha1.AccessTokenSource{
			{Header: &keyturnv1alpha1.TokenHeader{Name: "Authorization", Scheme: new("Bearer")}, Foreign: keyturnv1alpha1.ForeignReject},
			{Cookie: &keyturnv1alpha1.TokenCookie{Name: "__Host-keyturn-access"}},
		}
		spec.UpstreamHeaders = []keyturnv1alpha1.UpstreamHeader{{Name: "X-Session", Claim: "sid"}, {Name: "X-Team", Claim: "role"}}
	}))
	waiting := w.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonWaitingForReplicas)
	if !strings.Contains(waiting.Message, "-extauthz-") || !strings.Contains(waiting.Message, "has revision") {
		t.Errorf("the message names no edge: %s", waiting.Message)
	}
	w.compiledAre("orders")
	want := snapshot.AccessPolicy{
		Name: w.ns + "/orders", Accept: []string{"JWT", "LegacySession"}, Roles: []string{"clerk"}, Preflight: true, LoginURL: "/login",
		Rules: []snapshot.AccessRule{
			{Path: "/public", PathType: "PathPrefix", Methods: []string{"GET"}, Anonymous: true}, {Path: "/admin", PathType: "Exact", Roles: []string{"admin"}},
		},
		Sources: []snapshot.TokenSource{{Header: "Authorization", Scheme: "Bearer", RejectForeign: true}, {Cookie: "__Host-keyturn-access"}},
		Headers: []snapshot.UpstreamHeader{{Name: "X-Session", Claim: "sid"}, {Name: "X-Team", Claim: "role"}},
	}
	if diff := cmp.Diff(want, w.compiled()["orders"]); diff != "" {
		t.Errorf("the document (-want +got):\n%s", diff)
	}
	w.fleet.set("edge", fault{})
	w.accessReady("orders")
	acp := w.access("orders")
	if acp.Status.Replicas != "2/2" || acp.Status.Attached != "by name" || !strings.Contains(acp.Status.Snippet, "keyturn.dev/policy: "+w.ns+"/orders") {
		t.Errorf("the status: %s\n%s", w.tells("orders"), acp.Status.Snippet)
	}
	w.accessSays("orders", keyturnv1alpha1.ConditionEnforced, metav1.ConditionUnknown, keyturnv1alpha1.ReasonNotProbed)

	edit(w, w.newAccess("orders"), func(acp *keyturnv1alpha1.AccessPolicy) { acp.Spec.Mode = keyturnv1alpha1.AccessAudit })
	w.eventually("the edit reaches the document", func() string {
		if !w.compiled()["orders"].Audit {
			return "it does not audit"
		}
		return ""
	})
	w.accessReady("orders")

	w.remove(w.newAccess("orders"))
	w.compiledAre()
	w.eventually("the deletion is said", func() string { return w.deletionSaid("orders", "no_policy") })
}

// deletionSaid looks for the Event of a deletion.
func (w *world) deletionSaid(name, text string) string {
	var all eventsv1.EventList
	if err := admin.List(w.ctx, &all, client.InNamespace(w.ns)); err != nil {
		return err.Error()
	}
	for _, e := range all.Items {
		if e.Reason == keyturnv1alpha1.ReasonPolicyDeleted && e.Regarding.Name == name && strings.Contains(e.Note, text) {
			return ""
		}
	}
	return "no Event"
}

// TestAccessUnreachableEdge is not Programmed while an edge does not answer, and is again when it does.
func TestAccessUnreachableEdge(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newAccess("orders"))
	w.accessReady("orders")
	w.fleet.set("edge", fault{unreachable: true})
	w.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonReplicaUnreachable)
	w.fleet.set("edge", fault{})
	w.accessReady("orders")
	// Another policy makes another revision: this one is in force all the while.
	w.fleet.set("edge", fault{lag: true})
	w.create(w.newAccess("other"))
	w.accessSays("other", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonWaitingForReplicas)
	if c := w.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionTrue, keyturnv1alpha1.ReasonAsExpected); !strings.Contains(c.Message, "all 2 edges") {
		t.Errorf("says %s", c.Message)
	}
}

// TestAccessConflicts: the oldest on a target wins, on each target for itself, and when it goes the next one has it.
func TestAccessConflicts(t *testing.T) {
	w := newWorld(t)
	serving(w)
	for _, name := range []string{"one", "two"} {
		w.create(w.newIngress(name))
	}
	w.create(w.newAccess("first", onTargets(ingressRef("one"))))
	w.accessReady("first")
	w.afterThisSecond("first")
	w.create(w.newAccess("second", onTargets(ingressRef("one"))))
	w.create(w.newAccess("third", onTargets(ingressRef("one"), ingressRef("two"))))
	w.create(w.newAccess("named"))
	lost := w.accessSays("second", keyturnv1alpha1.ConditionAccepted, metav1.ConditionFalse, keyturnv1alpha1.ReasonConflicted)
	if !strings.Contains(lost.Message, "AccessPolicy first") {
		t.Errorf("it does not say who won: %s", lost.Message)
	}
	w.accessSays("second", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionFalse, keyturnv1alpha1.ReasonConflicted)
	// One of two targets is enough to be in force, and not enough to be ready.
	w.accessSays("third", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionTrue, keyturnv1alpha1.ReasonAsExpected)
	w.accessSays("third", keyturnv1alpha1.ConditionReady, metav1.ConditionFalse, keyturnv1alpha1.ReasonConflicted)
	third := w.access("third").Status
	if third.Attached != "1/2" || len(third.Targets) != 2 {
		t.Fatalf("the status: %s", w.tells("third"))
	}
	for i, want := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionTrue} {
		if c := (conditions{&third.Targets[i].Conditions, 0}).find(keyturnv1alpha1.ConditionAccepted); c == nil || c.Status != want {
			t.Errorf("target %d: %s", i, w.tells("third"))
		}
	}
	w.accessReady("named")
	w.compiledAre("first", "third", "named")

	w.remove(w.newAccess("first"))
	w.eventually("the next one has it", func() string {
		if holder := w.access("second").Status.Attached + " " + w.access("third").Status.Attached; holder != "1/1 1/2" {
			return holder
		}
		return ""
	})
	w.accessReady("second")
	w.compiledAre("second", "third", "named")
}

// afterThisSecond waits until the API server's clock, which stamps objects by the second, has left that of a policy.
func (w *world) afterThisSecond(name string) {
	w.Helper()
	made := w.access(name).CreationTimestamp.Time
	w.eventually("a second passes", func() string {
		if time.Now().Before(made.Add(time.Second)) {
			return "not yet"
		}
		return ""
	})
}

// TestAccessTargetsMissing: what is not there yet denies nobody more, and is noticed when it comes.
func TestAccessTargetsMissing(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newAccess("orders", onTargets(ingressRef("orders"), routeRef("orders"))))
	missing := w.accessSays("orders", keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonTargetNotFound)
	for _, part := range []string{"there is no Ingress orders", "there is no HTTPRoute orders", "create it"} {
		if !strings.Contains(missing.Message, part) {
			t.Errorf("it does not say %q: %s", part, missing.Message)
		}
	}
	w.compiledAre("orders")
	w.accessSays("orders", keyturnv1alpha1.ConditionProgrammed, metav1.ConditionTrue, keyturnv1alpha1.ReasonAsExpected)
	w.create(w.newIngress("orders"))
	w.create(w.newRoute("orders"))
	w.accessReady("orders")
	if got := w.access("orders").Status.Attached; got != "2/2" {
		t.Errorf("attached %s", got)
	}
	w.remove(w.newRoute("orders"))
	w.accessSays("orders", keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonTargetNotFound)
}

// TestAccessClaims: a claim that no token carries takes the policy out, instead of leaving its header to the client.
func TestAccessClaims(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newAccess("orders", func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.UpstreamHeaders = []keyturnv1alpha1.UpstreamHeader{{Name: "X-Team", Claim: "team"}}
	}))
	wrong := w.accessSays("orders", keyturnv1alpha1.ConditionAccepted, metav1.ConditionFalse, keyturnv1alpha1.ReasonInvalidSpec)
	if !strings.Contains(wrong.Message, `"team"`) || !strings.Contains(wrong.Message, "claims.allow") {
		t.Errorf("it does not say how to mend it: %s", wrong.Message)
	}
	w.compiledAre()
	edit(w, w.newPolicy(), func(p *keyturnv1alpha1.TokenPolicy) { p.Spec.Claims.Allow = []string{"user_id", "role", "team"} })
	w.accessReady("orders")
	w.compiledAre("orders")
}

// TestAccessWithoutService names what is missing, and is in force once it comes.
func TestAccessWithoutService(t *testing.T) {
	w := newWorld(t)
	w.create(w.newAccess("orders"))
	c := w.accessSays("orders", keyturnv1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, keyturnv1alpha1.ReasonTokenServiceNotFound)
	if !strings.Contains(c.Message, serviceName) {
		t.Errorf("says %s", c.Message)
	}
	serving(w)
	w.accessReady("orders")
}

// TestAccessKilledManager kills a manager before and after each write to a policy's status and its ingress's object. The next
// one brings it to the same end.
func TestAccessKilledManager(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := int64(1); at <= 3; at++ {
			t.Run(fmt.Sprintf("write %d after %t", at, after), func(t *testing.T) {
				w := newQuietWorld(t)
				w.startManager()
				serving(w)
				w.stopManager()
				g := &guillotine{at: at, after: after, dead: make(chan struct{}), counts: func(path string) bool {
					return strings.Contains(path, "/accesspolicies/") || strings.Contains(path, "/middlewares") || strings.Contains(path, "-edge-snapshot")
				}}
				w.startManagerOver(g.over)
				w.create(w.newIngress("orders"))
				w.create(w.newAccess("orders", onTargets(ingressRef("orders")), by(keyturnv1alpha1.AdapterTraefik)))
				w.eventually("the manager dies", func() string {
					select {
					case <-g.dead:
						return ""
					default:
						return fmt.Sprintf("it has made %d writes", g.seen.Load())
					}
				})
				w.stopManager()
				w.startManager()
				w.accessReady("orders")
				w.compiledAre("orders")
				if w.made(keyturnv1alpha1.AdapterTraefik, "orders") == nil {
					t.Error("there is no Middleware")
				}
			})
		}
	}
}

// TestAccessQuiet holds a policy that nobody touches to no writes at all.
func TestAccessQuiet(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newIngress("orders"))
	w.create(w.newAccess("orders", onTargets(ingressRef("orders")), by(keyturnv1alpha1.AdapterTraefik)))
	w.accessReady("orders")
	w.eventually("quiet", func() string {
		before := w.writes.Load()
		ctx, cancel := context.WithTimeout(w.ctx, 2500*time.Millisecond) // two steady polls
		defer cancel()
		<-ctx.Done()
		if more := w.writes.Load() - before; more > 0 {
			return fmt.Sprintf("%d writes", more)
		}
		return ""
	})
}

// TestAccessHeadersClash: of two policies that use one header for two things the older one stays, and the document is one that
// an edge takes.
func TestAccessHeadersClash(t *testing.T) {
	w := newWorld(t)
	serving(w)
	w.create(w.newAccess("reads", func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.TokenSources = []keyturnv1alpha1.AccessTokenSource{{Header: &keyturnv1alpha1.TokenHeader{Name: "X-Team-Token"}}}
	}))
	w.accessReady("reads")
	w.afterThisSecond("reads")
	w.create(w.newAccess("tells", func(spec *keyturnv1alpha1.AccessPolicySpec) {
		spec.UpstreamHeaders = []keyturnv1alpha1.UpstreamHeader{{Name: "x-team-token", Claim: "sub"}}
	}))
	c := w.accessSays("tells", keyturnv1alpha1.ConditionAccepted, metav1.ConditionFalse, keyturnv1alpha1.ReasonConflicted)
	if !strings.Contains(c.Message, "AccessPolicy "+w.ns+"/reads takes tokens") {
		t.Errorf("says %s", c.Message)
	}
	w.compiledAre("reads")
	w.accessReady("reads")
	edit(w, w.newAccess("reads"), func(acp *keyturnv1alpha1.AccessPolicy) { acp.Spec.TokenSources = nil })
	w.accessReady("tells")
	w.compiledAre("reads", "tells")
}
