package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// observedSet is all that one step of a set is decided from.
type observedSet struct {
	ring       keys.Ring
	ringSecret *corev1.Secret // nil: there is none
	// damage says why the ring cannot be believed; empty: it can.
	damage string
	policy keys.Policy
	// adopted tells that the ring was there before the set had any.
	adopted bool
	// material are the public halves of the private Secrets that exist and are sound, by sequence.
	material map[int64]keys.Key
	// stored are the sequences of all Secrets that look like keys of this set.
	stored   []int64
	observed keys.Observed
	// replicas are those of observed, with all that they report.
	replicas []replica
	plan     keys.Plan
	source   *keySource // nil: the keys are made
	services []keyturnv1alpha1.TokenService
}

// broken tells that the ring must be made anew of what is known elsewhere.
func (s *observedSet) broken() bool {
	return s.damage != "" || s.plan.Found(keys.RestoreDetected) != nil || s.plan.Found(keys.RingInvalid) != nil
}

// spared tells that a replica was not asked.
func (s *observedSet) spared() bool {
	return slices.ContainsFunc(s.replicas, func(r replica) bool { return r.spared })
}

// leaked tells that a key is to be revoked and is in the ring yet.
func (s *observedSet) leaked() bool {
	return slices.ContainsFunc(s.observed.Revoke, func(kid string) bool { return s.ring.Key(kid) != nil })
}

// observeSet reads live what the planner decides from: first the ring, then the keys, then the replicas, then the time. most is how
// long a silent replica is left alone at most; in an emergency none is.
func (r *signingKeySetReconciler) observeSet(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, services []keyturnv1alpha1.TokenService, most time.Duration) (*observedSet, error) {
	seen := &observedSet{services: services}
	ring, secret, err := r.readRing(ctx, set)
	if s, ok := asStopped(err); ok && s.reason == keyturnv1alpha1.ReasonRingInvalid {
		seen.damage = s.message
	} else if err != nil {
		return nil, err
	}
	seen.ringSecret = secret
	if ring != nil {
		seen.ring = *ring
	}
	if err := r.observeMaterial(ctx, set, seen); err != nil {
		return nil, err
	}
	if seen.damage == "" {
		seen.damage = distrust(set, seen)
		seen.adopted = seen.damage == "" && seen.ringSecret != nil && unrecordedSet(set)
	}
	policies, err := r.policiesOf(ctx, services)
	if err != nil {
		return nil, err
	}
	seen.policy = keysPolicy(set, policies)
	if seen.observed.Revoke, err = r.revokedKids(ctx, set); err != nil {
		return nil, err
	}
	if seen.leaked() {
		most = askEverybody
	}
	if seen.replicas, err = r.replicasOf(ctx, most, pointers(services)...); err != nil {
		return nil, err
	}
	seen.observed.Replicas = keysReplicas(seen.replicas)
	seen.observed.Ring = seen.ring
	seen.observed.RotateRequested = clip(set.Annotations[keyturnv1alpha1.AnnotationRotateRequestedAt], maxRequest)
	if err := r.observeSource(ctx, set, seen); err != nil {
		return nil, err
	}
	if seen.damage != "" {
		return seen, nil
	}
	return seen, r.planSet(ctx, set, seen)
}

// planSet asks the planner. When it wants a key whose Secret exists already, the planner is told and asked again: it is the
// manager's, left behind by a crash or just made by another one, if the status names it; else it is somebody's, and its
// number is passed over. Such a Secret stays: it does no harm.
func (r *signingKeySetReconciler) planSet(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, seen *observedSet) error {
	for range maxSteps {
		seen.plan = keys.Next(r.now(), seen.policy, seen.observed)
		wanted := seen.plan.Generate
		if wanted == nil {
			return nil
		}
		public, exists, err := r.existingKey(ctx, set, wanted.Sequence)
		switch {
		case err != nil:
			return err
		case !exists:
			return nil
		case public == nil || !knownKey(set, public.KID):
			seen.observed.Spoiled = append(seen.observed.Spoiled, wanted.Sequence)
		default:
			seen.observed.Generated = public
		}
	}
	return fmt.Errorf("the names %s-%d and following are taken by other Secrets: delete them", set.Name, seen.ring.NextSequence)
}

// existingKey reads the Secret of a sequence. The key is nil if the Secret cannot be used.
func (r *signingKeySetReconciler) existingKey(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, sequence int64) (*keys.Key, bool, error) {
	var secret corev1.Secret
	err := r.live.Get(ctx, types.NamespacedName{Namespace: set.Namespace, Name: keysecret.KeyName(set.Name, sequence)}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	_, public, err := keysecret.DecodeKey(&secret, ownerOf(set), sequence)
	if err != nil {
		return nil, true, nil //nolint:nilerr // a Secret that cannot be used is passed over
	}
	return &public, true, nil
}

// observeMaterial finds the private halves.
func (r *signingKeySetReconciler) observeMaterial(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, seen *observedSet) error {
	var list corev1.SecretList
	if err := r.live.List(ctx, &list, client.InNamespace(set.Namespace), client.MatchingLabels{keyturnv1alpha1.LabelSigningKeySet: set.Name}); err != nil {
		return err
	}
	seen.material = map[int64]keys.Key{}
	seen.observed.Material = map[string]keys.MaterialState{}
	for i := range list.Items {
		secret := &list.Items[i]
		sequence, ok := keysecret.Sequence(set.Name, secret.Name)
		if !ok || secret.Type != keysecret.KeyType {
			continue
		}
		seen.stored = append(seen.stored, sequence)
		_, public, err := keysecret.DecodeKey(secret, ownerOf(set), sequence)
		if err == nil {
			seen.material[sequence] = public
		}
		if buried(&seen.ring, sequence) || err == nil && namedKey(set, public.KID) {
			seen.observed.Stored = append(seen.observed.Stored, sequence)
		}
	}
	slices.Sort(seen.observed.Stored)
	for i := range seen.ring.Keys {
		k := &seen.ring.Keys[i]
		public, sound := seen.material[k.Sequence]
		exists := sound
		if !sound { // refused, gone, or without the label by which it is listed
			found, there, err := r.existingKey(ctx, set, k.Sequence)
			if err != nil {
				return err
			}
			if exists = there; found != nil {
				public, sound = *found, true
				seen.material[k.Sequence] = *found
			}
		}
		switch {
		case sound && public.KID == k.KID:
			seen.observed.Material[k.KID] = keys.MaterialPresent
		case exists:
			seen.observed.Material[k.KID] = keys.MaterialInvalid
		default:
			seen.observed.Material[k.KID] = keys.MaterialMissing
		}
	}
	return nil
}

// buried tells whether the ring has had a key of that number: its Secret is the manager's to delete.
func buried(ring *keys.Ring, sequence int64) bool {
	return slices.ContainsFunc(ring.Tombstones, func(t keys.Tombstone) bool { return t.Sequence == sequence })
}

// policiesOf reads the TokenPolicies of the services; one that is missing counts for nothing.
func (r *signingKeySetReconciler) policiesOf(ctx context.Context, services []keyturnv1alpha1.TokenService) ([]keyturnv1alpha1.TokenPolicy, error) {
	var out []keyturnv1alpha1.TokenPolicy
	for i := range services {
		var policy keyturnv1alpha1.TokenPolicy
		err := r.client.Get(ctx, types.NamespacedName{Namespace: services[i].Namespace, Name: services[i].Spec.TokenPolicyRef.Name}, &policy)
		if client.IgnoreNotFound(err) != nil {
			return nil, err
		}
		if err == nil {
			out = append(out, policy)
		}
	}
	return out, nil
}

func pointers[T any](all []T) []*T {
	out := make([]*T, len(all))
	for i := range all {
		out[i] = &all[i]
	}
	return out
}
