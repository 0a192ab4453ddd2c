package plugin

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// AccessReport is one AccessPolicy.
type AccessReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Ready     string `json:"ready"`
	Mode      string `json:"mode"`
	// TokenService is the namespace/name of the one whose tokens count.
	TokenService string `json:"tokenService"`
	// Attached counts the targets that exist and are not contested, of all, or says that there are none.
	Attached string `json:"attached"`
	// Replicas are the edges that decide by it, of all.
	Replicas string `json:"replicas"`
	// Enforced says whether the ingress really asks by it, Reason why nobody knows, or why not.
	Enforced string `json:"enforced"`
	Reason   string `json:"enforcedReason,omitempty"`
	// Snippet is what to configure at the ingress.
	Snippet string `json:"snippet,omitempty"`
}

// addAccess puts the AccessPolicies into a report.
func (r *StatusReport) addAccess(policies []v1alpha1.AccessPolicy) {
	for i := range policies {
		acp := &policies[i]
		r.Problems = append(r.Problems, problems("AccessPolicy", acp, acp.Status.ObservedGeneration, acp.Status.Conditions)...)
		r.Access = append(r.Access, newAccessReport(acp))
	}
	gravestFirst(r.Problems)
}

func newAccessReport(acp *v1alpha1.AccessPolicy) AccessReport {
	service := acp.Namespace
	if other := acp.Spec.TokenServiceRef.Namespace; other != nil {
		service = *other
	}
	r := AccessReport{
		Namespace: acp.Namespace, Name: acp.Name, Ready: statusOf(acp.Status.Conditions, v1alpha1.ConditionReady), Mode: string(acp.Spec.Mode),
		TokenService: service + "/" + acp.Spec.TokenServiceRef.Name, Attached: acp.Status.Attached, Replicas: acp.Status.Replicas,
		Enforced: statusOf(acp.Status.Conditions, v1alpha1.ConditionEnforced), Snippet: acp.Status.Snippet,
	}
	if c := meta.FindStatusCondition(acp.Status.Conditions, v1alpha1.ConditionEnforced); c != nil && c.Status != metav1.ConditionTrue {
		r.Reason = c.Reason
	}
	return r
}

// enforcement is what is known of whether the ingress asks by a policy.
func (r *AccessReport) enforcement() cell {
	switch {
	case r.Reason == v1alpha1.ReasonNotProbed:
		return text("not tried")
	case r.Reason == v1alpha1.ReasonAuditOnly:
		return toned("audit only", wary)
	case r.Enforced == "Unknown" && r.Reason == v1alpha1.ReasonProbeFailed:
		return toned("probe failed", wary)
	case r.Enforced == "False" && r.Reason == v1alpha1.ReasonWrongPolicy:
		return toned("wrong policy", bad)
	}
	return truth(r.Enforced)
}

func accessTable(policies []AccessReport) *table {
	t := &table{heads: []string{"NAMESPACE", "NAME", "READY", "MODE", "TARGETS", "SERVICE", "EDGES", "ENFORCED"}}
	for i := range policies {
		r := &policies[i]
		mode := text(r.Mode)
		if r.Mode == string(v1alpha1.AccessAudit) {
			mode = toned(r.Mode, wary)
		}
		t.add(text(r.Namespace), text(r.Name), truth(r.Ready), mode, text(r.Attached), text(r.TokenService), text(r.Replicas), r.enforcement())
	}
	return t
}
