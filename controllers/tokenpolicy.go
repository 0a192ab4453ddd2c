package controllers

import (
	"context"
	"reflect"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// tokenPolicyReconciler tells of a TokenPolicy that it can be used and by how many. The policy becomes part of the
// documents of the TokenServices that refer to it.
type tokenPolicyReconciler struct{ *base }

// Reconcile implements [reconcile.Reconciler].
func (r *tokenPolicyReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var policy keyturnv1alpha1.TokenPolicy
	if err := r.client.Get(ctx, request.NamespacedName, &policy); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	var all keyturnv1alpha1.TokenServiceList
	if err := r.client.List(ctx, &all, client.InNamespace(policy.Namespace)); err != nil {
		return reconcile.Result{}, err
	}
	users := int32(0)
	for i := range all.Items {
		if all.Items[i].Spec.TokenPolicyRef.Name == policy.Name {
			users++
		}
	}
	before := policy.Status.DeepCopy()
	policy.Status.UsedBy, policy.Status.ObservedGeneration = &users, policy.Generation
	conditions{&policy.Status.Conditions, policy.Generation}.good(keyturnv1alpha1.ConditionAccepted,
		keyturnv1alpha1.ReasonAccepted, "the policy is valid; %d TokenServices use it", users)
	if reflect.DeepEqual(before, &policy.Status) {
		return reconcile.Result{}, nil
	}
	return r.outcome(r.client.Status().Update(ctx, &policy, client.FieldOwner(keyturnv1alpha1.ManagerName)), 0)
}
