package controllers

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// accessOf compiles the policies that the edges of a TokenService decide by, the oldest first. What is contested on every
// target, is not permitted or names a claim that no token carries is not among them: the edge refuses who asks by its name.
// clashes says why of a policy that does not go with an older one, by name.
func (b *base) accessOf(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, allowed []string) (entries []accessEntry, clashes map[string]string, err error) {
	policies, err := b.accessIn(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	var ours []*keyturnv1alpha1.AccessPolicy
	for i := range policies {
		if serviceOfAccess(&policies[i]) == (types.NamespacedName{Namespace: tsvc.Namespace, Name: tsvc.Name}) {
			ours = append(ours, &policies[i])
		}
	}
	slices.SortFunc(ours, compareAge)
	held := holdersOf(policies)
	var grants *referenceGrants
	var headers headerUses
	clashes = map[string]string{}
	for _, acp := range ours {
		if held.beaten(acp) {
			continue
		}
		if acp.Namespace != tsvc.Namespace {
			if grants == nil {
				if grants, err = b.grantsIn(ctx, tsvc.Namespace); err != nil {
					return nil, nil, err
				}
			}
			if !grants.allow(keyturnv1alpha1.Group, "AccessPolicy", acp.Namespace, keyturnv1alpha1.Group, "TokenService", tsvc.Name) {
				continue
			}
		}
		entry, err := accessDocument(acp, allowed)
		if _, invalid := asStopped(err); invalid {
			continue // its own controller says so
		}
		if err != nil {
			return nil, nil, err
		}
		if clash := headers.take(&entry.doc); clash != "" {
			clashes[entry.doc.Name] = clash
			continue
		}
		entries = append(entries, *entry)
	}
	return entries, clashes, nil
}

// fitAccess leaves out of the edge's document what it has no room for.
func (r *tokenServiceReconciler) fitAccess(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, edge *snapshot.Edge, entries []accessEntry) (map[string]bool, error) {
	if roomFor(edge, entries) {
		return nil, nil
	}
	secret, err := r.ownedSecret(ctx, tsvc, namesOf(tsvc).edgeSnapshot)
	if err != nil {
		return nil, err
	}
	var stored snapshot.Edge
	if secret != nil {
		if stored, err = snapshot.DecodeEdge(secret.Data[snapshotKey]); err != nil {
			stored = snapshot.Edge{} // an edited document is replaced
		}
	}
	left := fitAccess(edge, entries, stored.Policies)
	if err := snapshot.CheckPolicies(edge.Policies, edge.Claims); err != nil { // an old version beside a new one
		return nil, stop(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonSnapshotFull, "the edges' document has no room for the newest of the AccessPolicies, and the older ones do not go together without them (%v): the last good document stays in force, make policies smaller", err)
	}
	return left, nil
}

// crowded says which policies have no room. The TokenService is not as it should be, although its keys rotate all the same.
func crowded(left map[string]bool) error {
	if len(left) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(left))
	return stop(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonSnapshotFull,
		"the edges' document has no room for the newest of the AccessPolicies, the last good one stays in force for them: %s", strings.Join(names[:min(len(names), 8)], ", "))
}

// accessViews is what the TokenServices' controller has seen of policies: which are in the edges' document since which
// revision, and which edges have loaded what. It spares each policy's controller from asking every edge again. The zero
// value is ready; it is safe for concurrent use. What it forgets with the manager, the next reconcile finds out again.
type accessViews struct {
	mu  sync.Mutex
	all map[types.UID]*accessView
}

// accessView is that of one TokenService. It does not change.
type accessView struct {
	entries map[string]programmedEntry
	// left are the policies for which there was no room, clashes those that do not go with an older one, and why.
	left    map[string]bool
	clashes map[string]string
	edges   []edgeView
}

// programmedEntry is a policy in the edges' document: its digest, and the first revision that is known to have it so.
type programmedEntry struct {
	entry    accessEntry
	revision int64
}

// edgeView is an edge and the revision that it works with, or why that is not known.
type edgeView struct {
	name     string
	revision int64
	refused  *snapshot.Refusal
	err      error
}

func (v *accessViews) of(service types.UID) *accessView {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[service]
}

func (v *accessViews) forget(service types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.all, service)
}

// publish notes the document that was stored and what the replicas say.
func (v *accessViews) publish(service types.UID, refs *resolved, left map[string]bool, revision int64, replicas []replica) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.all[service]
	view := &accessView{entries: make(map[string]programmedEntry, len(refs.access)), left: left, clashes: refs.clashes}
	for _, entry := range refs.access {
		if left[entry.doc.Name] {
			continue
		}
		since := programmedEntry{entry, revision}
		if before != nil {
			if was, known := before.entries[entry.doc.Name]; known && was.entry.digest == entry.digest {
				since.revision = was.revision
			}
		}
		view.entries[entry.doc.Name] = since
	}
	for i := range replicas {
		if replicas[i].signer {
			continue
		}
		edge := edgeView{name: replicas[i].pod.Name, err: replicas[i].err}
		if s := replicas[i].status; s != nil {
			edge.revision, edge.refused = s.Revision, s.Refused
		}
		view.edges = append(view.edges, edge)
	}
	if v.all == nil {
		v.all = map[types.UID]*accessView{}
	}
	v.all[service] = view
}
