package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// documents are the revisions that the replicas should load.
type documents struct {
	issuer, edge int64
	epoch        int64
	activeKID    string
}

func (d *documents) revision(signer bool) int64 {
	if signer {
		return d.issuer
	}
	return d.edge
}

// ensureSnapshots compiles both documents and writes those that differ from what is stored. The edge's goes first:
// whatever a token service may do by its new document, the edges must be able to accept.
func (r *tokenServiceReconciler) ensureSnapshots(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, refs *resolved, replicas []replica, feed string) (*documents, error) {
	names := namesOf(tsvc)
	edge := edgeDocument(tsvc, refs, feed)
	edgeRevision, err := r.ensureSnapshot(ctx, tsvc, names.edgeSnapshot, highest(replicas, false, tsvc.Status.EdgeRevision),
		func(revision int64) ([]byte, error) {
			edge.Revision = revision
			return snapshot.EncodeEdge(edge)
		},
		func(raw []byte) (int64, error) {
			doc, err := snapshot.DecodeEdge(raw)
			return doc.Revision, err
		})
	if err != nil {
		return nil, err
	}
	private, err := r.readPrivateKey(ctx, refs.set, refs.ring.Active())
	if err != nil {
		return nil, err
	}
	current, err := r.issuerInForce(ctx, tsvc)
	if err != nil {
		return nil, err
	}
	issuer := issuerDocument(tsvc, refs, grantedTTL(refs, current, replicas, edgeRevision))
	issuer.SigningKey = private.JWK()
	issuerRevision, err := r.ensureSnapshot(ctx, tsvc, names.issuerSnapshot, highest(replicas, true, tsvc.Status.IssuerRevision),
		func(revision int64) ([]byte, error) {
			issuer.Revision = revision
			return snapshot.EncodeIssuer(issuer)
		},
		func(raw []byte) (int64, error) {
			doc, err := snapshot.DecodeIssuer(raw)
			return doc.Revision, err
		})
	if err != nil {
		return nil, err
	}
	return &documents{issuer: issuerRevision, edge: edgeRevision, epoch: refs.ring.Epoch, activeKID: issuer.Keys.Active}, nil
}

// ensureSnapshot writes one document if it differs from the stored one and returns its revision. A stored document
// that was edited is replaced under a revision above every one that a replica may hold.
func (r *tokenServiceReconciler) ensureSnapshot(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, name string, floor int64,
	encode func(revision int64) ([]byte, error), revisionOf func(raw []byte) (int64, error),
) (int64, error) {
	secret, err := r.ownedSecret(ctx, tsvc, name)
	if err != nil {
		return 0, err
	}
	var stored int64
	if secret != nil {
		if stored, err = revisionOf(secret.Data[snapshotKey]); err == nil && stored >= floor {
			same, err := encode(stored)
			if err != nil {
				return 0, full(err)
			}
			if bytes.Equal(same, secret.Data[snapshotKey]) {
				return stored, nil
			}
		}
	}
	revision := max(stored, floor) + 1
	raw, err := encode(revision)
	if err != nil {
		return 0, full(err)
	}
	_, err = r.writeOwnedSecret(ctx, tsvc, secret, name, map[string][]byte{snapshotKey: raw})
	return revision, err
}

// full says that a document has outgrown its Secret; the last good one stays in force.
func full(err error) error {
	if errors.Is(err, snapshot.ErrTooLarge) {
		return stop(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonSnapshotFull, "the configuration is too large, the last good one stays in force: %v", err)
	}
	return err
}

// issuerInForce reads the stored issuer document, nil if there is none that can be read.
func (r *tokenServiceReconciler) issuerInForce(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) (*snapshot.Issuer, error) {
	secret, err := r.ownedSecret(ctx, tsvc, namesOf(tsvc).issuerSnapshot)
	if err != nil || secret == nil {
		return nil, err
	}
	doc, err := snapshot.DecodeIssuer(secret.Data[snapshotKey])
	if err != nil {
		return nil, nil //nolint:nilerr // an edited document is replaced
	}
	return &doc, nil
}

// grantedTTL is the lifetime that token services may grant now: the policy's, but never more than the ring has recorded
// for the Active key, and never more than before until every edge accepts it.
func grantedTTL(refs *resolved, current *snapshot.Issuer, replicas []replica, edgeRevision int64) time.Duration {
	ttl := min(refs.policy.Spec.AccessToken.TTL.Duration, refs.ring.TTLCap())
	if current == nil || current.Access.TTL <= 0 || ttl <= current.Access.TTL.Std() {
		return ttl
	}
	for i := range replicas {
		if !replicas[i].signer && !replicas[i].revisionLoaded(edgeRevision) {
			return current.Access.TTL.Std()
		}
	}
	return ttl
}

// highest is the highest revision that a replica or the status has seen.
func highest(replicas []replica, signer bool, recorded int64) int64 {
	for i := range replicas {
		if s := replicas[i].status; s != nil && replicas[i].signer == signer {
			recorded = max(recorded, s.Revision)
		}
	}
	return recorded
}

// nudges remembers which pod was told of which revision, so that the telling is repeated but not hasty.
type nudges struct {
	mu   sync.Mutex
	last map[types.UID]nudge
}

type nudge struct {
	revision int64
	attempt  int
	at       time.Time
}

// nudgePause is how long a pod may take to load a document before it is told again.
const nudgePause = time.Second

// nudge writes the revision into an annotation of each pod that has not loaded it, which makes the kubelet refresh the
// mount at once. The watches of the Secret and of the pod are unordered, so it repeats until the pod has acknowledged.
func (r *tokenServiceReconciler) nudge(ctx context.Context, replicas []replica, docs *documents) error {
	for i := range replicas {
		revision := docs.revision(replicas[i].signer)
		if replicas[i].revisionLoaded(revision) || !replicas[i].pod.DeletionTimestamp.IsZero() {
			continue
		}
		attempt, due := r.nudges.next(replicas[i].pod.UID, revision, r.now())
		if !due {
			continue
		}
		value := fmt.Sprint(revision)
		if attempt > 1 {
			value = fmt.Sprintf("%d (attempt %d)", revision, attempt)
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, keyturnv1alpha1.AnnotationSnapshotRevision, value)
		pod := &corev1.Pod{ObjectMeta: *replicas[i].pod.ObjectMeta.DeepCopy()}
		if err := r.client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

func (n *nudges) next(pod types.UID, revision int64, now time.Time) (attempt int, due bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[types.UID]nudge{}
	}
	last := n.last[pod]
	if last.revision != revision {
		last = nudge{revision: revision}
	} else if now.Sub(last.at) < nudgePause {
		return 0, false
	}
	for uid, old := range n.last { // pods that are gone
		if now.Sub(old.at) > time.Hour {
			delete(n.last, uid)
		}
	}
	last.attempt, last.at = last.attempt+1, now
	n.last[pod] = last
	return last.attempt, true
}
