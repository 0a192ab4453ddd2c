package controllers

import (
	"context"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// revokedKids are the kids of the set that accepted Revocations name, sorted. A Revocation that is being deleted counts as long
// as it is there.
func (b *base) revokedKids(ctx context.Context, set *keyturnv1alpha1.SigningKeySet) ([]string, error) {
	var all keyturnv1alpha1.RevocationList
	if err := b.client.List(ctx, &all, client.InNamespace(set.Namespace)); err != nil {
		return nil, err
	}
	var kids []string
	for i := range all.Items {
		rev := &all.Items[i]
		accepted := apimeta.IsStatusConditionTrue(rev.Status.Conditions, keyturnv1alpha1.ConditionAccepted)
		if key := rev.Spec.Key; key != nil && key.SigningKeySetRef.Name == set.Name && accepted {
			kids = append(kids, key.Kid)
		}
	}
	slices.Sort(kids)
	return slices.Compact(kids), nil
}

// setOfRevocation finds the set whose key is revoked.
func setOfRevocation(_ context.Context, object client.Object) []reconcile.Request {
	rev, ok := object.(*keyturnv1alpha1.Revocation)
	if !ok || rev.Spec.Key == nil {
		return nil
	}
	return requestFor(rev.Namespace, rev.Spec.Key.SigningKeySetRef.Name)
}
