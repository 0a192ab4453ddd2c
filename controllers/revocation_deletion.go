package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// A Revocation that is deleted is carried out all the same: a finalizer keeps it, and with it its entry in the documents, until
// every edge refuses what it names. It is there for these moments only, so that a manager that is gone keeps nothing from being
// deleted later. What has nothing to be carried out on goes at once: a misspelt name, and whatever is in a namespace that is
// deleted as a whole, whose TokenServices and sets go, too.

// nothingToDo says why there is nothing to carry out; empty if there is, or may be: a ring that cannot be read is put right.
func (s *revocationStep) nothingToDo() (reason, message string) {
	if why := invalidRevocation(s.rev); why != "" {
		return keyturnv1alpha1.ReasonInvalidSpec, why
	}
	if s.unresolved == nil {
		return "", ""
	}
	switch s.unresolved.reason {
	case keyturnv1alpha1.ReasonTokenServiceNotFound, keyturnv1alpha1.ReasonKeySetNotFound, keyturnv1alpha1.ReasonKeyNotFound:
		return s.unresolved.reason, s.unresolved.message
	}
	return "", ""
}

// hold keeps a Revocation that is about to be accepted.
func (r *revocationReconciler) hold(ctx context.Context, rev *keyturnv1alpha1.Revocation) error {
	if !rev.DeletionTimestamp.IsZero() || !controllerutil.AddFinalizer(rev, keyturnv1alpha1.FinalizerUnenforced) {
		return nil
	}
	return r.client.Update(ctx, rev, client.FieldOwner(keyturnv1alpha1.ManagerName))
}

// release lets a Revocation go that is enforced, or that cannot be.
func (r *revocationReconciler) release(ctx context.Context, rev *keyturnv1alpha1.Revocation) error {
	if !controllerutil.RemoveFinalizer(rev, keyturnv1alpha1.FinalizerUnenforced) {
		return nil
	}
	return client.IgnoreNotFound(r.client.Update(ctx, rev, client.FieldOwner(keyturnv1alpha1.ManagerName)))
}

// giveUp lets a Revocation go that was accepted once, is being deleted, and has nothing any more to be carried out on. That is an
// Event: a set or a TokenService that is made again under that name knows nothing of it.
func (r *revocationReconciler) giveUp(ctx context.Context, rev *keyturnv1alpha1.Revocation, reason, message string) error {
	if !controllerutil.ContainsFinalizer(rev, keyturnv1alpha1.FinalizerUnenforced) {
		return nil
	}
	if err := r.release(ctx, rev); err != nil {
		return err
	}
	r.recorder.Eventf(rev, nil, corev1.EventTypeWarning, reason, "Delete", "deleted before it was enforced: %s", message)
	return nil
}
