package controllers

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// start runs the part of a cluster that turns workloads into pods, until the world ends.
func (f *fleet) start() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-f.w.ctx.Done():
				return
			case <-tick.C:
				f.tend()
			}
		}
	}()
	f.w.ends = append(f.w.ends, done)
}

// tend makes pods for the workloads that exist and removes those of workloads that do not. Errors are tried again.
func (f *fleet) tend() {
	owners := map[string]bool{}
	var set appsv1.StatefulSet
	if err := admin.Get(f.w.ctx, f.key(serviceName+"-tokenservice"), &set); err == nil {
		owners[string(set.UID)] = true
		f.pods(&set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"), set.Spec.Template, int(*set.Spec.Replicas))
		if set.Status.ReadyReplicas != *set.Spec.Replicas {
			set.Status.Replicas, set.Status.ReadyReplicas = *set.Spec.Replicas, *set.Spec.Replicas
			_ = admin.Status().Update(f.w.ctx, &set)
		}
	} else if client.IgnoreNotFound(err) != nil {
		return
	}
	for _, name := range []string{serviceName + "-extauthz", serviceName + "-tokenservice"} {
		var workload appsv1.Deployment
		if err := admin.Get(f.w.ctx, f.key(name), &workload); client.IgnoreNotFound(err) != nil {
			return
		} else if err != nil {
			continue
		}
		if replicas := f.replicaSet(&workload); replicas != nil {
			owners[string(replicas.UID)] = true
			f.pods(replicas, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), replicas.Spec.Template, int(*workload.Spec.Replicas))
		}
		if workload.Status.ReadyReplicas != *workload.Spec.Replicas {
			workload.Status.Replicas, workload.Status.ReadyReplicas = *workload.Spec.Replicas, *workload.Spec.Replicas
			_ = admin.Status().Update(f.w.ctx, &workload)
		}
	}
	f.sweep(owners)
}

// replicaSet is the one ReplicaSet of a Deployment of that UID.
func (f *fleet) replicaSet(workload *appsv1.Deployment) *appsv1.ReplicaSet {
	name := fmt.Sprintf("%s-%.5s", workload.Name, workload.UID)
	var found appsv1.ReplicaSet
	if err := admin.Get(f.w.ctx, f.key(name), &found); err == nil {
		return &found
	}
	replicas := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.w.ns, Name: name, Labels: workload.Spec.Template.Labels},
		Spec:       appsv1.ReplicaSetSpec{Selector: workload.Spec.Selector, Template: workload.Spec.Template, Replicas: workload.Spec.Replicas},
	}
	replicas.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(workload, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	if err := admin.Create(f.w.ctx, replicas); err != nil {
		return nil
	}
	return replicas
}

func (f *fleet) pods(owner client.Object, kind schema.GroupVersionKind, template corev1.PodTemplateSpec, count int) {
	for i := range count {
		name := fmt.Sprintf("%s-%d", owner.GetName(), i)
		var found corev1.Pod
		if err := admin.Get(f.w.ctx, f.key(name), &found); err == nil {
			if len(found.Status.ContainerStatuses) == 0 {
				f.run(&found)
			}
			continue
		}
		pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.Namespace, pod.Name = f.w.ns, name
		pod.Spec.Volumes, pod.Spec.Containers[0].VolumeMounts = nil, nil
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)}
		if err := admin.Create(f.w.ctx, pod); err == nil {
			f.run(pod)
		}
	}
}

// run reports the pod's container as started.
func (f *fleet) run(pod *corev1.Pod) {
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, "10.1.2.3"
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: pod.Spec.Containers[0].Name, Ready: true, Image: testImage, ImageID: testImage,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
	_ = admin.Status().Update(f.w.ctx, pod)
}

// sweep is the garbage collector.
func (f *fleet) sweep(owners map[string]bool) {
	var all corev1.PodList
	if err := admin.List(f.w.ctx, &all, client.InNamespace(f.w.ns)); err != nil {
		return
	}
	for i := range all.Items {
		owner := metav1.GetControllerOf(&all.Items[i])
		if owner != nil && !owners[string(owner.UID)] {
			_ = admin.Delete(f.w.ctx, &all.Items[i], client.GracePeriodSeconds(0))
			f.forget(string(all.Items[i].UID))
		}
	}
}

func (f *fleet) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: f.w.ns, Name: name}
}
