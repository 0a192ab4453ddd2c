package controllers

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// How often to look while a revocation is not enforced: while it is young, when somebody waits for it, and later.
const (
	pollRevocation  = 200 * time.Millisecond
	youngRevocation = 30 * time.Second
)

// revocationPoll is how soon to look again at something of that age.
func revocationPoll(age time.Duration) time.Duration {
	if age < youngRevocation {
		return pollRevocation
	}
	return pollReference
}

// revocationReconciler reports how far a revocation is. The TokenService's controller puts it into the issuer's document, the
// SigningKeySet's takes the key out of the ring.
//
//	user, session, all: Revocation ──▶ issuer document ──▶ session store (number) ──▶ feed ──▶ edges
//	key:                Revocation ──▶ ring (tombstone) ──▶ edge document, and the same way
//	both:               edges' status ──▶ revocationViews ──▶ Enforced
//
// Enforced is for ever: an edge that starts later loads the complete list and the newest document before it decides.
type revocationReconciler struct{ *base }

// revocationStep is what is known of a revocation at one look.
type revocationStep struct {
	rev   *keyturnv1alpha1.Revocation
	conds conditions
	now   time.Time
	// unresolved says why a reference is not there; nil if all are.
	unresolved *stopped
	services   []keyturnv1alpha1.TokenService
	// set and ring are those of a key; a ring that cannot be read is nil.
	set  *keyturnv1alpha1.SigningKeySet
	ring *keys.Ring
}

// Reconcile implements [reconcile.Reconciler].
func (r *revocationReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var rev keyturnv1alpha1.Revocation
	if err := r.client.Get(ctx, request.NamespacedName, &rev); err != nil {
		if apierrors.IsNotFound(err) {
			processMetrics().revocations.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if enforced(&rev) {
		processMetrics().revocations.observe(&rev)
		return r.outcome(r.release(ctx, &rev), 0) // for ever
	}
	s := &revocationStep{rev: &rev, conds: conditions{&rev.Status.Conditions, rev.Generation}, now: r.now()}
	if err := r.look(ctx, s); err != nil {
		return r.outcome(err, 0)
	}
	reason, message := s.nothingToDo()
	if reason != "" && !rev.DeletionTimestamp.IsZero() {
		return r.outcome(r.giveUp(ctx, &rev, reason, message), 0)
	}
	if reason == "" {
		if err := r.hold(ctx, &rev); err != nil {
			return r.outcome(client.IgnoreNotFound(err), 0)
		}
	}
	before := rev.Status.DeepCopy()
	r.report(s)
	rev.Status.ObservedGeneration = rev.Generation
	processMetrics().revocations.observe(&rev)
	if !equality.Semantic.DeepEqual(before, &rev.Status) {
		if err := r.client.Status().Update(ctx, &rev, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
			return r.outcome(err, 0)
		}
		r.announce(&rev, before.Conditions, news(rev.Status.Conditions))
	}
	if enforced(&rev) {
		return r.outcome(r.release(ctx, &rev), 0)
	}
	return r.outcome(nil, revocationPoll(s.now.Sub(rev.CreationTimestamp.Time)))
}

// news are the conditions worth an Event: not Ready, which says what Enforced says, nor that the ordinary way takes a moment.
func news(all []metav1.Condition) []metav1.Condition {
	return slices.DeleteFunc(slices.Clone(all), func(c metav1.Condition) bool {
		waits := c.Reason == keyturnv1alpha1.ReasonProgressing || c.Reason == keyturnv1alpha1.ReasonWaitingForReplicas
		return c.Type == keyturnv1alpha1.ConditionReady || c.Status != metav1.ConditionTrue && waits
	})
}

// look finds what the revocation names.
func (r *revocationReconciler) look(ctx context.Context, s *revocationStep) error {
	var err error
	if s.rev.Spec.Key != nil {
		err = r.lookAtKey(ctx, s)
	} else {
		err = r.lookAtService(ctx, s)
	}
	s.unresolved, err = heldBack(err)
	return err
}

func (r *revocationReconciler) lookAtService(ctx context.Context, s *revocationStep) error {
	name := types.NamespacedName{Namespace: s.rev.Namespace, Name: serviceOfRevocation(s.rev)}
	var tsvc keyturnv1alpha1.TokenService
	err := r.client.Get(ctx, name, &tsvc)
	if apierrors.IsNotFound(err) || err == nil && !tsvc.DeletionTimestamp.IsZero() {
		return stop(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonTokenServiceNotFound,
			"there is no TokenService %q in namespace %s: nothing is revoked; create another Revocation with the right name", name.Name, name.Namespace)
	}
	s.services = append(s.services, tsvc)
	return err
}

func (r *revocationReconciler) lookAtKey(ctx context.Context, s *revocationStep) error {
	const unresolved = keyturnv1alpha1.ConditionResolvedRefs
	key := s.rev.Spec.Key
	name := types.NamespacedName{Namespace: s.rev.Namespace, Name: key.SigningKeySetRef.Name}
	s.set = &keyturnv1alpha1.SigningKeySet{}
	if err := r.client.Get(ctx, name, s.set); apierrors.IsNotFound(err) {
		return stop(unresolved, keyturnv1alpha1.ReasonKeySetNotFound,
			"there is no SigningKeySet %q in namespace %s: nothing is revoked; create another Revocation with the right name", name.Name, name.Namespace)
	} else if err != nil {
		return err
	}
	var all keyturnv1alpha1.TokenServiceList
	if err := r.client.List(ctx, &all, client.InNamespace(s.rev.Namespace)); err != nil {
		return err
	}
	for i := range all.Items {
		if concerns(s.rev, &all.Items[i]) && all.Items[i].DeletionTimestamp.IsZero() {
			s.services = append(s.services, all.Items[i])
		}
	}
	ring, _, err := r.readRing(ctx, s.set)
	if err != nil {
		return err
	}
	s.ring = ring
	if ring != nil && ring.Key(key.Kid) == nil && !slices.ContainsFunc(ring.Tombstones, func(t keys.Tombstone) bool { return t.KID == key.Kid }) {
		return stop(unresolved, keyturnv1alpha1.ReasonKeyNotFound,
			"SigningKeySet %s has no key %s and remembers none, so nothing accepts its tokens: compare the kid with kubectl keyturn keys %s -n %s -o wide", name.Name, short(key.Kid), name.Name, name.Namespace)
	}
	return nil
}
