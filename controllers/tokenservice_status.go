package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// observeService writes down what the replicas say and returns when to look again.
func (r *tokenServiceReconciler) observeService(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, conds conditions, docs *documents, replicas []replica) (time.Duration, error) {
	status := &tsvc.Status
	status.IssuerRevision, status.EdgeRevision, status.Epoch = docs.issuer, docs.edge, docs.epoch
	status.ActiveKid, status.Key = docs.activeKID, short(docs.activeKID)

	loaded, total := map[bool]int{}, map[bool]int{}
	var waiting, pods []string
	for i := range replicas {
		rep := &replicas[i]
		total[rep.signer]++
		if rep.revisionLoaded(docs.revision(rep.signer)) {
			loaded[rep.signer]++
			continue
		}
		waiting, pods = append(waiting, lagging(rep, docs.revision(rep.signer))), append(pods, rep.pod.Name)
	}
	status.Replicas = fmt.Sprintf("%d/%d", loaded[true], max(total[true], int(tsvc.Spec.Replicas)))
	status.Edge = fmt.Sprintf("%d/%d", loaded[false], max(total[false], int(tsvc.Spec.Edge.Replicas)))

	loadedCondition(conds, replicas, waiting, docs)
	storeCondition(conds, replicas)
	addressCondition(conds, replicas)
	available, err := r.availableCondition(ctx, tsvc, conds)
	if err != nil {
		return 0, err
	}
	name, steady := client.ObjectKeyFromObject(tsvc), r.pace.poll(r.steady)
	if len(waiting) > 0 || !available {
		return min(r.waits.pause(name, docs.issuer+docs.edge, pods, r.now()), steady), nil // both only grow
	}
	r.waits.forget(name)
	if bad := conds.firstBad(keyturnv1alpha1.ConditionResolvedRefs); bad != nil {
		return min(pollReference, steady), nil // the Secrets of others are not watched
	}
	return steady, nil
}

// lagging says of one replica why it does not count.
func lagging(rep *replica, want int64) string {
	switch {
	case rep.status == nil:
		return fmt.Sprintf("%s does not answer: %v", rep.pod.Name, rep.err)
	case rep.status.Refused != nil:
		return fmt.Sprintf("%s refused revision %d (%s: %s)", rep.pod.Name, rep.status.Refused.Revision, rep.status.Refused.Reason, rep.status.Refused.Message)
	default:
		return fmt.Sprintf("%s has revision %d, wants %d", rep.pod.Name, rep.status.Revision, want)
	}
}

func loadedCondition(conds conditions, replicas []replica, waiting []string, docs *documents) {
	const kind = keyturnv1alpha1.ConditionKeysLoaded
	switch {
	case len(replicas) == 0:
		conds.bad(kind, keyturnv1alpha1.ReasonNoReplicas, "no replica runs yet")
	case len(waiting) == 0:
		conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "all %d replicas have loaded key %s at epoch %d", len(replicas), short(docs.activeKID), docs.epoch)
	default:
		reason := keyturnv1alpha1.ReasonWaitingForReplicas
		for i := range replicas {
			if s := replicas[i].status; s == nil {
				reason = keyturnv1alpha1.ReasonReplicaUnreachable
			} else if s.Refused != nil {
				reason = keyturnv1alpha1.ReasonSnapshotRefused
				break
			}
		}
		conds.bad(kind, reason, "%s", strings.Join(waiting, "; "))
	}
}

func storeCondition(conds conditions, replicas []replica) {
	const kind = keyturnv1alpha1.ConditionStoreReachable
	asked := 0
	for i := range replicas {
		if !replicas[i].signer || replicas[i].status == nil {
			continue
		}
		asked++
		if !replicas[i].status.StoreReachable {
			why := inTheSpec(replicas[i].status.StoreReason)
			if why == "" {
				why = "look at its volume or the store's server, and at its log"
			}
			conds.bad(kind, keyturnv1alpha1.ReasonStoreUnavailable, "%s cannot read or write its store: login, refresh and logout answer 503; %s", replicas[i].pod.Name, why)
			return
		}
	}
	if asked == 0 {
		conds.set(kind, metav1.ConditionUnknown, keyturnv1alpha1.ReasonNotObserved, "no token service answers")
		return
	}
	conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "the last store operation of every token service worked")
}

func addressCondition(conds conditions, replicas []replica) {
	const kind = keyturnv1alpha1.ConditionClientAddressKnown
	for i := range replicas {
		if s := replicas[i].status; s != nil && s.UntrustedPeer != "" {
			conds.bad(kind, keyturnv1alpha1.ReasonUntrustedPeer, "%s is asked by %s, which is not one of spec.trustedProxies: add it if it is your ingress", replicas[i].pod.Name, s.UntrustedPeer)
			return
		}
	}
	conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "every peer seen lately is a trusted proxy")
}

// availableCondition reads the workloads.
func (r *tokenServiceReconciler) availableCondition(ctx context.Context, tsvc *keyturnv1alpha1.TokenService, conds conditions) (bool, error) {
	const kind = keyturnv1alpha1.ConditionAvailable
	names := namesOf(tsvc)
	ready, workload, err := r.readyTokenServices(ctx, tsvc)
	if err != nil {
		return false, err
	}
	var edge appsv1.Deployment
	if err := r.client.Get(ctx, types.NamespacedName{Namespace: tsvc.Namespace, Name: names.edge}, &edge); client.IgnoreNotFound(err) != nil {
		return false, err
	}
	switch {
	case ready == 0:
		conds.bad(kind, keyturnv1alpha1.ReasonWorkloadUnavailable, "no token service is ready: nobody can log in, refresh or log out; kubectl describe %s %s", workload, names.tokenService)
	case edge.Status.ReadyReplicas == 0:
		conds.bad(kind, keyturnv1alpha1.ReasonWorkloadUnavailable, "no edge is ready: every request is refused; kubectl describe deployment %s", names.edge)
	default:
		conds.good(kind, keyturnv1alpha1.ReasonAsExpected, "%d token services and %d edges are ready", ready, edge.Status.ReadyReplicas)
		return true, nil
	}
	return false, nil
}

// readyTokenServices counts them, and says what kind of workload they are.
func (r *tokenServiceReconciler) readyTokenServices(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) (ready int32, workload string, err error) {
	name := types.NamespacedName{Namespace: tsvc.Namespace, Name: namesOf(tsvc).tokenService}
	if shared(tsvc) {
		var several appsv1.Deployment
		err = r.client.Get(ctx, name, &several)
		return several.Status.ReadyReplicas, "deployment", client.IgnoreNotFound(err)
	}
	var one appsv1.StatefulSet
	err = r.client.Get(ctx, name, &one)
	return one.Status.ReadyReplicas, "statefulset", client.IgnoreNotFound(err)
}

// sumUpService derives Ready from how the reconcile ended and from the other conditions: the gravest first.
func sumUpService(conds conditions, err error) {
	const ready = keyturnv1alpha1.ConditionReady
	if s, ok := asStopped(err); ok {
		conds.bad(s.condition, s.reason, "%s", s.message)
		conds.bad(ready, s.reason, "%s", s.message)
		return
	}
	if bad := conds.firstBad(keyturnv1alpha1.ConditionResolvedRefs, keyturnv1alpha1.ConditionAvailable,
		keyturnv1alpha1.ConditionKeysLoaded, keyturnv1alpha1.ConditionStoreReachable); bad != nil {
		conds.bad(ready, bad.Reason, "%s", bad.Message)
		return
	}
	conds.good(ready, keyturnv1alpha1.ReasonReady, "users can log in, and the edge decides by the newest keys")
}
