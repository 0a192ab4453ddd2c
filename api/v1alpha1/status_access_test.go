package v1alpha1_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// accessPolicy is one as a Go client makes it.
func accessPolicy(meta metav1.ObjectMeta) *v1alpha1.AccessPolicy {
	return &v1alpha1.AccessPolicy{ObjectMeta: meta, Spec: v1alpha1.AccessPolicySpec{
		TokenServiceRef: v1alpha1.AccessTokenServiceReference{Name: "web"},
		TargetRefs:      []v1alpha1.AccessTargetReference{{Group: "networking.k8s.io", Kind: "Ingress", Name: "orders"}},
	}}
}

// accessStatus has every field.
func accessStatus() v1alpha1.AccessPolicyStatus {
	return v1alpha1.AccessPolicyStatus{
		ObservedGeneration: 1, Attached: "1/1", Replicas: "2/2", AdapterObject: "Middleware keyturn-orders", Snippet: "configure this",
		Targets: []v1alpha1.AccessTargetStatus{{
			TargetRef:  v1alpha1.AccessTargetReference{Group: "networking.k8s.io", Kind: "Ingress", Name: "orders"},
			Conditions: []metav1.Condition{condition(v1alpha1.ConditionAccepted, "True")},
		}},
		ProbedTime: metav1.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, "True"), condition(v1alpha1.ConditionEnforced, "Unknown")},
	}
}
