package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

func ownerOf(set *keyturnv1alpha1.SigningKeySet) keysecret.Owner {
	return keysecret.Owner{Namespace: set.Namespace, Name: set.Name}
}

// readRing reads the ring live. Without one it returns nil; one that cannot be believed is a stopped error, returned
// with the Secret it came from.
func (b *base) readRing(ctx context.Context, set *keyturnv1alpha1.SigningKeySet) (*keys.Ring, *corev1.Secret, error) {
	var secret corev1.Secret
	err := b.live.Get(ctx, types.NamespacedName{Namespace: set.Namespace, Name: keysecret.RingName(set.Name)}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if secret.Type != keysecret.RingType {
		return nil, nil, &errForeign{"Secret", secret.Name}
	}
	ring, err := keysecret.DecodeRing(&secret, ownerOf(set))
	if err != nil {
		return nil, &secret, stop(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonRingInvalid, "Secret %s: %v", secret.Name, err)
	}
	return &ring, &secret, nil
}

// writeRing is the commit: it replaces exactly the ring that was read, or fails with a conflict. Its keys, those that it revokes
// and those that it has taken are in the status before.
func (r *signingKeySetReconciler) writeRing(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, current *corev1.Secret, ring *keys.Ring) error {
	secret, err := keysecret.EncodeRing(ownerOf(set), ring)
	if err != nil {
		return err
	}
	if err := r.vouch(ctx, set, ring.Keys...); err != nil {
		return err
	}
	disowned, err := r.disown(ctx, set, ring)
	if err != nil {
		return err
	}
	if current == nil {
		err = r.client.Create(ctx, secret, client.FieldOwner(keyturnv1alpha1.ManagerName))
	} else {
		secret.UID, secret.ResourceVersion = current.UID, current.ResourceVersion
		err = r.client.Update(ctx, secret, client.FieldOwner(keyturnv1alpha1.ManagerName))
	}
	if err != nil {
		return fmt.Errorf("write the ring: %w", err)
	}
	set.Status.RingDigest = keysecret.Digest(secret)
	projectRing(&set.Status, ring)
	set.Status.Propagation = unloaded(set.Status.Propagation, ring)
	if disowned {
		// Documents are made of a ring that the status has, and those without the key shall not wait until all else is done. Where
		// this fails, so will the update at the end, which is tried again.
		_ = r.client.Status().Update(ctx, set, client.FieldOwner(keyturnv1alpha1.ManagerName))
	}
	return nil
}

// createKey makes a key, or takes the one that was chosen, records it and stores it. A second manager that does the same collides
// here.
func (r *signingKeySetReconciler) createKey(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, source *keySource, wanted *keys.Generate) error {
	var private *token.PrivateKey
	var err error
	encode := keysecret.EncodeKey
	if wanted.Take != "" {
		private, err = source.take(wanted)
		encode = keysecret.EncodeBrought
	} else {
		private, err = r.maker.make(ctx, token.Algorithm(wanted.Algorithm), wanted.Bits)
	}
	if err != nil {
		return fmt.Errorf("make key number %d: %w", wanted.Sequence, err)
	}
	secret, err := encode(ownerOf(set), wanted.Sequence, private)
	if err != nil {
		return err
	}
	promised := keys.Key{KID: private.KID(), Algorithm: wanted.Algorithm, Bits: wanted.Bits, Sequence: wanted.Sequence, State: keys.Pending, Created: r.now()}
	if err := r.vouch(ctx, set, promised); err != nil {
		return err
	}
	if err := r.client.Create(ctx, secret, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
		return fmt.Errorf("store key number %d: %w", wanted.Sequence, err)
	}
	if wanted.Take != "" {
		r.recordTaken(set, source, wanted)
	}
	return nil
}

// keyMaker generates keys, keysAtOnce at a time.
type keyMaker struct {
	slots    chan struct{}
	generate func(token.Algorithm, int) (*token.PrivateKey, error)
}

func newKeyMaker(generate func(token.Algorithm, int) (*token.PrivateKey, error)) *keyMaker {
	if generate == nil {
		generate = token.Generate
	}
	return &keyMaker{make(chan struct{}, keysAtOnce), generate}
}

// make waits for its turn and generates a key.
func (m *keyMaker) make(ctx context.Context, algorithm token.Algorithm, bits int) (*token.PrivateKey, error) {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return m.generate(algorithm, bits)
}

// removeKeys deletes the Secrets of keys that are gone from the ring.
func (r *signingKeySetReconciler) removeKeys(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, sequences []int64) error {
	for _, sequence := range sequences {
		var secret corev1.Secret
		secret.Namespace, secret.Name = set.Namespace, keysecret.KeyName(set.Name, sequence)
		if err := r.client.Delete(ctx, &secret); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete key number %d: %w", sequence, err)
		}
	}
	return nil
}

// destroyKeys deletes everything that the set has made, the ring last: until then a repeat finds its way.
func (r *signingKeySetReconciler) destroyKeys(ctx context.Context, set *keyturnv1alpha1.SigningKeySet) error {
	mine := []client.ListOption{client.InNamespace(set.Namespace), client.MatchingLabels{keyturnv1alpha1.LabelSigningKeySet: set.Name}}
	var list corev1.SecretList
	if err := r.live.List(ctx, &list, mine...); err != nil {
		return err
	}
	for i := range list.Items {
		secret := &list.Items[i]
		if _, isKey := keysecret.Sequence(set.Name, secret.Name); !isKey || secret.Type != keysecret.KeyType {
			continue
		}
		if err := r.client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	at := func(name string) types.NamespacedName {
		return types.NamespacedName{Namespace: set.Namespace, Name: name}
	}
	var jwks corev1.ConfigMap
	err := r.live.Get(ctx, at(keysecret.JWKSName(set.Name)), &jwks)
	if err == nil && jwks.Labels[keyturnv1alpha1.LabelSigningKeySet] == set.Name {
		err = r.client.Delete(ctx, &jwks)
	}
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	var ring corev1.Secret
	err = r.live.Get(ctx, at(keysecret.RingName(set.Name)), &ring)
	if err == nil && ring.Type == keysecret.RingType {
		err = r.client.Delete(ctx, &ring)
	}
	return client.IgnoreNotFound(err)
}

// projectJWKS keeps the public ConfigMap as the ring has it. Nothing of Keyturn reads it.
func (r *signingKeySetReconciler) projectJWKS(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, ring *keys.Ring) error {
	desired, err := keysecret.EncodeJWKS(ownerOf(set), ring)
	if err != nil {
		return err
	}
	var current corev1.ConfigMap
	err = r.live.Get(ctx, client.ObjectKeyFromObject(desired), &current)
	if apierrors.IsNotFound(err) {
		return r.client.Create(ctx, desired, client.FieldOwner(keyturnv1alpha1.ManagerName))
	}
	if err != nil {
		return err
	}
	if keysecret.SameJWKS(&current, desired) {
		return nil
	}
	if current.Labels[keyturnv1alpha1.LabelSigningKeySet] != set.Name {
		return &errForeign{"ConfigMap", current.Name}
	}
	desired.ResourceVersion = current.ResourceVersion
	return r.client.Update(ctx, desired, client.FieldOwner(keyturnv1alpha1.ManagerName))
}
