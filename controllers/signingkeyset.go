package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// maxSteps bounds how many plans one reconcile carries out. A first key takes four.
const maxSteps = 8

// signingKeySetReconciler walks the keys of a set through their life.
type signingKeySetReconciler struct {
	*base
	pace      pace
	witnesses witnesses
	waits     waits
	maker     *keyMaker
}

// Reconcile implements [reconcile.Reconciler].
func (r *signingKeySetReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var set keyturnv1alpha1.SigningKeySet
	if err := r.client.Get(ctx, request.NamespacedName, &set); err != nil {
		if apierrors.IsNotFound(err) {
			processMetrics().forgetSet(request.NamespacedName)
			r.pace.forget(request.NamespacedName)
			r.witnesses.forget(request.NamespacedName)
			r.waits.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	r.pace.note(request.NamespacedName)
	deleting := !set.DeletionTimestamp.IsZero()
	users, err := r.servicesOf(ctx, &set)
	if err != nil {
		return reconcile.Result{}, err
	}
	if deleting && len(users) == 0 {
		return r.outcome(r.delete(ctx, &set), 0)
	}
	if !deleting && controllerutil.AddFinalizer(&set, keyturnv1alpha1.FinalizerInUse) {
		if err := r.client.Update(ctx, &set, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
			return r.outcome(err, 0)
		}
	}
	before := set.Status.DeepCopy()
	conds := conditions{&set.Status.Conditions, set.Generation}
	after, err := r.reconcile(ctx, &set, users, conds)
	if s, ok := asStopped(err); ok {
		conds.bad(s.condition, s.reason, "%s", s.message)
		conds.bad(keyturnv1alpha1.ConditionReady, s.reason, "%s", s.message)
	}
	if deleting {
		conds.bad(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonInUse, "deletion waits, and the keys go on: TokenService %s still signs with this set; delete it first", users[0].Name)
	}
	set.Status.ObservedGeneration = set.Generation
	processMetrics().observeSet(&set)
	if !equality.Semantic.DeepEqual(before, &set.Status) {
		if updateErr := r.client.Status().Update(ctx, &set, client.FieldOwner(keyturnv1alpha1.ManagerName)); updateErr != nil {
			return r.outcome(updateErr, 0)
		}
		r.announce(&set, before.Conditions, set.Status.Conditions)
	}
	return r.outcome(err, after)
}

// reconcile plans and applies until nothing is left to do now, and returns when to look again.
func (r *signingKeySetReconciler) reconcile(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, services []keyturnv1alpha1.TokenService, conds conditions) (time.Duration, error) {
	most := silencePauseMax
	for range maxSteps {
		seen, err := r.observeSet(ctx, set, services, most)
		if err != nil {
			return 0, err
		}
		if seen.broken() && seen.spared() { // who knows what is lost may be among those that are asked seldom
			most = askEverybody
			continue
		}
		if found := seen.plan.Found(keys.RestoreDetected); found != nil {
			if pod := r.witnesses.awaited(client.ObjectKeyFromObject(set), seen.replicas, r.now()); pod != "" {
				conds.good(keyturnv1alpha1.ConditionRestoreDetected, keyturnv1alpha1.ReasonRingRestored, "%s; nothing is changed before %s is heard, for %s at most", found.Message, pod, patienceForWitnesses)
				return pollWaiting, stop(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonWaitingForReplicas, "a restored ring waits for %s, which alone may know newer keys", pod)
			}
		}
		if seen.broken() {
			if err := r.rebuild(ctx, set, seen, conds); err != nil {
				return 0, err
			}
			r.witnesses.forget(client.ObjectKeyFromObject(set))
			continue
		}
		if seen.adopted {
			if err := r.adopt(ctx, set, seen); err != nil {
				return 0, err
			}
		}
		if err := r.carryOut(ctx, set, seen); err != nil {
			return 0, err
		}
		if seen.plan.Again() {
			continue
		}
		if err := r.projectJWKS(ctx, set, &seen.ring); err != nil {
			return 0, err
		}
		reportSet(set, conds, seen, r.now())
		processMetrics().propagation(set, &seen.plan, r.now())
		return r.pause(set, seen), nil
	}
	return pollWaiting, nil
}

// pause is when to look again: soon while replicas are waited for, but less and less so, sooner while a revoked key is good because
// of them, at the planned instant, and now and then.
func (r *signingKeySetReconciler) pause(set *keyturnv1alpha1.SigningKeySet, seen *observedSet) time.Duration {
	plan, after := &seen.plan, r.pace.poll(r.steady)
	if seen.source.waits(plan) {
		after = min(after, pollReference) // somebody is about to mend it, and no cache holds other people's Secrets
	}
	if plan.Requeue > 0 {
		after = min(after, plan.Requeue)
	}
	name := client.ObjectKeyFromObject(set)
	if len(plan.Waiting) == 0 {
		r.waits.forget(name)
		return after
	}
	after = min(after, r.waits.pause(name, seen.ring.Epoch, plan.Waiting, r.now()))
	switch {
	case plan.Found(keys.RevocationPending) != nil:
		after = min(after, pollRevocation)
	case plan.Found(keys.RevocationUnconfirmed) != nil:
		after = min(after, pollReference)
	}
	return after
}

// carryOut executes a plan: the key's Secret, then the ring that names it, then what the ring no longer needs.
func (r *signingKeySetReconciler) carryOut(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, seen *observedSet) error {
	plan := &seen.plan
	if plan.Ring != nil {
		if err := r.writeRing(ctx, set, seen.ringSecret, plan.Ring); err != nil {
			return err
		}
		for _, t := range plan.Transitions {
			r.recordTransition(set, t)
		}
		return nil // a Generate that came with it is planned again from the ring just written
	}
	if plan.Generate != nil {
		if err := r.createKey(ctx, set, seen.source, plan.Generate); err != nil {
			return err
		}
		for _, sequence := range seen.observed.Spoiled {
			processMetrics().failure(set, keyturnv1alpha1.ReasonKeySecretInvalid)
			r.recorder.Eventf(set, nil, corev1.EventTypeWarning, keyturnv1alpha1.ReasonKeySecretInvalid, "PassOver",
				"Secret %s is in the way and holds no key that was made for this set: it is passed over; find out who made it, and delete it", keysecret.KeyName(set.Name, sequence))
		}
	}
	return r.removeKeys(ctx, set, plan.Remove)
}

// recordTransition tells a step as an Event.
func (r *signingKeySetReconciler) recordTransition(set *keyturnv1alpha1.SigningKeySet, t keys.Transition) {
	processMetrics().transition(set, t.To)
	from := string(t.From)
	if from == "" {
		from = "new"
	}
	r.recorder.Eventf(set, nil, corev1.EventTypeNormal, string(t.Reason), string(t.To),
		"key %s (number %d): %s -> %s", short(t.KID), t.Sequence, from, t.To)
}

// servicesOf are the TokenServices that refer to the set, with their policies.
func (r *signingKeySetReconciler) servicesOf(ctx context.Context, set *keyturnv1alpha1.SigningKeySet) ([]keyturnv1alpha1.TokenService, error) {
	var all keyturnv1alpha1.TokenServiceList
	if err := r.client.List(ctx, &all, client.InNamespace(set.Namespace)); err != nil {
		return nil, err
	}
	var users []keyturnv1alpha1.TokenService
	for i := range all.Items {
		if all.Items[i].Spec.SigningKeySetRef.Name == set.Name {
			users = append(users, all.Items[i])
		}
	}
	return users, nil
}

// delete lets a set go to which nobody refers. With Retain the ring and the keys stay, and a set of that name adopts
// them again.
func (r *signingKeySetReconciler) delete(ctx context.Context, set *keyturnv1alpha1.SigningKeySet) error {
	if !controllerutil.ContainsFinalizer(set, keyturnv1alpha1.FinalizerInUse) {
		return nil
	}
	if set.Spec.DeletionPolicy == keyturnv1alpha1.DeletionDestroy {
		if err := r.destroyKeys(ctx, set); err != nil {
			return fmt.Errorf("destroy the keys: %w", err)
		}
	}
	controllerutil.RemoveFinalizer(set, keyturnv1alpha1.FinalizerInUse)
	return client.IgnoreNotFound(r.client.Update(ctx, set, client.FieldOwner(keyturnv1alpha1.ManagerName)))
}
