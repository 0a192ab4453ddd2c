package plugin

import (
	"strings"
	"testing"

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
	message := "Ingress shop is AccessPolicy orders's, which is older: delete one of the two, or name other targets; until then the edge refuses who asks by this policy"
	lost.Status.Attached, lost.Status.Replicas = "0/1", ""
	for i, kind := range []string{v1alpha1.ConditionAccepted, "", v1alpha1.ConditionProgrammed, "", v1alpha1.ConditionReady} {
		if kind != "" {
			lost.Status.Conditions[i] = condition(kind, "False", v1alpha1.ReasonConflicted, message)
		}
	}
	c := newCall(t, noFuncs, settledSet(), healthyService(), webPolicy(), accessPolicy("orders"), audit, lost)
	if err := c.Status(c.ctx, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-access", c.out.String())
	for _, text := range []string{"1 failure", "kubectl -n demo get accesspolicy", "auth/web", "not tried"} {
		if !strings.Contains(c.out.String(), text) {
			t.Errorf("it does not say %q", text)
		}
	}
}
