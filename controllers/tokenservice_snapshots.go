package controllers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// documents are the revisions that the replicas should load.
type documents struct {
	issuer, edge int64
	epoch        int64
	activeKID    string
	// unsigned says why no key can sign; nil: one does.
	unsigned error
	// left are the AccessPolicies that the edge's document has no room for as they are now.
	left map[string]bool
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
	current, ours, err := r.issuerInForce(ctx, tsvc)
	if err != nil {
		return nil, err
	}
	if refs.cluster == nil && takesCluster(tsvc) && ours {
		refs.cluster = lastGood(tsvc, current)
	}
	signing, noKey := r.signingKey(ctx, refs, current, replicas)
	if _, lost := asStopped(noKey); noKey != nil && !lost {
		return nil, noKey
	}
	edge := edgeDocument(tsvc, refs, signing.kid, feed)
	left, err := r.fitAccess(ctx, tsvc, &edge, refs.access)
	if err != nil {
		return nil, err
	}
	edgeRevision, err := r.ensureSnapshot(ctx, tsvc, names.edgeSnapshot, highest(replicas, false, tsvc.Status.EdgeRevision), &tsvc.Status.EdgeDigest,
		func(revision int64) ([]byte, error) {
			edge.Revision = revision
			return snapshot.EncodeEdge(edge)
		},
		func(raw []byte) (int64, error) {
			doc, err := snapshot.DecodeEdge(raw)
			return doc.Revision, err
		})
	if err != nil || noKey != nil && (len(replicas) == 0 || unrecorded(refs, noKey)) {
		return nil, errors.Join(err, noKey)
	}
	issuer := issuerDocument(tsvc, refs, signing.kid, grantedTTL(refs, signing.maxTTL, current, replicas, edgeRevision))
	if noKey == nil {
		issuer.SigningKey = signing.private.JWK()
	} else {
		// Nothing can sign, but the next key must reach the replicas all the same, or it could never take over.
		issuer.Access.TTL = snapshot.Duration(refs.policy.Spec.AccessToken.TTL.Duration)
	}
	issuerRevision, err := r.ensureSnapshot(ctx, tsvc, names.issuerSnapshot, highest(replicas, true, tsvc.Status.IssuerRevision), &tsvc.Status.IssuerDigest,
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
	return &documents{issuer: issuerRevision, edge: edgeRevision, epoch: refs.ring.Epoch, activeKID: signing.kid, unsigned: noKey, left: left}, nil
}

// unrecorded tells whether the key that signs is there and only the ring's record of its lifetime is missing: wait.
func unrecorded(refs *resolved, noKey error) bool {
	s, ok := asStopped(noKey)
	return ok && s.reason == keyturnv1alpha1.ReasonKeySetNotReady && refs.ring.Active() != nil
}

// ensureSnapshot writes one document if it differs from the stored one and returns its revision. A stored document
// that was edited is replaced under a revision above every one that a replica may hold, and that is an Event. recorded is
// the digest that the status has of it.
func (r *tokenServiceReconciler) ensureSnapshot(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, name string, seen int64, recorded *string,
	encode func(revision int64) ([]byte, error), revisionOf func(raw []byte) (int64, error),
) (int64, error) {
	secret, err := r.ownedSecret(ctx, tsvc, name)
	if err != nil {
		return 0, err
	}
	var inForce []byte
	if secret != nil {
		inForce = secret.Data[snapshotKey]
	}
	stored, err := revisionOf(inForce)
	if err != nil || !believed(seen, stored) {
		stored = 0
	}
	revision := max(stored, seen)
	raw, err := encode(revision)
	if err == nil && !bytes.Equal(raw, inForce) {
		revision++
		raw, err = encode(revision)
	}
	if err != nil {
		return 0, full(err)
	}
	restored := !bytes.Equal(raw, inForce) && r.written.foreign(tsvc.UID, name, *recorded, inForce)
	if _, err = r.writeOwnedSecret(ctx, tsvc, secret, name, map[string][]byte{snapshotKey: raw}); err != nil {
		return revision, err
	}
	*recorded = r.written.remember(tsvc.UID, name, raw)
	if restored {
		r.recorder.Eventf(tsvc, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tsvc.Namespace, Name: name}}, corev1.EventTypeWarning,
			keyturnv1alpha1.ReasonDocumentRestored, "Restore", "Secret %s was edited or deleted by somebody else: written anew as revision %d", name, revision)
	}
	return revision, nil
}

// writtenDocuments remembers the digest of each document as it was written last. The status has it too, for the manager that
// comes next; memory is there for the time until the status is written. The zero value is ready; it is safe for concurrent use.
type writtenDocuments struct {
	mu   sync.Mutex
	last map[writtenDocument]string
}

type writtenDocument struct {
	service types.UID
	name    string
}

// foreign tells whether a stored document is neither the one in memory nor the one in the status, while one of them is known.
func (w *writtenDocuments) foreign(service types.UID, name, recorded string, stored []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.last[writtenDocument{service, name}]
	digest := digestOf(stored)
	return (last != "" || recorded != "") && digest != last && digest != recorded
}

func (w *writtenDocuments) remember(service types.UID, name string, raw []byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[writtenDocument]string{}
	}
	digest := digestOf(raw)
	w.last[writtenDocument{service, name}] = digest
	return digest
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// full says that a document has outgrown its Secret; the last good one stays in force.
func full(err error) error {
	if errors.Is(err, snapshot.ErrTooLarge) {
		return stop(keyturnv1alpha1.ConditionReady, keyturnv1alpha1.ReasonSnapshotFull, "the configuration is too large, the last good one stays in force: %v", err)
	}
	return err
}

// issuerInForce reads the stored issuer document, nil if there is none that can be read. ours tells whether it is as it was
// written last, and not edited since.
func (r *tokenServiceReconciler) issuerInForce(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) (found *snapshot.Issuer, ours bool, err error) {
	secret, err := r.ownedSecret(ctx, tsvc, namesOf(tsvc).issuerSnapshot)
	if err != nil || secret == nil {
		return nil, false, err
	}
	doc, err := snapshot.DecodeIssuer(secret.Data[snapshotKey])
	if err != nil {
		return nil, false, nil //nolint:nilerr // an edited document is replaced
	}
	return &doc, digestOf(secret.Data[snapshotKey]) == tsvc.Status.IssuerDigest, nil
}

// grantedTTL is the lifetime that token services may grant now: the policy's, but never more than recorded, which is what
// the ring has for the key that signs, and never more than before until every edge accepts it.
func grantedTTL(refs *resolved, recorded time.Duration, current *snapshot.Issuer, replicas []replica, edgeRevision int64) time.Duration {
	ttl := min(refs.policy.Spec.AccessToken.TTL.Duration, recorded)
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
