package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// vouch writes into the status, which only the manager may write, the keys that are about to exist. Everything else believes
// in a key only if the status names it, so this comes before the key's Secret and before the ring that names it.
func (r *signingKeySetReconciler) vouch(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, all ...keys.Key) error {
	status := &set.Status
	unnamed := slices.DeleteFunc(slices.Clone(all), func(k keys.Key) bool { return namedKey(set, k.KID) })
	news := keyStatuses(&keys.Ring{Keys: unnamed})
	if len(news) == 0 {
		return nil
	}
	status.Keys = fitKeys(news, status.Keys, all)
	if err := r.client.Status().Update(ctx, set, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
		return fmt.Errorf("record the key before it is made: %w", err)
	}
	return nil
}

// fitKeys puts new keys before those that the status names, and drops of the latter what it has no room for: keys that were promised
// under the same number and never came, then the oldest of those that are not among needed.
func fitKeys(news, named []keyturnv1alpha1.KeyStatus, needed []keys.Key) []keyturnv1alpha1.KeyStatus {
	out := slices.Concat(news, named)
	if len(out) > maxShownKeys {
		sequence := out[0].Sequence
		out = slices.DeleteFunc(out, func(k keyturnv1alpha1.KeyStatus) bool {
			return k.State == keyturnv1alpha1.KeyPending && k.Sequence == sequence && k.Kid != news[0].Kid
		})
	}
	for i := len(out) - 1; i >= len(news) && len(out) > maxShownKeys; i-- {
		if !slices.ContainsFunc(needed, func(k keys.Key) bool { return k.KID == out[i].Kid }) {
			out = slices.Delete(out, i, i+1)
		}
	}
	return out
}

// disown writes into the status the kids that the ring is about to have as revoked or as taken. So none of them returns, even if the
// ring is lost in the next moment. It tells whether one of them is revoked.
func (r *signingKeySetReconciler) disown(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, ring *keys.Ring) (bool, error) {
	revoked, taken := revokedOf(set.Status.RevokedKids, ring), takenOf(set.Status.TakenKids, ring)
	if slices.Equal(revoked, set.Status.RevokedKids) && slices.Equal(taken, set.Status.TakenKids) {
		return false, nil
	}
	anew := !slices.Equal(revoked, set.Status.RevokedKids)
	set.Status.RevokedKids, set.Status.TakenKids = revoked, taken
	if err := r.client.Status().Update(ctx, set, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
		return false, fmt.Errorf("record what is revoked or used: %w", err)
	}
	return anew, nil
}

// namedKey tells whether the status names the key, in whatever state.
func namedKey(set *keyturnv1alpha1.SigningKeySet, kid string) bool {
	return slices.ContainsFunc(set.Status.Keys, func(k keyturnv1alpha1.KeyStatus) bool { return k.Kid == kid })
}

// knownKey tells whether the status names the key as one that may be in the ring.
func knownKey(set *keyturnv1alpha1.SigningKeySet, kid string) bool {
	return slices.ContainsFunc(set.Status.Keys, func(k keyturnv1alpha1.KeyStatus) bool {
		return k.Kid == kid && k.State != keyturnv1alpha1.KeyRemoved && k.State != keyturnv1alpha1.KeyRevoked
	})
}

// unrecordedSet tells that the status says nothing of any key: the set is new, or was re-created or restored without it.
func unrecordedSet(set *keyturnv1alpha1.SigningKeySet) bool {
	return set.Status.RingDigest == "" && len(set.Status.Keys) == 0
}

// distrust says why a ring that can be read must not be believed; empty if it may. The status has the digest of the last ring
// that was reported, so an edit of it shows. A later ring is what a manager left behind that died, or what another is
// about to report: it is believed if the status names each of its keys. So whoever forges one can move keys of this set,
// and never bring in one.
func distrust(set *keyturnv1alpha1.SigningKeySet, seen *observedSet) string {
	status := &set.Status
	switch {
	case seen.ringSecret == nil && status.Epoch > 0:
		return "the ring Secret was deleted"
	case seen.ringSecret == nil:
		return ""
	case status.RingDigest != "" && keysecret.Digest(seen.ringSecret) == status.RingDigest && credible(seen.ring.Epoch, seen.ring.Revision, seen.ring.NextSequence):
		return ""
	case !believed(status.Epoch, seen.ring.Epoch) || !believed(status.JWKSRevision, seen.ring.Revision) || !believed(lastSequence(set), seen.ring.NextSequence):
		return "a counter of the ring Secret is beyond what any set reaches"
	case status.RingDigest != "" && seen.ring.Epoch <= status.Epoch:
		return "the ring Secret was edited or restored"
	}
	adopted := unrecordedSet(set)
	for i := range seen.ring.Keys {
		k := &seen.ring.Keys[i]
		if adopted && seen.observed.Material[k.KID] == keys.MaterialPresent || knownKey(set, k.KID) {
			continue
		}
		return fmt.Sprintf("the ring names key %s, which this set never had", short(k.KID))
	}
	return ""
}

// adopt takes over the ring that a set finds under its name when it begins. Nothing vouches for it but its place.
func (r *signingKeySetReconciler) adopt(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, seen *observedSet) error {
	set.Status.RingDigest, set.Status.Epoch = keysecret.Digest(seen.ringSecret), seen.ring.Epoch
	if err := r.vouch(ctx, set, seen.ring.Keys...); err != nil {
		return err
	}
	r.recorder.Eventf(set, nil, corev1.EventTypeWarning, keyturnv1alpha1.ReasonRingAdopted, "Adopt",
		"Secret %s with %d keys was there before this set had any: it goes on with them", seen.ringSecret.Name, len(seen.ring.Keys))
	return nil
}
