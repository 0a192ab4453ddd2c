package controllers

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// countersEnd bounds the epochs, revisions and sequences that are believed: no set ever gets there, and a forged one
// must not leave the manager without a next number.
const countersEnd = 1 << 53

func credible(counters ...int64) bool {
	return !slices.ContainsFunc(counters, func(n int64) bool { return n < 0 || n >= countersEnd })
}

// floor is the highest of the counters that can be believed.
func floor(counters ...int64) int64 {
	highest := int64(0)
	for _, n := range counters {
		if credible(n) {
			highest = max(highest, n)
		}
	}
	return highest
}

// rebuild writes a ring from what remains: the status, the private Secrets, the edges' documents, the replicas' epochs.
func (r *signingKeySetReconciler) rebuild(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, seen *observedSet, conds conditions) error {
	remains := keys.Remains{
		Recorded: recordedKeys(&set.Status), Material: slices.Collect(maps.Values(seen.material)),
		EpochFloor: floor(set.Status.Epoch, seen.ring.Epoch), RevisionFloor: floor(set.Status.JWKSRevision, seen.ring.Revision),
		SequenceFloor: floor(seen.ring.NextSequence - 1), RotateHandled: set.Status.RotateRequestObserved,
		Tombstones: seen.ring.Tombstones,
	}
	why := seen.damage
	if found := seen.plan.Found(keys.RestoreDetected); found != nil {
		remains.Restored, why = true, found.Message
		conds.good(keyturnv1alpha1.ConditionRestoreDetected, keyturnv1alpha1.ReasonRingRestored, "%s", why)
		// First the status: once the ring is mended, nothing shows what it was.
		if err := r.client.Status().Update(ctx, set, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
			return err
		}
	} else if found := seen.plan.Found(keys.RingInvalid); found != nil {
		why = found.Message
	}
	for i := range seen.observed.Replicas {
		remains.EpochFloor = floor(remains.EpochFloor, seen.observed.Replicas[i].Epoch)
	}
	for _, sequence := range seen.observed.Stored {
		remains.SequenceFloor = floor(remains.SequenceFloor, sequence)
	}
	var err error
	if remains.Seen, err = r.remembered(ctx, set, seen.services); err != nil {
		return err
	}
	if seen.damage != "" {
		// What an edited ring says is evidence of nothing, but for the public halves of keys that are known.
		for i := range seen.ring.Keys {
			if k := &seen.ring.Keys[i]; knownKey(set, k.KID) {
				remains.Seen = append(remains.Seen, *k)
			}
		}
	}
	ring := keys.Rebuild(r.now(), seen.policy, remains)
	if err := r.writeRing(ctx, set, seen.ringSecret, &ring); err != nil {
		return err
	}
	r.recorder.Eventf(set, nil, corev1.EventTypeWarning, keyturnv1alpha1.ReasonRingRestored, "Rebuild",
		"%s: rebuilt at epoch %d from the status and %d key Secrets", why, ring.Epoch, len(seen.material))
	return nil
}

// remembered are the public halves that the edges' documents hold, of keys that the set is known to have: they go on
// verifying even if ring and private half are gone.
func (r *signingKeySetReconciler) remembered(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, services []keyturnv1alpha1.TokenService) ([]keys.Key, error) {
	var out []keys.Key
	for i := range services {
		secret, err := r.ownedSecret(ctx, &services[i], namesOf(&services[i]).edgeSnapshot)
		if _, foreign := asStopped(err); foreign || err == nil && secret == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		doc, err := snapshot.DecodeEdge(secret.Data[snapshotKey])
		if err != nil {
			continue
		}
		for _, k := range doc.Keys.Keys {
			public, err := token.ParsePublic(k.JWK)
			if err == nil && public.KID() == k.KID && knownKey(set, k.KID) {
				out = append(out, keys.Key{KID: k.KID, Algorithm: keys.Algorithm(public.Algorithm()), Bits: public.Bits(), PublicJWK: public.JWK()})
			}
		}
	}
	return out, nil
}

// knownKey tells whether the status remembers the key as one that may be in the ring.
func knownKey(set *keyturnv1alpha1.SigningKeySet, kid string) bool {
	return slices.ContainsFunc(set.Status.Keys, func(k keyturnv1alpha1.KeyStatus) bool {
		return k.Kid == kid && k.State != keyturnv1alpha1.KeyRemoved && k.State != keyturnv1alpha1.KeyRevoked
	})
}
