package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// signingKey is what token services sign with now.
type signingKey struct {
	kid     string
	private *token.PrivateKey
	maxTTL  time.Duration
}

// signingKey finds the Active key. While the ring has none, or its Secret is lost, it is the one of the document in force:
// the last good key goes on, so that every replica can load what is to take over. After a restore the stored document is not
// what is in force: then it is any key of the ring that all replicas know. The error says what a person must mend.
func (r *tokenServiceReconciler) signingKey(ctx context.Context, refs *resolved, current *snapshot.Issuer, replicas []replica) (signingKey, error) {
	lost := stop(keyturnv1alpha1.ConditionKeysLoaded, keyturnv1alpha1.ReasonKeySetNotReady, "SigningKeySet %s has no active key yet: kubectl describe sks %s", refs.set.Name, refs.set.Name)
	key := refs.ring.Active()
	if key != nil {
		var private *token.PrivateKey
		if private, lost = r.readPrivateKey(ctx, refs.set, key); lost == nil {
			return signable(key, private)
		}
	}
	if _, gone := asStopped(lost); !gone || current == nil {
		return signingKey{}, lost
	}
	private, err := token.ParsePrivate(current.SigningKey.Reveal())
	if err != nil {
		return signingKey{}, lost
	}
	if key = refs.ring.Key(private.KID()); key != nil && (!key.Activated.IsZero() || key.State == keys.Retiring) && usable(replicas, key.KID) {
		return signable(key, private) // a key that never signed does not begin here
	}
	for i := range slices.Backward(refs.ring.Keys) {
		key = &refs.ring.Keys[i]
		if key.State != keys.Retiring || !key.VerifyUntil.IsZero() || !usable(replicas, key.KID) {
			continue
		}
		if private, err := r.readPrivateKey(ctx, refs.set, key); err == nil {
			return signable(key, private)
		} else if _, gone := asStopped(err); !gone {
			return signingKey{}, err
		}
	}
	return signingKey{}, lost
}

// usable tells that nobody refuses what is signed with a key: a token service uses it already, or every replica knows it.
func usable(replicas []replica, kid string) bool {
	known := true
	for i := range replicas {
		s := replicas[i].status
		if s != nil && replicas[i].signer && s.ActiveKID == kid {
			return true
		}
		known = known && s != nil && slices.Contains(s.KIDs, kid)
	}
	return known
}

// signable holds a key back until the ring has recorded how long its tokens live.
func signable(key *keys.Key, private *token.PrivateKey) (signingKey, error) {
	if key.MaxTTL <= 0 {
		return signingKey{}, stop(keyturnv1alpha1.ConditionKeysLoaded, keyturnv1alpha1.ReasonKeySetNotReady, "the key set has not recorded yet how long tokens of key %s live", short(key.KID))
	}
	return signingKey{key.KID, private, key.MaxTTL}, nil
}

// readPrivateKey reads the private half of the key that signs, live and checked.
func (b *base) readPrivateKey(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, key *keys.Key) (*token.PrivateKey, error) {
	name := keysecret.KeyName(set.Name, key.Sequence)
	var secret corev1.Secret
	err := b.live.Get(ctx, types.NamespacedName{Namespace: set.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, stop(keyturnv1alpha1.ConditionKeysLoaded, keyturnv1alpha1.ReasonKeyMaterialLost, "Secret %s, the private half of key %s, is gone: the replicas go on with the copy they have until another key takes over", name, short(key.KID))
	}
	if err != nil {
		return nil, err
	}
	private, public, err := keysecret.DecodeKey(&secret, ownerOf(set), key.Sequence)
	if err == nil && public.KID != key.KID {
		err = fmt.Errorf("it holds key %s", short(public.KID))
	}
	if err != nil {
		return nil, stop(keyturnv1alpha1.ConditionKeysLoaded, keyturnv1alpha1.ReasonKeySecretInvalid, "Secret %s, the private half of key %s, is refused: %v; the replicas go on with the copy they have until another key takes over", name, short(key.KID), err)
	}
	return private, nil
}
