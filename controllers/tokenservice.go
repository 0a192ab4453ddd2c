package controllers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// tokenServiceReconciler makes the workloads of a TokenService and keeps their documents current.
type tokenServiceReconciler struct {
	*base
	pace    pace
	nudges  nudges
	waits   waits
	written writtenDocuments
	cluster clusterCache
}

// Reconcile implements [reconcile.Reconciler].
func (r *tokenServiceReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var tsvc keyturnv1alpha1.TokenService
	if err := r.client.Get(ctx, request.NamespacedName, &tsvc); err != nil {
		if apierrors.IsNotFound(err) {
			processMetrics().forgetService(request.NamespacedName)
			r.pace.forget(request.NamespacedName)
			r.waits.forget(request.NamespacedName)
			r.silences.keep(request.NamespacedName, nil)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !tsvc.DeletionTimestamp.IsZero() {
		r.views.forget(tsvc.UID)
		r.revocations.forget(tsvc.UID)
		return reconcile.Result{}, nil // everything made for it is owned and goes with it
	}
	r.pace.note(request.NamespacedName)
	before := tsvc.Status.DeepCopy()
	conds := conditions{&tsvc.Status.Conditions, tsvc.Generation}
	after, err := r.reconcile(ctx, &tsvc, conds)
	sumUpService(conds, err)
	tsvc.Status.ObservedGeneration = tsvc.Generation
	processMetrics().observeService(&tsvc)
	if !equality.Semantic.DeepEqual(before, &tsvc.Status) {
		if updateErr := r.client.Status().Update(ctx, &tsvc, client.FieldOwner(keyturnv1alpha1.ManagerName)); updateErr != nil {
			return r.outcome(updateErr, 0)
		}
		r.announce(&tsvc, before.Conditions, tsvc.Status.Conditions)
	}
	return r.outcome(err, after)
}

// reconcile resolves, writes the documents, applies the workloads and reads back what the replicas have loaded. It
// returns when to look again.
func (r *tokenServiceReconciler) reconcile(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, conds conditions) (time.Duration, error) {
	refs, err := r.resolve(ctx, tsvc)
	if err != nil {
		return 0, err
	}
	if refs.ring == nil {
		return pollWaiting, nil
	}
	r.readCluster(ctx, tsvc, refs)
	// A Secret that is missing stops what needs it only: keys go on rotating, tokens go on verifying.
	if err := r.checkOthers(ctx, tsvc, refs, conds); err != nil {
		return 0, err
	}
	tsvc.Status.Endpoints, tsvc.Status.Rollout = endpoints(tsvc), rolloutInShort(refs.rollout)
	for _, account := range serviceAccounts(tsvc) {
		if err := r.apply(ctx, tsvc, account); err != nil {
			return 0, err
		}
	}
	for _, service := range services(tsvc) {
		if err := r.apply(ctx, tsvc, service); err != nil {
			return 0, err
		}
	}
	if err := r.ensureFeedCredentials(ctx, tsvc); err != nil {
		return 0, err
	}
	replicas, err := r.replicasOf(ctx, refs.revoking.patience(), tsvc)
	if err != nil {
		return 0, err
	}
	feed, err := r.feedAddress(ctx, tsvc)
	if err != nil {
		return 0, err
	}
	if feed == "" {
		return pollWaiting, nil // the Service was just made, its address is not in the cache yet
	}
	documents, err := r.ensureSnapshots(ctx, tsvc, refs, replicas, feed)
	if err != nil {
		return 0, err
	}
	r.views.publish(tsvc.UID, refs, documents.left, documents.edge, replicas)
	r.revocations.publish(tsvc.UID, refs, documents.issuer, replicas)
	if err := r.nudge(ctx, replicas, documents, refs.revoking.takeover); err != nil { // before all else: a revocation may be in the document
		return 0, err
	}
	for _, object := range r.workloads(tsvc, refs.rollout) {
		if err := r.apply(ctx, tsvc, object); err != nil {
			return 0, err
		}
	}
	after, err := r.observeService(ctx, tsvc, conds, documents, replicas)
	if refs.revoking.pending >= 0 {
		after = min(after, revocationPoll(refs.revoking.pending))
	}
	return after, errors.Join(err, documents.unsigned, crowded(documents.left))
}

// workloads are the pods of the TokenService and what guards them, in the order in which they are applied.
func (r *tokenServiceReconciler) workloads(tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout) []client.Object {
	var all []client.Object
	if shared(tsvc) {
		all = append(all, tokenServiceDeployment(tsvc, aro, r.image))
	} else {
		all = append(all, statefulSet(tsvc, aro, r.image))
	}
	all = append(all, deployment(tsvc, r.image))
	for _, budget := range disruptionBudgets(tsvc) {
		all = append(all, budget)
	}
	for _, policy := range networkPolicies(tsvc, aro, r.namespace) {
		all = append(all, policy)
	}
	return all
}

// resolve reads everything that the TokenService refers to. Nothing is made in place of what is missing.
func (r *tokenServiceReconciler) resolve(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) (*resolved, error) {
	refs := &resolved{set: &keyturnv1alpha1.SigningKeySet{}, policy: &keyturnv1alpha1.TokenPolicy{}}
	at := func(name string) types.NamespacedName {
		return types.NamespacedName{Namespace: tsvc.Namespace, Name: name}
	}
	const unresolved = keyturnv1alpha1.ConditionResolvedRefs
	if err := r.client.Get(ctx, at(tsvc.Spec.SigningKeySetRef.Name), refs.set); apierrors.IsNotFound(err) {
		return nil, stop(unresolved, keyturnv1alpha1.ReasonKeySetNotFound, "there is no SigningKeySet %q in namespace %s: create it, or mend spec.signingKeySetRef", tsvc.Spec.SigningKeySetRef.Name, tsvc.Namespace)
	} else if err != nil {
		return nil, err
	}
	if err := r.client.Get(ctx, at(tsvc.Spec.TokenPolicyRef.Name), refs.policy); apierrors.IsNotFound(err) {
		return nil, stop(unresolved, keyturnv1alpha1.ReasonPolicyNotFound, "there is no TokenPolicy %q in namespace %s: create it, or mend spec.tokenPolicyRef", tsvc.Spec.TokenPolicyRef.Name, tsvc.Namespace)
	} else if err != nil {
		return nil, err
	}
	rollouts, err := r.rolloutsOf(ctx, tsvc.Namespace, tsvc.Name)
	if err != nil {
		return nil, err
	}
	if len(rollouts) > 0 {
		if refs.rollout, err = r.begun(ctx, tsvc, &rollouts[0]); err != nil {
			return nil, err
		}
	}
	if refs.access, refs.clashes, err = r.accessOf(ctx, tsvc, refs.policy.Spec.Claims.Allow); err != nil {
		return nil, err
	}
	ring, secret, err := r.readRing(ctx, refs.set)
	if err != nil {
		return nil, err
	}
	recorded := refs.set.Status.RingDigest
	if recorded == "" {
		return nil, stop(keyturnv1alpha1.ConditionKeysLoaded, keyturnv1alpha1.ReasonKeySetNotReady, "SigningKeySet %s has no active key yet: kubectl describe sks %s", refs.set.Name, refs.set.Name)
	}
	// Documents are made of a ring that the set's controller has looked at and recorded, never of an edited one.
	if ring != nil && keysecret.Digest(secret) == recorded {
		refs.ring = ring
		refs.revoking, err = r.revokingFor(ctx, tsvc, ring)
	}
	return refs, err
}

// checkOthers reports on what the TokenService needs of others: the Secrets, and the cluster's keys.
func (r *tokenServiceReconciler) checkOthers(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, refs *resolved, conds conditions) error {
	err := r.checkSecrets(ctx, tsvc.Namespace, wantedSecrets(tsvc, r.now()))
	if err == nil {
		err = refs.clusterTrouble
	}
	if s, ok := asStopped(err); ok {
		conds.bad(s.condition, s.reason, "%s", s.message)
		return nil
	}
	if err != nil {
		return err
	}
	conds.good(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ReasonResolved,
		"SigningKeySet %s, TokenPolicy %s and every Secret that is named exist", refs.set.Name, refs.policy.Name)
	return nil
}

// feedAddress is the cluster address of the revocation feed: an address and not a name, so that verification needs no
// DNS. The certificate is checked by name all the same.
func (r *tokenServiceReconciler) feedAddress(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) (string, error) {
	var service corev1.Service
	err := r.client.Get(ctx, types.NamespacedName{Namespace: tsvc.Namespace, Name: namesOf(tsvc).feed}, &service)
	if apierrors.IsNotFound(err) || err == nil && service.Spec.ClusterIP == "" {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		return "", fmt.Errorf("the Service %s has no cluster address: delete it, it is made anew", service.Name)
	}
	return net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(portFeed)), nil
}
