package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// accessPolicyReconciler reports on the policies of routes, and keeps what attaches them to an ingress. The TokenService's
// controller compiles them into the edges' document; both use the same rules about who is in it.
//
//	AccessPolicy ──▶ accessOf ──▶ edge document ──▶ edges ──▶ accessViews ──▶ Programmed
//	      └────────▶ adapt ─────▶ SecurityPolicy, Middleware ──▶ ingress ◀── probes ──▶ Enforced
type accessPolicyReconciler struct {
	*base
	watches *foreignWatches
	probes  *accessProbes
}

// Reconcile implements [reconcile.Reconciler].
func (r *accessPolicyReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var acp keyturnv1alpha1.AccessPolicy
	if err := r.client.Get(ctx, request.NamespacedName, &acp); err != nil {
		if apierrors.IsNotFound(err) {
			r.probes.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !acp.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil // it counts until it is gone; what was made for it is owned and goes with it
	}
	before := acp.Status.DeepCopy()
	step := &accessStep{acp: &acp, conds: conditions{&acp.Status.Conditions, acp.Generation}}
	err := r.reconcile(ctx, step)
	after := r.steady
	if err == nil {
		if again := reportAccess(step, r.probes); again > 0 {
			after = min(after, again)
		}
		processMetrics().access.observe(&acp)
	}
	acp.Status.ObservedGeneration = acp.Generation
	if err == nil && !equality.Semantic.DeepEqual(before, &acp.Status) {
		if updateErr := r.client.Status().Update(ctx, &acp, client.FieldOwner(keyturnv1alpha1.ManagerName)); updateErr != nil {
			return r.outcome(updateErr, 0)
		}
		r.announce(&acp, before.Conditions, acp.Status.Conditions)
	}
	if ready := step.conds.find(keyturnv1alpha1.ConditionProgrammed); ready == nil || ready.Status != metav1.ConditionTrue {
		after = min(after, pollReference)
	}
	return r.outcome(err, after)
}

// accessStep is what is known of a policy at one look.
type accessStep struct {
	acp   *keyturnv1alpha1.AccessPolicy
	conds conditions
	// held says which policy has a target of this one, by its index; missing why a target is not there.
	held    map[int]*keyturnv1alpha1.AccessPolicy
	missing map[int]string
	beaten  bool
	// service is nil where unresolved says why.
	service    *keyturnv1alpha1.TokenService
	unresolved *stopped
	// entry is the policy as it is compiled; nil where invalid says why, or its TokenPolicy is not there.
	entry   *accessEntry
	invalid *stopped
	view    *accessView
	// adapter is the object that was made, detached why it does not do what it is for.
	adapter  string
	detached *stopped
}

// reconcile looks, and makes what the adapter makes.
func (r *accessPolicyReconciler) reconcile(ctx context.Context, s *accessStep) error {
	siblings, err := r.accessIn(ctx, s.acp.Namespace)
	if err != nil {
		return err
	}
	if err := r.watches.need(s.acp); err != nil {
		return err
	}
	held := holdersOf(siblings)
	s.beaten = held.beaten(s.acp)
	s.held, s.missing = map[int]*keyturnv1alpha1.AccessPolicy{}, map[int]string{}
	for i := range s.acp.Spec.TargetRefs {
		target := &s.acp.Spec.TargetRefs[i]
		if holder := held.holder(s.acp, target); holder != nil {
			s.held[i] = holder
		}
		why, err := r.missingTarget(ctx, s.acp.Namespace, target)
		if err != nil {
			return err
		}
		if why != "" {
			s.missing[i] = why
		}
	}
	service, err := r.accessService(ctx, s.acp)
	if s.unresolved, err = heldBack(err); err != nil {
		return err
	}
	if s.unresolved == nil {
		s.service, s.view = service, r.views.of(service.UID)
		if err := r.compile(ctx, s); err != nil {
			return err
		}
	}
	s.adapter, err = r.adapt(ctx, s.acp, s.attachedTo())
	s.detached, err = heldBack(err)
	return err
}

// heldBack takes the errors that a person must mend out of the others.
func heldBack(err error) (*stopped, error) {
	if s, ok := asStopped(err); ok {
		return s, nil
	}
	return nil, err
}

// compile compiles the policy as the TokenService's controller does.
func (r *accessPolicyReconciler) compile(ctx context.Context, s *accessStep) error {
	var policy keyturnv1alpha1.TokenPolicy
	name := types.NamespacedName{Namespace: s.service.Namespace, Name: s.service.Spec.TokenPolicyRef.Name}
	if err := r.client.Get(ctx, name, &policy); err != nil {
		return client.IgnoreNotFound(err)
	}
	entry, err := accessDocument(s.acp, policy.Spec.Claims.Allow)
	s.entry = entry
	s.invalid, err = heldBack(err)
	return err
}

// attachedTo are the targets that the adapter's object names: those that nobody else has, those whose holder is being deleted,
// and those whose holder has not taken over yet. A route is not without an object on the way from one policy to another;
// while the policy that has lost it still has the object, the edge refuses who asks.
func (s *accessStep) attachedTo() []keyturnv1alpha1.AccessTargetReference {
	var out []keyturnv1alpha1.AccessTargetReference
	for i, target := range s.acp.Spec.TargetRefs {
		holder := s.held[i]
		if holder == nil || !holder.DeletionTimestamp.IsZero() || s.acp.Status.AdapterObject != "" && !tookOver(holder) {
			out = append(out, target)
		}
	}
	return out
}

// tookOver tells whether the holder's own controller has looked at it as it is now, and has made an object that guards the
// route in the place of another policy's. A holder with another adapter never does: who guards its route is not seen here.
func tookOver(holder *keyturnv1alpha1.AccessPolicy) bool {
	return holder.Spec.Adapter.Type == keyturnv1alpha1.AdapterEnvoyGateway &&
		holder.Status.ObservedGeneration == holder.Generation && holder.Status.AdapterObject != ""
}

// accessBeside finds the policies of the same namespace: when the oldest on a target goes, the next one has it.
func (b *base) accessBeside(ctx context.Context, object client.Object) []reconcile.Request {
	acp, ok := object.(*keyturnv1alpha1.AccessPolicy)
	if !ok || len(acp.Spec.TargetRefs) == 0 {
		return nil
	}
	return b.accessRequests(ctx, acp.Namespace, func(other *keyturnv1alpha1.AccessPolicy) bool {
		return other.Name != acp.Name && len(other.Spec.TargetRefs) > 0
	})
}

// accessRequests finds policies.
func (b *base) accessRequests(ctx context.Context, namespace string, wanted func(*keyturnv1alpha1.AccessPolicy) bool) []reconcile.Request {
	all, err := b.accessIn(ctx, namespace)
	if err != nil {
		return nil // the steady poll comes by
	}
	var out []reconcile.Request
	for i := range all {
		if wanted(&all[i]) {
			out = append(out, requestFor(all[i].Namespace, all[i].Name)...)
		}
	}
	return out
}

// accessOfService finds the policies that refer to a TokenService.
func (b *base) accessOfService(ctx context.Context, object client.Object) []reconcile.Request {
	name := client.ObjectKeyFromObject(object)
	return b.accessRequests(ctx, "", func(acp *keyturnv1alpha1.AccessPolicy) bool { return serviceOfAccess(acp) == name })
}

// servicesOfAccess finds the TokenServices in whose documents a change of a policy can be seen: its own, and those of the
// policies that contest a target with it.
func (b *base) servicesOfAccess(ctx context.Context, object client.Object) []reconcile.Request {
	acp, ok := object.(*keyturnv1alpha1.AccessPolicy)
	if !ok {
		return nil
	}
	names := map[types.NamespacedName]bool{serviceOfAccess(acp): true}
	if all, err := b.accessIn(ctx, acp.Namespace); err == nil && len(acp.Spec.TargetRefs) > 0 {
		for i := range all {
			if len(all[i].Spec.TargetRefs) > 0 {
				names[serviceOfAccess(&all[i])] = true
			}
		}
	}
	var out []reconcile.Request
	for name := range names {
		out = append(out, requestFor(name.Namespace, name.Name)...)
	}
	return out
}

// accessDeleted says what the deletion of a policy means: nobody else can, once it is gone.
func (b *base) accessDeleted(acp *keyturnv1alpha1.AccessPolicy) {
	text := fmt.Sprintf("AccessPolicy %s was deleted: the edge refuses who still asks by its name (no_policy)", accessName(acp))
	if kind, makes := adapters[acp.Spec.Adapter.Type]; makes {
		text += fmt.Sprintf("; its %s %s goes with it, and routes that nothing else guards are open", kind.Kind, adapterName(acp))
	}
	b.recorder.Eventf(acp, nil, corev1.EventTypeWarning, keyturnv1alpha1.ReasonPolicyDeleted, "Delete", "%s", text)
}
