package agent

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// report writes the status whenever it changed, until ctx ends.
func (p *podRun) report(ctx context.Context) {
	base := p.pod()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.dirty:
		}
		for {
			next, err := p.push(ctx, base)
			if err == nil {
				base = next
				break
			}
			if apierrors.IsNotFound(err) || !pause(ctx, retryPause) {
				break
			}
		}
	}
}

// reportEnd writes the last status before the object is deleted.
func (p *podRun) reportEnd(ctx context.Context) {
	p.mu.Lock()
	if p.phase == "" {
		p.phase = corev1.PodSucceeded
		for _, c := range p.containers {
			if t := c.state.Terminated; t == nil || t.ExitCode != 0 {
				p.phase = corev1.PodFailed
			}
		}
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		_, err := p.push(ctx, p.pod())
		if err == nil || apierrors.IsNotFound(err) || !pause(ctx, retryPause) {
			return
		}
	}
}

// push brings the status of the object up to date. base is the version that is thought to be current.
func (p *podRun) push(ctx context.Context, base *corev1.Pod) (*corev1.Pod, error) {
	pods := p.agent.client.CoreV1().Pods(base.Namespace)
	for {
		pod := base.DeepCopy()
		p.fill(pod)
		if equality.Semantic.DeepEqual(pod.Status, base.Status) {
			return base, nil
		}
		written, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		if err == nil {
			return written, nil
		}
		if !apierrors.IsConflict(err) {
			return nil, err
		}
		live, err := pods.Get(ctx, base.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		if live.UID != p.uid {
			return nil, apierrors.NewNotFound(corev1.Resource("pods"), base.Name)
		}
		base = live
	}
}

// fill writes what this node knows about the pod, and leaves conditions of others alone.
func (p *podRun) fill(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &pod.Status
	s.ObservedGeneration = pod.Generation
	s.HostIP, s.HostIPs = p.agent.opts.NodeAddress, []corev1.HostIP{{IP: p.agent.opts.NodeAddress}}
	s.PodIP, s.PodIPs = p.ip.String(), []corev1.PodIP{{IP: p.ip.String()}}
	start := p.start.Rfc3339Copy()
	s.StartTime = &start
	s.QOSClass = p.pod().Status.QOSClass
	s.InitContainerStatuses = statuses(p.inits)
	s.ContainerStatuses = statuses(p.containers)
	s.Phase = p.phaseNow()

	allReady, why := true, "ContainersNotReady"
	for _, c := range p.containers {
		allReady = allReady && c.ready
	}
	for _, c := range p.inits {
		allReady = allReady && (!c.sidecar || c.ready)
	}
	if s.Phase == corev1.PodSucceeded {
		why = "PodCompleted"
	}
	gates, gateMessage := true, ""
	for _, g := range pod.Spec.ReadinessGates {
		if conditionStatus(s, g.ConditionType) != corev1.ConditionTrue {
			gates, gateMessage = false, "the readiness gate "+string(g.ConditionType)+" is not True"
		}
	}
	setCondition(pod, corev1.PodReadyToStartContainers, p.phase == "", "", "")
	setCondition(pod, corev1.PodInitialized, p.ready, "ContainersNotInitialized", "")
	setCondition(pod, corev1.ContainersReady, allReady, why, "")
	if allReady && !gates {
		setCondition(pod, corev1.PodReady, false, "ReadinessGatesNotReady", gateMessage)
	} else {
		setCondition(pod, corev1.PodReady, allReady && gates, why, "")
	}
	setCondition(pod, corev1.PodScheduled, true, "", "")
}

// phaseNow: p.mu is held.
func (p *podRun) phaseNow() corev1.PodPhase {
	if p.phase != "" {
		return p.phase
	}
	for _, c := range p.containers {
		if c.number > 0 {
			return corev1.PodRunning
		}
	}
	return corev1.PodPending
}

func statuses(list []*containerRun) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, c := range list {
		started := c.started || c.init && c.done
		s := corev1.ContainerStatus{
			Name: c.spec.Name, State: *c.state.DeepCopy(), LastTerminationState: *c.last.DeepCopy(), RestartCount: c.restarts,
			Ready: c.ready, Started: &started, Image: c.spec.Image, ImageID: "process://" + c.spec.Image,
		}
		if c.init {
			s.Ready = c.done && c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
		}
		if c.number > 0 {
			s.ContainerID = c.id()
		}
		out = append(out, s)
	}
	return out
}

func conditionStatus(s *corev1.PodStatus, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// setCondition keeps the time of the last transition while the status stays.
func setCondition(pod *corev1.Pod, kind corev1.PodConditionType, ok bool, reason, message string) {
	status := corev1.ConditionFalse
	if ok {
		status, reason, message = corev1.ConditionTrue, "", ""
	}
	c := corev1.PodCondition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: pod.Generation, LastTransitionTime: metav1.Now().Rfc3339Copy(),
	}
	for i := range pod.Status.Conditions {
		if old := &pod.Status.Conditions[i]; old.Type == kind {
			if old.Status == status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			*old = c
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, c)
}
