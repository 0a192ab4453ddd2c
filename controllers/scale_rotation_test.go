package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// What a set costs that has a TokenService with a replica: without one nothing rotates, because nobody can say that the next key
// has arrived. The figures that were measured are about half of it.
const (
	callsPerService  = 300       // until both are ready
	callsPerRotation = 320       // to rotate, make the key after that, bring the replica each document, and remove the former key
	bytesPerService  = 512 << 10 // of heap
	// readsPerServed is what a look at a settled set and one at its TokenService read live, at least.
	readsPerServed = 9
)

// dueTogether is how far the clock leaps: the interval and all of its jitter, so that every set is due at the same moment.
const dueTogether = 757 * time.Hour

// TestRotationsAtScale has many sets rotate at once, each with a TokenService of its own, and looks at what that costs, how many keys
// are made at a time, and that nothing is written afterwards. It runs alone: what it measures is of the whole process.
func TestRotationsAtScale(t *testing.T) {
	needAPIServer(t)
	n := scale(t)
	ns := newNamespace(t)
	load := &atScale{}
	load.asks = served{load.Now}
	before := heap()
	stop := load.manage(t, ns)
	defer stop()
	peak := watchHeap(t)
	load.measure(t, "first keys, with TokenServices", n, 2*n, callsPerService, readsPerServed, func() {
		createServed(t, ns, n)
		awaitSets(t, []string{ns}, n, "ready", rested)
		awaitServices(t, ns, n)
	})
	quiet(t, []string{ns}, n, 2*n, &load.count, "settled")

	next := map[string]string{}
	for _, set := range allSets(t, []string{ns}) {
		next[set.Name] = set.Status.StandbyKid
	}
	load.measure(t, "rotations due together", n, n, callsPerRotation, readsPerServed, func() {
		load.leap(dueTogether)
		awaitSets(t, []string{ns}, n, "rotated", func(set *keyturnv1alpha1.SigningKeySet) bool {
			return set.Status.ActiveKid == next[set.Name] && want(set.Status.Conditions, "StandbyReady", "True AsExpected") == ""
		})
		load.leap(time.Hour) // what the former keys signed has expired
		awaitSets(t, []string{ns}, n, "rid of the former key", func(set *keyturnv1alpha1.SigningKeySet) bool {
			return set.Status.ActiveKid == next[set.Name] && rested(set)
		})
		awaitServices(t, ns, n)
	})
	quiet(t, []string{ns}, n, 2*n, &load.count, "settled after the rotations")
	bounded(t, n, before, peak(), bytesPerService)
}

// rested tells that a set has one key that signs and one that stands by, and that every replica knows.
func rested(set *keyturnv1alpha1.SigningKeySet) bool {
	return len(set.Status.Keys) == 2 && want(set.Status.Conditions, "StandbyReady", "True AsExpected", "Published", "True AsExpected") == ""
}

// awaitServices waits until each TokenService is ready, and its replica has the newest document.
func awaitServices(t *testing.T, ns string, n int) {
	t.Helper()
	await(t, n, "TokenServices are ready", func() (ready int) {
		var all keyturnv1alpha1.TokenServiceList
		if err := admin.List(t.Context(), &all, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for i := range all.Items {
			status := &all.Items[i].Status
			if status.Replicas == "1/1" && want(status.Conditions, "Ready", "True Ready") == "" {
				ready++
			}
		}
		return ready
	})
}

// served answers for the one replica that each TokenService has: it works with the document that is stored at this moment.
type served struct{ now func() time.Time }

func (s served) Read(ctx context.Context, pod *corev1.Pod) (*snapshot.Status, error) {
	var secret corev1.Secret
	name := pod.Labels[keyturnv1alpha1.LabelTokenService] + "-issuer-snapshot"
	if err := admin.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: name}, &secret); err != nil {
		return nil, err
	}
	doc, err := snapshot.DecodeIssuer(secret.Data[snapshotKey])
	if err != nil {
		return nil, err
	}
	status := &snapshot.Status{
		Role: "issuer", Instance: pod.Name, KeySet: doc.Keys.Name, Revision: doc.Revision, Epoch: doc.Keys.Epoch,
		ActiveKID: doc.Keys.Active, Keys: doc.Keys.Reported(), Clock: s.now(), StoreReachable: true,
	}
	for _, k := range doc.Keys.Keys {
		status.KIDs = append(status.KIDs, k.KID)
	}
	return status, nil
}

// createServed declares sets and TokenServices, and plays the cluster that runs their pods, until all run.
func createServed(t *testing.T, ns string, n int) {
	t.Helper()
	w := &world{T: t, ctx: t.Context(), ns: ns}
	w.create(w.newUsers())
	w.create(w.newPolicy())
	createSets(t, []string{ns}, n)
	inParallel(t, n, func(i int) error {
		tsvc := w.newService()
		tsvc.Name, tsvc.Spec.SigningKeySetRef.Name = fmt.Sprintf("svc-%05d", i), fmt.Sprintf("set-%05d", i)
		return again(func() error { return client.IgnoreAlreadyExists(admin.Create(t.Context(), tsvc)) })
	})
	inParallel(t, n, func(i int) error { return runServed(t.Context(), ns, fmt.Sprintf("svc-%05d", i)) })
}

// runServed waits for the workloads of a TokenService, and starts the one replica.
func runServed(ctx context.Context, ns, name string) error {
	var workload appsv1.StatefulSet
	var edge appsv1.Deployment
	if err := appears(ctx, client.ObjectKey{Namespace: ns, Name: name + "-tokenservice"}, &workload); err != nil {
		return err
	}
	if err := appears(ctx, client.ObjectKey{Namespace: ns, Name: name + "-extauthz"}, &edge); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: *workload.Spec.Template.ObjectMeta.DeepCopy(), Spec: *workload.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = ns, workload.Name+"-0"
	pod.Spec.Volumes, pod.Spec.Containers[0].VolumeMounts = nil, nil
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&workload, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
	if err := again(func() error { return client.IgnoreAlreadyExists(admin.Create(ctx, pod)) }); err != nil {
		return err
	}
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, "10.1.2.3"
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: pod.Spec.Containers[0].Name, Ready: true, Image: testImage, ImageID: testImage,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
	if err := again(func() error { return admin.Status().Update(ctx, pod) }); err != nil {
		return err
	}
	ready := client.RawPatch(types.MergePatchType, []byte(`{"status":{"replicas":1,"readyReplicas":1}}`))
	for _, object := range []client.Object{&workload, &edge} {
		if err := again(func() error { return admin.Status().Patch(ctx, object, ready) }); err != nil {
			return err
		}
	}
	return nil
}

// appears waits for an object.
func appears(ctx context.Context, name client.ObjectKey, object client.Object) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Minute)
	for {
		err := admin.Get(ctx, name, object)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// again repeats what a busy API server gave up.
func again(do func() error) error {
	for left := 5; ; left-- {
		if err := do(); err == nil || left == 0 {
			return err
		}
	}
}

func inParallel(t *testing.T, n int, do func(int) error) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
