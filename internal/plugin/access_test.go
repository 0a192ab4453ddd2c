package plugin

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// accessPolicy is one that is in force, and not tried.
func accessPolicy(name string) *v1alpha1.AccessPolicy {
	acp := &v1alpha1.AccessPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Generation: 1}}
	acp.Spec.TokenServiceRef.Name, acp.Spec.Mode = "web", v1alpha1.AccessEnforce
	acp.Status = v1alpha1.AccessPolicyStatus{
		ObservedGeneration: 1, Attached: "by name", Replicas: "2/2", Snippet: "keyturn.dev/policy: demo/" + name + "\n",
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionAccepted, "True", v1alpha1.ReasonAccepted, ""), condition(v1alpha1.ConditionResolvedRefs, "True", v1alpha1.ReasonResolved, ""),
			condition(v1alpha1.ConditionProgrammed, "True", v1alpha1.ReasonAsExpected, ""), condition(v1alpha1.ConditionEnforced, "Unknown", v1alpha1.ReasonNotProbed, "nobody has tried"),
			condition(v1alpha1.ConditionReady, "True", v1alpha1.ReasonReady, ""),
		},
	}
	return acp
}

// TestAccessInStatus draws one policy in force, one that only audits, and one that lost its target.
func TestAccessInStatus(t *testing.T) {
	audit, lost := accessPolicy("reports"), accessPolicy("shop")
	audit.Spec.Mode, audit.Spec.TokenServiceRef.Namespace = v1alpha1.AccessAudit, new("auth")
	audit.Status.Conditions[3] = condition(v1alpha1.ConditionEnforced, "False", v1alpha1.ReasonAuditOnly, "it refuses nothing")
	tried, failed, open, other := accessPolicy("tried"), accessPolicy("failed"), openPolicy(), accessPolicy("other")
	tried.Status.Conditions[3] = condition(v1alpha1.ConditionEnforced, "True", v1alpha1.ReasonProbed, "it refused everything")
	failed.Status.Conditions[3] = condition(v1alpha1.ConditionEnforced, "Unknown", v1alpha1.ReasonProbeFailed, "no answer within 3s")
	other.Status.Conditions[3] = condition(v1alpha1.ConditionEnforced, "False", v1alpha1.ReasonWrongPolicy, "an edge refused, and does not know the probe")
	message := "Ingress shop is AccessPolicy orders's, which is older: delete one of the two, or name other targets; until then the edge refuses who asks by this policy"
	lost.Status.Attached, lost.Status.Replicas = "0/1", ""
	for i, kind := range []string{v1alpha1.ConditionAccepted, "", v1alpha1.ConditionProgrammed, "", v1alpha1.ConditionReady} {
		if kind != "" {
			lost.Status.Conditions[i] = condition(kind, "False", v1alpha1.ReasonConflicted, message)
		}
	}
	c := newCall(t, noFuncs, settledSet(), healthyService(), webPolicy(), accessPolicy("orders"), audit, lost, tried, failed, open, other)
	if err := c.Status(c.ctx, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-access", c.out.String())
	for _, text := range []string{"3 failures", "kubectl -n demo get accesspolicy", "auth/web", "not tried", "audit only", "probe failed", "wrong policy"} {
		if !strings.Contains(c.out.String(), text) {
			t.Errorf("it does not say %q", text)
		}
	}
}

// guardedPolicy has every kind of rule, and was tried.
func guardedPolicy() *v1alpha1.AccessPolicy {
	acp := accessPolicy("orders")
	ingress := v1alpha1.AccessTargetReference{Group: "networking.k8s.io", Kind: "Ingress", Name: "orders"}
	listener := v1alpha1.AccessTargetReference{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: "public", SectionName: new("https")}
	acp.Spec.TargetRefs = []v1alpha1.AccessTargetReference{ingress, listener}
	acp.Spec.Accept = []v1alpha1.AccessCredential{v1alpha1.AccessJWT, v1alpha1.AccessLegacySession}
	acp.Spec.Require.Roles = []string{"staff", "admin"}
	acp.Spec.Rules = []v1alpha1.AccessRule{
		{Path: &v1alpha1.AccessPath{Type: v1alpha1.PathExact, Value: "/healthz"}, Methods: []string{"GET", "HEAD"}, Anonymous: true},
		{Path: &v1alpha1.AccessPath{Type: v1alpha1.PathPrefix, Value: "/admin"}, Roles: []string{"admin"}},
		{Methods: []string{"GET"}},
	}
	acp.Spec.Unauthenticated.Navigation, acp.Spec.Unauthenticated.LoginURL = v1alpha1.NavigationRedirect, new("/login")
	acp.Spec.Probe = &v1alpha1.AccessProbe{URL: "https://orders.example.com/"}
	acp.Status.Attached, acp.Status.ProbedTime = "2/2", at(12*time.Second)
	taken := []metav1.Condition{condition(v1alpha1.ConditionAccepted, "True", v1alpha1.ReasonAccepted, ""), condition(v1alpha1.ConditionResolvedRefs, "True", v1alpha1.ReasonResolved, "")}
	acp.Status.Targets = []v1alpha1.AccessTargetStatus{{TargetRef: listener, Conditions: taken}, {TargetRef: ingress, Conditions: slices.Clone(taken)}}
	acp.Status.Conditions[3] = condition(v1alpha1.ConditionEnforced, "True", v1alpha1.ReasonProbed, "https://orders.example.com/ refuses by this policy whoever has no credential, a bad one, and the probe's token")
	return acp
}

// openPolicy guards a route that is open all the same.
func openPolicy() *v1alpha1.AccessPolicy {
	acp := guardedPolicy()
	acp.Name, acp.Status.Targets[1].Conditions[1] = "open", condition(v1alpha1.ConditionResolvedRefs, "False", v1alpha1.ReasonTargetNotFound, "there is no Ingress orders in namespace demo")
	acp.Status.Attached = "1/2"
	acp.Status.Conditions[3] = condition(v1alpha1.ConditionEnforced, "False", v1alpha1.ReasonNotEnforced, "https://orders.example.com/ answers 200 to a request without a credential: THE ROUTE IS OPEN")
	return acp
}

// newPolicy was applied a moment ago.
func newPolicy() *v1alpha1.AccessPolicy {
	acp := guardedPolicy()
	acp.Status = v1alpha1.AccessPolicyStatus{}
	return acp
}

func TestAccessGolden(t *testing.T) {
	audit := accessPolicy("reports")
	audit.Spec.Mode, audit.Status.AdapterObject = v1alpha1.AccessAudit, "SecurityPolicy keyturn-reports"
	audit.Status.Conditions[3] = condition(v1alpha1.ConditionEnforced, "False", v1alpha1.ReasonAuditOnly, "this policy answered, and refuses nothing: its mode is Audit")
	for _, row := range []struct {
		name   string
		acp    *v1alpha1.AccessPolicy
		screen Screen
	}{
		{"access-guarded", guardedPolicy(), fineScreen},
		{"access-guarded-ascii", guardedPolicy(), plainScreen},
		{"access-guarded-colour", guardedPolicy(), paintScreen},
		{"access-open", openPolicy(), fineScreen},
		{"access-open-narrow", openPolicy(), narrowScreen},
		{"access-audit", audit, fineScreen},
		{"access-new", newPolicy(), fineScreen},
	} {
		t.Run(row.name, func(t *testing.T) {
			report := NewPolicyDetail(row.acp)
			golden(t, row.name, drawPolicy(row.screen, &report, now))
		})
	}
}

func TestAccessCommand(t *testing.T) {
	c := newCall(t, noFuncs, guardedPolicy(), openPolicy())
	if err := c.Access(c.ctx, "", false); err != nil {
		t.Fatal(err)
	}
	golden(t, "command-access", c.out.String())
	c.out.Reset()
	c.Format = JSON
	if err := c.Access(c.ctx, "open", false); err != nil {
		t.Fatal(err)
	}
	golden(t, "command-access-json", c.out.String())
	err := c.Access(c.ctx, "order", false)
	if err == nil || !strings.Contains(Explain(err, "demo").Mend, "it has: open, orders") {
		t.Errorf("a name that is not there: %v", err)
	}
	if names := c.AccessNames(c.ctx); len(names) != 2 {
		t.Errorf("completion offers %v", names)
	}
}
