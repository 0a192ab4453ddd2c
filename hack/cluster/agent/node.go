package agent

import (
	"context"
	"fmt"
	"runtime"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

const (
	leasePeriod = 10 * time.Second
	retryPause  = 250 * time.Millisecond
)

// registerNode makes or renews the Node. It retries, because a fresh API server needs a moment.
func (a *Agent) registerNode(ctx context.Context) error {
	nodes := a.client.CoreV1().Nodes()
	return retry.OnError(retry.DefaultBackoff, func(error) bool { return ctx.Err() == nil }, func() error {
		node, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: a.opts.NodeName,
			Labels: map[string]string{
				corev1.LabelHostname: a.opts.NodeName, corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
			},
		}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			node, err = nodes.Get(ctx, a.opts.NodeName, metav1.GetOptions{})
		}
		if err != nil {
			return err
		}
		// Admission taints each new node until the node controller, which does not run here, says it is ready.
		if len(node.Spec.Taints) > 0 {
			node.Spec.Taints = nil
			if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}
		a.nodeStatus(&node.Status)
		_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
		return err
	})
}

func (a *Agent) nodeStatus(s *corev1.NodeStatus) {
	now := metav1.Now()
	s.Capacity = corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory: memoryCapacity(),
		corev1.ResourcePods:   resource.MustParse("500"),
	}
	s.Allocatable = s.Capacity
	s.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: a.opts.NodeAddress},
		{Type: corev1.NodeHostName, Address: a.opts.NodeName},
	}
	s.DaemonEndpoints.KubeletEndpoint.Port = int32(a.opts.NodePort)
	s.NodeInfo = corev1.NodeSystemInfo{
		OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, OSImage: "processes of this machine",
		ContainerRuntimeVersion: "process://1", KubeletVersion: "v1.36.3-local",
	}
	s.Conditions = nil
	for kind, status := range map[corev1.NodeConditionType]corev1.ConditionStatus{
		corev1.NodeReady: corev1.ConditionTrue, corev1.NodeMemoryPressure: corev1.ConditionFalse,
		corev1.NodeDiskPressure: corev1.ConditionFalse, corev1.NodePIDPressure: corev1.ConditionFalse,
	} {
		s.Conditions = append(s.Conditions, corev1.NodeCondition{
			Type: kind, Status: status, LastHeartbeatTime: now, LastTransitionTime: now,
			Reason: "LocalAgent", Message: "the local node agent is running",
		})
	}
}

// heartbeat renews the Lease that says the node is alive.
func (a *Agent) heartbeat(ctx context.Context) {
	leases := a.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	seconds := int32(4 * leasePeriod / time.Second)
	for wait := time.Duration(0); ; {
		if !pause(ctx, wait) {
			return
		}
		now := metav1.NowMicro()
		lease, err := leases.Get(ctx, a.opts.NodeName, metav1.GetOptions{})
		switch {
		case err == nil:
			lease.Spec.RenewTime = &now
			_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		case apierrors.IsNotFound(err):
			_, err = leases.Create(ctx, &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: a.opts.NodeName},
				Spec:       coordinationv1.LeaseSpec{HolderIdentity: &a.opts.NodeName, LeaseDurationSeconds: &seconds, RenewTime: &now},
			}, metav1.CreateOptions{})
		}
		wait = leasePeriod
		if err != nil { // the namespace is not there yet, or the API server is not
			wait = time.Second
		}
	}
}

// bind binds a pod to the node. It tries again until the pod is bound or gone.
func (a *Agent) bind(ctx context.Context, pod *corev1.Pod) {
	for {
		err := a.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: a.opts.NodeName},
		}, metav1.CreateOptions{})
		if err == nil {
			a.events.Eventf(pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, a.opts.NodeName)
			return
		}
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return // gone, being deleted, or already bound
		}
		if !pause(ctx, retryPause) {
			return
		}
	}
}

// lost clears away a pod that has no processes: one from an earlier run, or one that ended before.
func (a *Agent) lost(ctx context.Context, pod *corev1.Pod) {
	ended := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	if !ended {
		a.log.Info("pod lost: its processes ended with an earlier run", "pod", pod.Namespace+"/"+pod.Name)
		pod = pod.DeepCopy()
		pod.Status.Phase = corev1.PodFailed
		pod.Status.Reason, pod.Status.Message = "Lost", "the processes ended with an earlier run of the local cluster"
		for i := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
				c.Status, c.Reason, c.LastTransitionTime = corev1.ConditionFalse, "Lost", metav1.Now()
			}
		}
		for i := range pod.Status.ContainerStatuses {
			c := &pod.Status.ContainerStatuses[i]
			c.Ready = false
			c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Lost", ContainerID: c.ContainerID}}
		}
		if _, err := a.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
			a.log.Warn("the lost pod was not reported", "pod", pod.Namespace+"/"+pod.Name, "error", err)
		}
		a.events.Event(pod, corev1.EventTypeWarning, "Lost", pod.Status.Message)
	}
	if pod.DeletionTimestamp != nil || (!ended && metav1.GetControllerOf(pod) != nil) {
		a.remove(ctx, pod)
	}
}

// remove deletes the pod object at once: its processes are gone.
func (a *Agent) remove(ctx context.Context, pod *corev1.Pod) {
	zero := int64(0)
	for {
		err := a.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		a.log.Warn("the pod was not deleted; trying again", "pod", pod.Namespace+"/"+pod.Name, "error", err)
		if !pause(ctx, retryPause) {
			return
		}
	}
}

// pause waits and says whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func podName(p *corev1.Pod) string { return fmt.Sprintf("%s/%s", p.Namespace, p.Name) }
