package controllers

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// targetKey tells targets apart. A section is another target than the whole: the ingress knows which
// is the more specific one.
func targetKey(namespace string, t *keyturnv1alpha1.AccessTargetReference) string {
	return strings.Join([]string{namespace, t.Group, t.Kind, t.Name, deref(t.SectionName, "*")}, "/")
}

// compareAge orders policies: the oldest first, and of those of one second the first by name.
func compareAge(a, b *keyturnv1alpha1.AccessPolicy) int {
	if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
		return order
	}
	return strings.Compare(accessName(a), accessName(b))
}

// holders are the policies that have the targets: the oldest of a namespace that names one. The others find out here who
// won.
type holders map[string]*keyturnv1alpha1.AccessPolicy

func holdersOf(policies []keyturnv1alpha1.AccessPolicy) holders {
	all := holders{}
	for i := range policies {
		for j := range policies[i].Spec.TargetRefs {
			key := targetKey(policies[i].Namespace, &policies[i].Spec.TargetRefs[j])
			if holder := all[key]; holder == nil || compareAge(&policies[i], holder) < 0 {
				all[key] = &policies[i]
			}
		}
	}
	return all
}

// holder is the policy that has the target, nil if that is acp itself.
func (h holders) holder(acp *keyturnv1alpha1.AccessPolicy, target *keyturnv1alpha1.AccessTargetReference) *keyturnv1alpha1.AccessPolicy {
	if other := h[targetKey(acp.Namespace, target)]; other != nil && other.Name != acp.Name {
		return other
	}
	return nil
}

// beaten tells whether every target of a policy is another's. A policy without targets contests nothing.
func (h holders) beaten(acp *keyturnv1alpha1.AccessPolicy) bool {
	for i := range acp.Spec.TargetRefs {
		if h.holder(acp, &acp.Spec.TargetRefs[i]) == nil {
			return false
		}
	}
	return len(acp.Spec.TargetRefs) > 0
}

// accessIn lists the AccessPolicies of a namespace, of all if it is empty. They are the cache's own: nobody may change them.
func (b *base) accessIn(ctx context.Context, namespace string) ([]keyturnv1alpha1.AccessPolicy, error) {
	var all keyturnv1alpha1.AccessPolicyList
	err := b.client.List(ctx, &all, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
	return all.Items, err
}

// serviceOfAccess is the name of the TokenService that a policy refers to.
func serviceOfAccess(acp *keyturnv1alpha1.AccessPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: deref(acp.Spec.TokenServiceRef.Namespace, acp.Namespace), Name: acp.Spec.TokenServiceRef.Name}
}
