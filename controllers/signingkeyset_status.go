package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// Bounds of what a status lists, and of the rotation request that it repeats.
const (
	maxShownKeys    = 32
	maxShownWaiting = 16
	maxRequest      = 256
)

// reportSet projects the ring and what the planner found into the status.
func reportSet(set *keyturnv1alpha1.SigningKeySet, conds conditions, seen *observedSet, now time.Time) {
	status, ring, plan := &set.Status, &seen.ring, &seen.plan
	if seen.ringSecret != nil {
		status.RingDigest = keysecret.Digest(seen.ringSecret) // only now may documents be made of it
	}
	projectRing(status, ring)
	status.NextTransition, status.Next = nextTransition(plan), nextInWords(plan, now)
	status.Propagation = keyturnv1alpha1.PropagationStatus{
		Revision: ring.Revision, Replicas: fmt.Sprintf("%d/%d", plan.Loaded, plan.Total),
		WaitingFor: plan.Waiting[:min(len(plan.Waiting), maxShownWaiting)],
	}
	sourceCondition(conds, seen)
	publishedCondition(conds, seen)
	standbyCondition(set, conds, seen)
	findings(conds, seen)
	revocationCondition(conds, seen)
	sumUpSet(conds, seen)
}

// projectRing shows what the ring itself says: all of it at once, so that no status ever mixes two rings.
func projectRing(status *keyturnv1alpha1.SigningKeySetStatus, ring *keys.Ring) {
	status.Epoch, status.JWKSRevision, status.RotateRequestObserved = ring.Epoch, ring.Revision, ring.RotateHandled
	status.ActiveKid, status.Active, status.ActiveSince = "", "", metav1.Time{}
	if active := ring.Active(); active != nil {
		status.ActiveKid, status.Active, status.ActiveSince = active.KID, short(active.KID), seconds(active.Activated)
	}
	status.StandbyKid, status.Standby = "", ""
	if standby := ring.Standby(); standby != nil {
		status.StandbyKid, status.Standby = standby.KID, short(standby.KID)
	}
	status.Keys = append(promisedKeys(status, ring), keyStatuses(ring)...)
	status.Keys = status.Keys[:min(len(status.Keys), maxShownKeys)]
	status.RevokedKids, status.TakenKids = revokedOf(status.RevokedKids, ring), takenOf(status.TakenKids, ring)
}

// revokedOf adds the kids that the ring has as revoked to those that are known, and keeps the last ones.
func revokedOf(known []string, ring *keys.Ring) []string {
	out := slices.Clone(known)
	for _, t := range ring.Tombstones {
		if t.State == keys.Revoked && !slices.Contains(out, t.KID) {
			out = append(out, t.KID)
		}
	}
	return out[max(len(out)-keyturnv1alpha1.MaxRevokedKids, 0):]
}

// unloaded is the propagation of a ring that was just written: no replica has it.
func unloaded(before keyturnv1alpha1.PropagationStatus, ring *keys.Ring) keyturnv1alpha1.PropagationStatus {
	after := keyturnv1alpha1.PropagationStatus{Revision: ring.Revision}
	if _, all, known := strings.Cut(before.Replicas, "/"); known {
		after.Replicas = "0/" + all
	}
	return after
}

// promisedKeys are those that the status names and no ring does yet: another manager may be making one. Once the ring has gone
// past its number a key can never come.
func promisedKeys(status *keyturnv1alpha1.SigningKeySetStatus, ring *keys.Ring) []keyturnv1alpha1.KeyStatus {
	return slices.DeleteFunc(slices.Clone(status.Keys), func(k keyturnv1alpha1.KeyStatus) bool {
		return k.Sequence < ring.NextSequence || ring.Key(k.Kid) != nil
	})
}

func nextTransition(plan *keys.Plan) *keyturnv1alpha1.KeyTransition {
	if plan.Next == nil {
		return nil
	}
	return &keyturnv1alpha1.KeyTransition{
		Kid: plan.Next.KID, To: keyturnv1alpha1.KeyState(plan.Next.To),
		NotBefore: seconds(plan.Next.NotBefore), BlockedBy: plan.Next.BlockedBy,
	}
}

// nextInWords is the NEXT column: what happens, and when. Its instant is a text, because a date column can only show
// the past.
func nextInWords(plan *keys.Plan, now time.Time) string {
	next := plan.Next
	if next == nil {
		return "none"
	}
	words := map[keys.State]string{keys.Active: "rotate", keys.Published: "publish", keys.Removed: "remove " + short(next.KID)}
	what, ok := words[next.To]
	if !ok {
		what = string(next.To)
	}
	switch {
	case next.NotBefore.After(now):
		layout := "2006-01-02T15:04Z"
		if next.NotBefore.Sub(now) < time.Hour {
			layout = "15:04:05Z"
		}
		return what + " " + next.NotBefore.UTC().Format(layout)
	case plan.Found(keys.NoKeyLeft) != nil:
		return what + " waits for a key to take"
	case next.BlockedBy != "":
		return what + " waits"
	default:
		return what + " now"
	}
}

func publishedCondition(conds conditions, seen *observedSet) {
	const kind = keyturnv1alpha1.ConditionPublished
	switch plan := &seen.plan; {
	case plan.Total == 0 && len(seen.services) == 0:
		conds.bad(kind, keyturnv1alpha1.ReasonNoReplicas, "no TokenService refers to this set: create one")
	case plan.Total == 0:
		conds.bad(kind, keyturnv1alpha1.ReasonNoReplicas, "no replica runs yet")
	case len(plan.Waiting) > 0:
		conds.bad(kind, keyturnv1alpha1.ReasonWaitingForReplicas, "%s", plan.Message)
	default:
		conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "all %d replicas have loaded revision %d", plan.Total, seen.ring.Revision)
	}
}

func standbyCondition(set *keyturnv1alpha1.SigningKeySet, conds conditions, seen *observedSet) {
	const kind = keyturnv1alpha1.ConditionStandbyReady
	missing := seen.plan.Found(keys.StandbyMissing)
	switch {
	case deref(set.Spec.Rotation.StandbyKeys, 1) == 0:
		conds.bad(kind, keyturnv1alpha1.ReasonStandbyDisabled, "spec.rotation.standbyKeys is 0: if the active key leaks, a new one must first be published")
	case missing != nil && seen.plan.Found(keys.NoKeyLeft) != nil:
		conds.bad(kind, keyturnv1alpha1.ReasonNoKeyLeft, "%s", missing.Message)
	case missing != nil:
		conds.bad(kind, keyturnv1alpha1.ReasonStandbyPending, "%s", missing.Message)
	default:
		conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "key %s is published and can take over at once", short(set.Status.StandbyKid))
	}
}

// findings sets the negative conditions.
func findings(conds conditions, seen *observedSet) {
	for _, row := range []struct {
		kind, reason, fine string
		finding            keys.FindingKind
	}{
		{keyturnv1alpha1.ConditionRotationOverdue, keyturnv1alpha1.ReasonRotationOverdue, "no rotation is late", keys.RotationOverdue},
		{keyturnv1alpha1.ConditionClockSkewed, keyturnv1alpha1.ReasonClockSkewed, "all clocks agree within spec.clockSkew", keys.ClockSkewed},
		{keyturnv1alpha1.ConditionKeyMaterialLost, keyturnv1alpha1.ReasonKeyMaterialLost, "every private half is in place", keys.KeyMaterialLost},
		{keyturnv1alpha1.ConditionRestoreDetected, keyturnv1alpha1.ReasonRingRestored, "no replica holds a newer ring", keys.RestoreDetected},
	} {
		if found := seen.plan.Found(row.finding); found != nil {
			conds.good(row.kind, row.reason, "%s", found.Message) // True is the problem
			continue
		}
		if row.finding == keys.RestoreDetected && recovering(conds, &seen.ring) {
			continue
		}
		conds.bad(row.kind, keyturnv1alpha1.ReasonAsExpected, "%s", row.fine)
	}
}

// revocationCondition says which revoked key is not refused everywhere yet, the gravest first, and what that waits for.
func revocationCondition(conds conditions, seen *observedSet) {
	for _, row := range []struct {
		finding keys.FindingKind
		reason  string
	}{
		{keys.RevocationPending, keyturnv1alpha1.ReasonRevocationPending},
		{keys.RevocationUnconfirmed, keyturnv1alpha1.ReasonRevocationUnconfirmed},
		{keys.RevocationUnknown, keyturnv1alpha1.ReasonRevocationUnknown},
	} {
		if found := seen.plan.Found(row.finding); found != nil {
			conds.good(keyturnv1alpha1.ConditionRevocationPending, row.reason, "%s", found.Message) // True is the problem
			return
		}
	}
	conds.bad(keyturnv1alpha1.ConditionRevocationPending, keyturnv1alpha1.ReasonAsExpected, "no revocation of a key waits")
}

// recovering tells whether a restore that was detected still shows: until the keys that it brought back have expired.
func recovering(conds conditions, ring *keys.Ring) bool {
	was := conds.find(keyturnv1alpha1.ConditionRestoreDetected)
	return was != nil && problem(was) && slices.ContainsFunc(ring.Keys, func(k keys.Key) bool { return k.Created.IsZero() })
}

// sumUpSet derives Ready: a key signs, its private half is there, nothing is late.
func sumUpSet(conds conditions, seen *observedSet) {
	const ready = keyturnv1alpha1.ConditionReady
	active, none := seen.ring.Active(), seen.plan.Found(keys.NoKeyLeft)
	if active == nil && none != nil {
		conds.bad(ready, keyturnv1alpha1.ReasonNoKeyLeft, "no key signs: %s", none.Message)
		return
	}
	if active == nil {
		conds.bad(ready, keyturnv1alpha1.ReasonProgressing, "no key signs yet: the first one is being loaded by the replicas")
		return
	}
	for _, kind := range []string{keyturnv1alpha1.ConditionKeyMaterialLost, keyturnv1alpha1.ConditionRotationOverdue, keyturnv1alpha1.ConditionClockSkewed} {
		if found := conds.find(kind); found != nil && problem(found) {
			conds.bad(ready, found.Reason, "%s", found.Message)
			return
		}
	}
	conds.good(ready, keyturnv1alpha1.ReasonReady, "key %s signs", short(active.KID))
}
