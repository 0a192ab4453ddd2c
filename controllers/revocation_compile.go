package controllers

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// maxRevocations bounds the revocations in a document, unless [Options] say otherwise.
const maxRevocations = 1000

// revoking is what a document says of revocations.
type revoking struct {
	entries []snapshot.Revocation
	// left are those for which there was no room, by UID.
	left map[string]bool
	// pending is the age of the youngest that is not enforced; negative if all are.
	pending time.Duration
	// takeover tells that signers are leaving a key that is revoked: it is in the ring until they have.
	takeover bool
}

// patience is how long a silent replica is left alone at most. While somebody waits for a revocation none is.
func (r *revoking) patience() time.Duration {
	switch {
	case r.takeover || r.pending >= 0 && r.pending < youngRevocation:
		return askEverybody
	case r.pending >= 0:
		return silenceRevoking
	}
	return silencePauseMax
}

// revokingFor collects the revocations of a TokenService: those that are not enforced, and after that for as long as a token
// that one hits may live. A key is among them when it has left the ring, and not before: whoever signs must have changed over.
func (b *base) revokingFor(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, ring *keys.Ring) (revoking, error) {
	out := revoking{pending: -1}
	var all keyturnv1alpha1.RevocationList
	if err := b.client.List(ctx, &all, client.InNamespace(tsvc.Namespace)); err != nil {
		return out, err
	}
	now := b.now()
	var ours []*keyturnv1alpha1.Revocation
	for i := range all.Items {
		rev := &all.Items[i]
		out.takeover = out.takeover || concerns(rev, tsvc) && leaving(ring, rev)
		if !concerns(rev, tsvc) || over(rev, now) || invalidRevocation(rev) != "" || rev.Spec.Key != nil && !revokedIn(ring, rev.Spec.Key.Kid) {
			continue
		}
		ours = append(ours, rev)
		if age := max(now.Sub(rev.CreationTimestamp.Time), 0); !enforced(rev) && (out.pending < 0 || age < out.pending) {
			out.pending = age
		}
	}
	out.entries, out.left = fitRevocations(ours, b.room)
	return out, nil
}

// fitRevocations chooses those for which a document has room, and gives them sorted by UID; left are the others. What is not
// enforced comes first, the oldest before the younger, so that each has its turn; of what is enforced, the youngest.
func fitRevocations(all []*keyturnv1alpha1.Revocation, room int) (entries []snapshot.Revocation, left map[string]bool) {
	slices.SortFunc(all, func(a, b *keyturnv1alpha1.Revocation) int {
		if x, y := enforced(a), enforced(b); x != y {
			if y {
				return -1
			}
			return 1
		}
		order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
		if enforced(a) {
			order = -order
		}
		if order == 0 {
			order = strings.Compare(string(a.UID), string(b.UID))
		}
		return order
	})
	for i, rev := range all {
		if i < room {
			entries = append(entries, revocationEntry(rev))
			continue
		}
		if left == nil {
			left = map[string]bool{}
		}
		left[string(rev.UID)] = true
	}
	slices.SortFunc(entries, func(a, b snapshot.Revocation) int { return strings.Compare(a.UID, b.UID) })
	return entries, left
}

// concerns tells whether a revocation goes into the document of a TokenService of its namespace.
func concerns(rev *keyturnv1alpha1.Revocation, tsvc *keyturnv1alpha1.TokenService) bool {
	if rev.Spec.Key != nil {
		return rev.Spec.Key.SigningKeySetRef.Name == tsvc.Spec.SigningKeySetRef.Name
	}
	return serviceOfRevocation(rev) == tsvc.Name
}

// serviceOfRevocation is the TokenService that it names; empty for a key.
func serviceOfRevocation(rev *keyturnv1alpha1.Revocation) string {
	switch spec := &rev.Spec; {
	case spec.User != nil:
		return spec.User.TokenServiceRef.Name
	case spec.Session != nil:
		return spec.Session.TokenServiceRef.Name
	case spec.All != nil:
		return spec.All.TokenServiceRef.Name
	default:
		return ""
	}
}

func enforced(rev *keyturnv1alpha1.Revocation) bool {
	return apimeta.IsStatusConditionTrue(rev.Status.Conditions, keyturnv1alpha1.ConditionEnforced)
}

// over tells whether the document needs a revocation no more: it is enforced, and nothing lives that it hits. The session
// store remembers its UID for a day longer, so that it is not carried out a second time.
func over(rev *keyturnv1alpha1.Revocation, now time.Time) bool {
	return enforced(rev) && now.After(rev.Status.Exposure.Until.Time)
}

// invalidRevocation says what the schema could not see; empty if nothing.
func invalidRevocation(rev *keyturnv1alpha1.Revocation) string {
	switch spec := &rev.Spec; {
	case spec.User != nil && len(spec.User.Subject) > revocation.MaxValueBytes:
		return "spec.user.subject has more than 512 bytes, and no token has one as long: compare it with the sub of a token, and create another Revocation"
	case spec.Key == nil && spec.User == nil && spec.Session == nil && spec.All == nil:
		return "the spec names nothing that this version knows: upgrade the manager, or create another Revocation"
	}
	return ""
}

// revokedIn tells whether a key has left the ring for being revoked.
func revokedIn(ring *keys.Ring, kid string) bool {
	return ring != nil && slices.ContainsFunc(ring.Tombstones, func(t keys.Tombstone) bool { return t.KID == kid && t.State == keys.Revoked })
}

// leaving tells whether another key, which every edge has, signs in place of one that is revoked and not yet out of the ring.
func leaving(ring *keys.Ring, rev *keyturnv1alpha1.Revocation) bool {
	if rev.Spec.Key == nil || enforced(rev) || ring == nil || ring.Active() == nil {
		return false
	}
	key := ring.Key(rev.Spec.Key.Kid)
	return key != nil && key.State == keys.Retiring
}

func revocationEntry(rev *keyturnv1alpha1.Revocation) snapshot.Revocation {
	entry := snapshot.Revocation{UID: string(rev.UID)}
	switch spec := &rev.Spec; {
	case spec.Key != nil:
		entry.Kind, entry.Value = string(revocation.Key), spec.Key.Kid
	case spec.User != nil:
		entry.Kind, entry.Value = string(revocation.User), spec.User.Subject
	case spec.Session != nil:
		entry.Kind, entry.Value = string(revocation.Session), spec.Session.ID
	default:
		entry.Kind = string(revocation.All)
	}
	return entry
}

// servicesOfRevocation finds the TokenServices in whose documents a revocation is.
func (b *base) servicesOfRevocation(ctx context.Context, object client.Object) []reconcile.Request {
	rev, ok := object.(*keyturnv1alpha1.Revocation)
	if !ok {
		return nil
	}
	if rev.Spec.Key == nil {
		return requestFor(rev.Namespace, serviceOfRevocation(rev))
	}
	return b.services(ctx, rev.Namespace, func(tsvc *keyturnv1alpha1.TokenService) bool { return concerns(rev, tsvc) })
}

// revocationViews is what the TokenServices' controller has seen of revocations. It spares the controller of each from asking
// every replica again. The zero value is ready; it is safe for concurrent use.
type revocationViews struct {
	mu  sync.Mutex
	all map[types.UID]*revocationView
}

// revocationView is that of one TokenService. It does not change.
type revocationView struct {
	// listed are those in the issuer's document, which has that revision; left those for which it has no room.
	listed, left map[string]bool
	revision     int64
	replicas     []replica
	// life is how long a token lives at most, by any clock.
	life time.Duration
	// legacy is the AuthRollout by which the application's own sessions are accepted; nil: they are not.
	legacy *keyturnv1alpha1.AuthRollout
}

func (v *revocationViews) of(service types.UID) *revocationView {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[service]
}

func (v *revocationViews) forget(service types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.all, service)
}

// publish notes the document that was stored and what the replicas say.
func (v *revocationViews) publish(service types.UID, refs *resolved, revision int64, replicas []replica) {
	view := &revocationView{listed: map[string]bool{}, left: refs.revoking.left, revision: revision, replicas: replicas}
	for _, entry := range refs.revoking.entries {
		view.listed[entry.UID] = true
	}
	if aro := refs.rollout; aro != nil && aro.Status.SunsetReachedTime.IsZero() {
		view.legacy = aro
	}
	view.life = longestTTL(refs) + 2*publicKeys(refs.set, refs.ring, "").ClockSkew.Std()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = map[types.UID]*revocationView{}
	}
	v.all[service] = view
}

// longestTTL is the longest life that a token may have that is good: one signed before the TTL was lowered still is.
func longestTTL(refs *resolved) time.Duration {
	longest := refs.policy.Spec.AccessToken.TTL.Duration
	for _, k := range refs.ring.Keys {
		longest = max(longest, k.MaxTTL)
	}
	return longest
}
