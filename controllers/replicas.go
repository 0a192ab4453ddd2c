package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// replica is a pod that runs or ran one of our workloads, and what it says about itself.
type replica struct {
	pod    *corev1.Pod
	signer bool
	// status is nil when the replica could not be asked; err says why.
	status *snapshot.Status
	err    error
	// spared tells that it was not asked this time, because it was silent before; then there is no status.
	spared bool
	// read is the manager's clock when the answer came.
	read time.Time
}

// revisionLoaded tells whether the replica works with the document of that revision or a newer one.
func (r *replica) revisionLoaded(revision int64) bool {
	return r.status != nil && r.status.Revision >= revision
}

// StatusReader asks one pod for its status.
type StatusReader interface {
	Read(ctx context.Context, pod *corev1.Pod) (*snapshot.Status, error)
}

// HTTPStatus asks over the pod's internal port. The zero value is not usable, see [NewHTTPStatus].
type HTTPStatus struct{ client *http.Client }

// NewHTTPStatus returns a reader with its own bounded connections.
func NewHTTPStatus() *HTTPStatus {
	return &HTTPStatus{client: &http.Client{
		Timeout: statusTimeout,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
			ResponseHeaderTimeout: statusTimeout, Proxy: nil,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Read returns what the pod answers. An answer of another pod, which got the address meanwhile, is an error.
func (h *HTTPStatus) Read(ctx context.Context, pod *corev1.Pod) (*snapshot.Status, error) {
	var status snapshot.Status
	if err := h.get(ctx, pod, "status", &status); err != nil {
		return nil, err
	}
	if status.Instance != pod.Name {
		return nil, fmt.Errorf("its address answers as %q", status.Instance)
	}
	return &status, nil
}

// get reads what the pod's internal port says at /what.
func (h *HTTPStatus) get(ctx context.Context, pod *corev1.Pod, what string, into any) error {
	if pod.Status.PodIP == "" {
		return fmt.Errorf("the pod has no address yet")
	}
	address := "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(portInternal)) + "/" + what
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := h.client.Do(request)
	if err != nil {
		return withoutAddress(err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, statusMaxBytes)).Decode(into); err != nil {
		if timedOut(err) {
			return errNoAnswer
		}
		return fmt.Errorf("its %s is no JSON of this version: %w", what, err)
	}
	return nil
}

// errNoAnswer is of a replica that let its time go by.
var errNoAnswer = fmt.Errorf("no answer within %s", statusTimeout)

func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) }

// withoutAddress keeps what happened and drops the addresses: a port that differs each time would make each message,
// and so each status, a new one.
func withoutAddress(err error) error {
	var failed *net.OpError
	var of *url.Error
	switch {
	case timedOut(err):
		return errNoAnswer
	case errors.As(err, &failed):
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	case errors.As(err, &of):
		return of.Err
	}
	return err
}

// replicasOf finds the replicas of TokenServices and asks them, all side by side. They are in the order of the services, and
// by name. most is how long a silent one is left alone at most; it has no status then, as any other that does not answer.
func (b *base) replicasOf(ctx context.Context, most time.Duration, services ...*keyturnv1alpha1.TokenService) ([]replica, error) {
	var all []replica
	var asks []inquiry
	for _, tsvc := range services {
		found, err := b.findReplicas(ctx, tsvc)
		if err != nil {
			return nil, err
		}
		own, err := b.recordedCounters(ctx, tsvc)
		if err != nil {
			return nil, err
		}
		name := client.ObjectKeyFromObject(tsvc)
		b.silences.keep(name, found)
		for range found {
			asks = append(asks, inquiry{service: name, keySet: tsvc.Namespace + "/" + tsvc.Spec.SigningKeySetRef.Name, own: own})
		}
		all = append(all, found...)
	}
	for i := range asks {
		asks[i].of = &all[i]
	}
	b.askAll(ctx, asks, most)
	return all, nil
}

// findReplicas finds the replicas of a TokenService, in the order of their names.
func (b *base) findReplicas(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) ([]replica, error) {
	owners, err := b.workloadOwners(ctx, tsvc)
	if err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := b.client.List(ctx, &pods, client.InNamespace(tsvc.Namespace), client.MatchingLabels{keyturnv1alpha1.LabelTokenService: tsvc.Name}); err != nil {
		return nil, err
	}
	var found []replica
	for i := range pods.Items {
		pod := &pods.Items[i]
		owner := metav1.GetControllerOf(pod)
		if owner == nil || !started(pod) {
			continue
		}
		if signer, ours := owners[owner.UID]; ours {
			found = append(found, replica{pod: pod, signer: signer})
		}
	}
	slices.SortFunc(found, func(a, b replica) int { return strings.Compare(a.pod.Name, b.pod.Name) })
	return found, nil
}

// recorded are the counters that the manager's own objects have.
type recorded struct{ epoch, revision int64 }

func (b *base) recordedCounters(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) (recorded, error) {
	var set keyturnv1alpha1.SigningKeySet
	err := b.client.Get(ctx, types.NamespacedName{Namespace: tsvc.Namespace, Name: tsvc.Spec.SigningKeySetRef.Name}, &set)
	return recorded{set.Status.Epoch, max(tsvc.Status.EdgeRevision, tsvc.Status.IssuerRevision)}, client.IgnoreNotFound(err)
}

// ask reads the status of the replica. What it says about the keys of another set than keySet is evidence of nothing: of
// this one it holds none.
func (r *replica) ask(ctx context.Context, reader StatusReader, keySet string, own recorded) {
	r.status, r.err = reader.Read(ctx, r.pod)
	s := r.status
	switch {
	case s == nil:
	case s.KeySet != "" && s.KeySet != keySet:
		s.Epoch, s.Revision, s.ActiveKID, s.KIDs, s.Keys, s.LatestExpiry = 0, 0, "", nil, nil, nil
	case !believed(own.epoch, s.Epoch) || !believed(own.revision, s.Revision):
		r.status, r.err = nil, errors.New("it holds a forged document, whose epoch or revision no set reaches: delete the pod")
	}
}

// workloadOwners returns the UIDs that control the pods of the workloads: those of the token service (true), which are its
// StatefulSet or the ReplicaSets of its Deployment, and the ReplicaSets of the edge (false).
func (b *base) workloadOwners(ctx context.Context, tsvc *keyturnv1alpha1.TokenService) (map[types.UID]bool, error) {
	owners := map[types.UID]bool{}
	names := namesOf(tsvc)
	var set appsv1.StatefulSet
	err := b.client.Get(ctx, types.NamespacedName{Namespace: tsvc.Namespace, Name: names.tokenService}, &set)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if err == nil && metav1.IsControlledBy(&set, tsvc) {
		owners[set.UID] = true
	}
	deployments := map[types.UID]bool{}
	for name, signer := range map[string]bool{names.tokenService: true, names.edge: false} {
		var found appsv1.Deployment
		err := b.client.Get(ctx, types.NamespacedName{Namespace: tsvc.Namespace, Name: name}, &found)
		if client.IgnoreNotFound(err) != nil {
			return nil, err
		}
		if err == nil && metav1.IsControlledBy(&found, tsvc) {
			deployments[found.UID] = signer
		}
	}
	if len(deployments) == 0 {
		return owners, nil
	}
	var replicaSets appsv1.ReplicaSetList
	if err := b.client.List(ctx, &replicaSets, client.InNamespace(tsvc.Namespace), client.MatchingLabels{keyturnv1alpha1.LabelTokenService: tsvc.Name}); err != nil {
		return nil, err
	}
	for i := range replicaSets.Items {
		if of := metav1.GetControllerOf(&replicaSets.Items[i]); of != nil {
			if signer, ours := deployments[of.UID]; ours {
				owners[replicaSets.Items[i].UID] = signer
			}
		}
	}
	return owners, nil
}

// started tells whether a container of the pod has ever run and may run still: from its first start until the pod is
// gone, terminating and crash-looping included, because it may come back with the document it has mounted.
func started(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return false
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil || c.State.Terminated != nil || c.RestartCount > 0 || c.LastTerminationState.Terminated != nil {
			return true
		}
	}
	return false
}
