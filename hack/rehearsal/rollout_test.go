//go:build realnode && linux

package rehearsal

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// maxRolloutPropagation is the promise: a change of the percentage is in force at every replica within it.
const maxRolloutPropagation = 5 * time.Second

// rolloutManifest has ten steps that wait for an hour: only commands move it. Nobody has a session, so nobody is asked
// about one.
const rolloutManifest = `apiVersion: keyturn.dev/v1alpha1
kind: AuthRollout
metadata:
  name: web
  namespace: ` + stage.Namespace + `
  annotations: {keyturn.dev/rollout-command: "begin hold"}
spec:
  tokenServiceRef: {name: ` + stage.Service + `}
  legacy:
    cookieName: connect.sid
    validator: {http: {url: "http://legacy.` + stage.Namespace + `.svc/introspect"}}
  bucketing: {salt: rehearsal-2026}
  steps:
  - {percent: 10, bake: 1h}
  - {percent: 20, bake: 1h}
  - {percent: 30, bake: 1h}
  - {percent: 40, bake: 1h}
  - {percent: 50, bake: 1h}
  - {percent: 60, bake: 1h}
  - {percent: 70, bake: 1h}
  - {percent: 80, bake: 1h}
  - {percent: 90, bake: 1h}
  - {percent: 100}
`

// testRollout measures, while users call, how long it takes from somebody's word until every replica works with another
// percentage: up all the steps, and back to none, which is what a rollback is.
func testRollout(t *testing.T) {
	bothEdges(t)
	before := shape(servingPods(t))
	if _, err := theStage.Apply(t.Context(), rolloutManifest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endRollout(t, before) })
	kubectl(t, "wait", "-n", stage.Namespace, "--for=condition=Ready", "--timeout=120s", "aro/web")
	for _, workload := range []string{tokenService, edge} { // which a rollout replaces
		kubectl(t, "rollout", "status", "-n", stage.Namespace, workload, "--timeout=120s")
	}
	settle(t)
	pods := servingPods(t)
	everywhere(t, pods, 0, time.Minute)

	stop := load(t, time.Second)
	var up, back []time.Duration
	for range rounds() {
		for percent := 10; percent <= 100; percent += 10 {
			up = append(up, commanded(t, pods, "promote", percent))
		}
		back = append(back, commanded(t, pods, "abort", 0))
		commanded(t, pods, "promote", 10)
		back = append(back, commanded(t, pods, "abort", 0))
	}
	l := stop()
	figure(fmt.Sprintf("a higher percentage, until all %d replicas work with it (%d times)", len(pods), len(up)), "%s", medianAndWorst(up))
	figure(fmt.Sprintf("back to 0 %%, until all %d replicas work with it (%d times)", len(pods), len(back)), "%s", medianAndWorst(back))
	figure("load during the changes of the percentage", "%s", sum(l))
	wantNoneRefused(t, l)
	if worst := max(slices.Max(up), slices.Max(back)); worst >= maxRolloutPropagation {
		t.Errorf("a change of the percentage was in force everywhere after %s, want less than %s", worst, maxRolloutPropagation)
	}
}

func medianAndWorst(took []time.Duration) string {
	sorted := slices.Sorted(slices.Values(took))
	return fmt.Sprintf("median %.2f s, worst %.2f s", sorted[len(sorted)/2].Seconds(), sorted[len(sorted)-1].Seconds())
}

// commanded gives a command as the plugin does and returns how long it took from there until it was in force at every
// replica.
func commanded(t *testing.T, pods []corev1.Pod, action string, percent int) time.Duration {
	t.Helper()
	aro := &keyturnv1alpha1.AuthRollout{}
	aro.Namespace, aro.Name = stage.Namespace, "web"
	began := time.Now()
	patch(t, aro, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, keyturnv1alpha1.AnnotationRolloutCommand, began.UTC().Format(time.RFC3339Nano)+" "+action))
	everywhere(t, pods, percent, time.Minute)
	return time.Since(began)
}

// servingPods are the token service and the edges.
func servingPods(t *testing.T) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := theStage.Client.List(t.Context(), &list, client.InNamespace(stage.Namespace), client.MatchingLabels{keyturnv1alpha1.LabelTokenService: stage.Service}); err != nil {
		t.Fatal(err)
	}
	var serving []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			serving = append(serving, pod)
		}
	}
	if len(serving) != 3 {
		t.Fatalf("%d pods serve, want a token service and two edges", len(serving))
	}
	return serving
}

// everywhere waits until every pod itself says that it works with the percentage.
func everywhere(t *testing.T, pods []corev1.Pod, percent int, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	missing := slices.Clone(pods)
	last := ""
	for len(missing) > 0 {
		have, err := percentOf(ctx, &missing[0])
		if err == nil && have == percent {
			missing = missing[1:]
			continue
		}
		last = fmt.Sprintf("%s has %d%%, wants %d%% (error %v)", missing[0].Name, have, percent, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			aro := kubectl(t, "get", "aro", "-n", stage.Namespace, "-o", "yaml")
			t.Fatalf("after %s %s\n%s", limit, last, aro)
		}
	}
}

// percentOf asks a pod by its internal port; -1 while it knows of no rollout.
func percentOf(ctx context.Context, pod *corev1.Pod) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(pod.Status.PodIP, "9090")+"/status", nil)
	if err != nil {
		return -1, err
	}
	response, err := insideNode.Do(request)
	if err != nil {
		return -1, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	var status snapshot.Status
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil || status.Rollout == nil {
		return -1, err
	}
	return status.Rollout.Percent, nil
}

// insideNode connects from where the kubelet does: pods have no way in from this machine, but by Services.
var insideNode = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dialInNode, MaxIdleConnsPerHost: 1}}

// dialInNode makes the connection on a thread that is in the node's network for as long as that takes. The address is an
// IP address, for which the dialer needs no other thread.
func dialInNode(ctx context.Context, network, address string) (net.Conn, error) {
	here, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	defer here.Close() //nolint:errcheck // nothing is written
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", theStage.Cluster.Node().Pid()))
	if err != nil {
		return nil, err
	}
	defer there.Close() //nolint:errcheck // nothing is written
	runtime.LockOSThread()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	connection, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back == nil {
		runtime.UnlockOSThread() // else the thread ends with its goroutine
	}
	return connection, err
}

// shape is the volumes and arguments of all the pods, each once: what a rollout changes of them.
func shape(pods []corev1.Pod) []string {
	var parts []string
	for i := range pods {
		for _, v := range pods[i].Spec.Volumes {
			parts = append(parts, v.Name)
		}
		for _, c := range pods[i].Spec.Containers {
			parts = append(parts, c.Args...)
		}
	}
	slices.Sort(parts)
	return slices.Compact(parts)
}

// endRollout deletes the rollout and waits until the pods are again as they were before: the next step wants them to stay.
func endRollout(t *testing.T, before []string) {
	ctx := context.WithoutCancel(t.Context())
	if _, err := theStage.Kubectl(ctx, "annotate", "-n", stage.Namespace, "aro/web", keyturnv1alpha1.AnnotationEndSessions+"=true"); err != nil {
		t.Error(err)
	}
	if _, err := theStage.Kubectl(ctx, "delete", "-n", stage.Namespace, "aro/web", "--timeout=60s"); err != nil {
		t.Error(err)
	}
	err := theStage.Await(ctx, 2*time.Minute, func(ctx context.Context) (string, error) {
		var list corev1.PodList
		err := theStage.Client.List(ctx, &list, client.InNamespace(stage.Namespace), client.MatchingLabels{keyturnv1alpha1.LabelTokenService: stage.Service})
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			if pod := &list.Items[i]; pod.DeletionTimestamp != nil || !isReady(pod) {
				return pod.Name + " comes or goes", nil
			} else if have, err := percentOf(ctx, pod); err != nil || have >= 0 {
				return fmt.Sprintf("%s has %d%%", pod.Name, have), err
			}
		}
		if now := shape(list.Items); len(list.Items) != 3 || !slices.Equal(now, before) {
			return fmt.Sprintf("%d pods with %v, want %v", len(list.Items), now, before), nil
		}
		return "", nil
	})
	if err != nil {
		t.Error(err)
	}
}
