package controllers

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// heard are the revisions that the pods of a component were told of.
func (w *world) heard(component string) (revisions []int64) {
	w.Helper()
	var pods corev1.PodList
	if err := admin.List(w.ctx, &pods, client.InNamespace(w.ns), client.MatchingLabels{keyturnv1alpha1.LabelComponent: component}); err != nil {
		w.Fatal(err)
	}
	for i := range pods.Items {
		var revision int64
		_, _ = fmt.Sscan(pods.Items[i].Annotations[keyturnv1alpha1.AnnotationSnapshotRevision], &revision)
		revisions = append(revisions, revision)
	}
	return revisions
}

// TestEdgesAreSpared: while signers leave a revoked key, nobody tells the edges of documents, so that their kubelets are at hand
// for the one without it.
func TestEdgesAreSpared(t *testing.T) {
	w := settled(t)
	w.fleet.set("signer", fault{lag: true})
	w.fleet.set("edge", fault{lag: true})
	before := slices.Max(w.heard(keyturnv1alpha1.ComponentEdge))
	first := w.ring().Active().KID
	w.create(w.newRevocation("leaked", ofKey(first)))
	w.state(first, keys.Retiring)
	w.eventually("the signers are told of the takeover", func() string {
		issuer, err := w.issuerDocument()
		if err != nil || issuer.Keys.Active == first {
			return fmt.Sprintf("the document is of before: %v", err)
		}
		if told := w.heard(keyturnv1alpha1.ComponentTokenService); slices.Min(told) < issuer.Revision {
			return fmt.Sprintf("they were told of %d, want %d", told, issuer.Revision)
		}
		return ""
	})
	edge, err := w.edgeDocument()
	if told := w.heard(keyturnv1alpha1.ComponentEdge); err != nil || slices.Max(told) > before || edge.Revision <= before {
		t.Errorf("the edges were told of %d, before %d, the document has %d (error %v)", told, before, edge.Revision, err)
	}
	w.fleet.set("signer", fault{})
	w.eventually("the edges are told of what follows", func() string {
		edge, err := w.edgeDocument()
		if told := w.heard(keyturnv1alpha1.ComponentEdge); err != nil || !revokedIn(w.ring(), first) || slices.Min(told) < edge.Revision {
			return fmt.Sprintf("they were told of %d, want %d (error %v)", told, edge.Revision, err)
		}
		return ""
	})
	w.fleet.set("edge", fault{})
	w.isEnforced("leaked")
}
