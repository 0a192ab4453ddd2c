package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

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

// How long a pod may take to load a document before it is told again: at first, and at most. A pod that refuses its document
// or cannot be reached is not told every second for ever.
const (
	nudgePause    = time.Second
	nudgePauseMax = time.Minute
)

// pause is min(nudgePause·2^(attempt−1), nudgePauseMax).
func (n nudge) pause() time.Duration {
	return min(nudgePause<<min(max(n.attempt-1, 0), 6), nudgePauseMax)
}

// nudge writes the revision into an annotation of each pod that has not loaded it, which makes the kubelet refresh the
// mount at once. The watches of the Secret and of the pod are unordered, so it repeats until the pod has acknowledged.
//
// A kubelet looks after a pod at once, but not again before it has listed all containers, which it does once a second. So the
// edges are spared while signers leave a key that leaked: of the next document, which is without it, they hear at once then.
func (r *tokenServiceReconciler) nudge(ctx context.Context, replicas []replica, docs *documents, spareEdges bool) error {
	for i := range replicas {
		revision := docs.revision(replicas[i].signer)
		if spareEdges && !replicas[i].signer {
			continue
		}
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
	} else if now.Sub(last.at) < last.pause() {
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
