package controllers

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// Bounds of epochs, revisions and sequences. No set ever gets to believedEnd, and a forged one must leave the manager a next number:
// what others say is believed below it, so that the manager's own, which come after, have the room up to countersEnd. Once its own
// are there, others are believed that are ahead of them by less than believedLeap: they are what it wrote and has not recorded yet.
const (
	believedEnd  = 1 << 52
	believedLeap = 1 << 20
	countersEnd  = 1 << 53
)

// credible tells whether counters can be the manager's own.
func credible(counters ...int64) bool {
	return !slices.ContainsFunc(counters, func(n int64) bool { return n < 0 || n >= countersEnd })
}

// believed tells whether somebody else's counter can be believed, where own is the highest that the manager has recorded.
func believed(own, n int64) bool {
	return credible(n) && (n < believedEnd || n-believedLeap < own)
}

// floor is the highest of own and of those counters of others that can be believed beside it.
func floor(own int64, others ...int64) int64 {
	highest := own
	for _, n := range others {
		if believed(own, n) {
			highest = max(highest, n)
		}
	}
	return highest
}

// lastSequence is the highest number of a key that the status names.
func lastSequence(set *keyturnv1alpha1.SigningKeySet) int64 {
	last := int64(0)
	for i := range set.Status.Keys {
		last = max(last, set.Status.Keys[i].Sequence)
	}
	return last
}

// rebuild writes a ring from what remains: the status, the private Secrets, the edges' documents, the replicas' epochs.
func (r *signingKeySetReconciler) rebuild(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, seen *observedSet, conds conditions) error {
	remains := keys.Remains{
		Recorded:   recordedKeys(&set.Status),
		EpochFloor: floor(set.Status.Epoch, seen.ring.Epoch), RevisionFloor: floor(set.Status.JWKSRevision, seen.ring.Revision),
		SequenceFloor: floor(lastSequence(set), seen.ring.NextSequence-1), RotateHandled: set.Status.RotateRequestObserved,
		Tombstones: seen.ring.Tombstones, Revoked: set.Status.RevokedKids, Taken: set.Status.TakenKids,
	}
	if seen.damage == "" { // else whoever edited it could use the memory up
		remains.Taken = append(slices.Clone(remains.Taken), seen.ring.Taken...)
	}
	why := seen.damage
	if found := seen.plan.Found(keys.RestoreDetected); found != nil {
		remains.Restored, remains.Newer, why = true, newerKids(seen), found.Message
		conds.good(keyturnv1alpha1.ConditionRestoreDetected, keyturnv1alpha1.ReasonRingRestored, "%s", why)
	} else if found := seen.plan.Found(keys.RingInvalid); found != nil {
		why = found.Message
	}
	// First the status: once the ring is mended, nothing shows what it was. And a judgement by a status that is not the newest
	// is a conflict here: a key is recorded before it is used, so what a newer one names was good all the while.
	if err := r.client.Status().Update(ctx, set, client.FieldOwner(keyturnv1alpha1.ManagerName)); err != nil {
		return err
	}
	for i := range seen.observed.Replicas {
		remains.EpochFloor = max(remains.EpochFloor, floor(set.Status.Epoch, seen.observed.Replicas[i].Epoch))
	}
	remains.Material = vouchedMaterial(set, seen, remains.Restored)
	for _, sequence := range seen.stored {
		remains.SequenceFloor = max(remains.SequenceFloor, floor(lastSequence(set), sequence))
	}
	if err := r.remember(ctx, set, seen.services, &remains); err != nil {
		return err
	}
	remains.Seen = append(remains.Seen, witnessed(set, seen, remains.Restored)...)
	if seen.damage != "" {
		// What an edited ring says is evidence of nothing, but for the public halves of keys that are known.
		for i := range seen.ring.Keys {
			if k := &seen.ring.Keys[i]; knownKey(set, k.KID) {
				remains.Seen = append(remains.Seen, *k)
			}
		}
	}
	remains.Seen = fitSeen(set, &remains)
	ring := keys.Rebuild(r.now(), seen.policy, remains)
	if err := r.writeRing(ctx, set, seen.ringSecret, &ring); err != nil {
		return err
	}
	processMetrics().failure(set, keyturnv1alpha1.ReasonRingRestored)
	r.recorder.Eventf(set, nil, corev1.EventTypeWarning, keyturnv1alpha1.ReasonRingRestored, "Rebuild",
		"%s: rebuilt at epoch %d from the status and %d key Secrets", why, ring.Epoch, len(remains.Material))
	return nil
}

// fitSeen leaves out what the status could not name: it has room for so many keys, and those that it names already, of which a public
// half is left, come first. What token services report is theirs to forge.
func fitSeen(set *keyturnv1alpha1.SigningKeySet, remains *keys.Remains) []keys.Key {
	kept := map[string]bool{}
	for _, k := range slices.Concat(remains.Material, remains.Seen) {
		if knownKey(set, k.KID) {
			kept[k.KID] = true
		}
	}
	for i := range remains.Material {
		kept[remains.Material[i].KID] = true
	}
	return slices.DeleteFunc(slices.Clone(remains.Seen), func(k keys.Key) bool {
		if !kept[k.KID] && len(kept) >= maxShownKeys {
			return true
		}
		kept[k.KID] = true
		return false
	})
}

// newerKids are the kids of the documents that the token services have, if one of those is newer than the ring: what the ring names
// and none of them does was buried after the backup. An edge takes no key away: who can write its document could bury them all.
func newerKids(seen *observedSet) []string {
	newer := func(r keys.Replica) bool { return r.Signer && r.Reachable && r.Epoch > seen.ring.Epoch }
	if !slices.ContainsFunc(seen.observed.Replicas, newer) {
		return nil
	}
	var out []string
	for i := range seen.observed.Replicas {
		if r := &seen.observed.Replicas[i]; r.Signer {
			out = append(out, r.KIDs...)
		}
	}
	return out
}

// vouchedMaterial are the public halves of the private Secrets that the status names. After a restore, which takes the
// status back too, what a token service has loaded vouches for a key as well. Any other Secret is somebody's.
func vouchedMaterial(set *keyturnv1alpha1.SigningKeySet, seen *observedSet, restored bool) []keys.Key {
	var out []keys.Key
	for _, k := range seen.material {
		loaded := func(r keys.Replica) bool { return r.Signer && slices.Contains(r.KIDs, k.KID) }
		if knownKey(set, k.KID) || restored && slices.ContainsFunc(seen.observed.Replicas, loaded) {
			out = append(out, k)
		}
	}
	return out
}

// remember adds what the edges' documents hold to what remains: the public halves of keys that the set is known to have, which
// go on verifying even if ring and private half are gone, and the epoch that the edges were told.
func (r *signingKeySetReconciler) remember(ctx context.Context, set *keyturnv1alpha1.SigningKeySet, services []keyturnv1alpha1.TokenService, remains *keys.Remains) error {
	for i := range services {
		secret, err := r.ownedSecret(ctx, &services[i], namesOf(&services[i]).edgeSnapshot)
		if _, foreign := asStopped(err); foreign || err == nil && secret == nil {
			continue
		}
		if err != nil {
			return err
		}
		doc, err := snapshot.DecodeEdge(secret.Data[snapshotKey])
		if err != nil {
			continue
		}
		for _, k := range doc.Keys.Keys {
			if public, ok := publicKey(k); ok && knownKey(set, k.KID) {
				remains.Seen = append(remains.Seen, public)
			}
		}
		if doc.Keys.Name == set.Namespace+"/"+set.Name {
			remains.EpochFloor = max(remains.EpochFloor, floor(set.Status.Epoch, doc.Keys.Epoch))
		}
	}
	return nil
}
