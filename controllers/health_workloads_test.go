package controllers

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

func (w *world) badWorkloads(*keys.Ring) string {
	var set appsv1.StatefulSet
	var several, edge appsv1.Deployment
	var signer metav1.Object = &set
	replicas, pod := &set.Spec.Replicas, &set.Spec.Template
	if shared(w.service()) {
		signer, replicas, pod = &several, &several.Spec.Replicas, &several.Spec.Template
	}
	found := map[bool]bool{false: w.get(&set, serviceName+"-tokenservice"), true: w.get(&several, serviceName+"-tokenservice")}
	if !found[shared(w.service())] || !w.get(&edge, serviceName+"-extauthz") {
		return "a workload is missing"
	}
	if found[!shared(w.service())] {
		return "there is a workload of another kind of store"
	}
	if **replicas != w.service().Spec.Replicas || *edge.Spec.Replicas != 2 {
		return "a workload is scaled"
	}
	if pod.Spec.Containers[0].Image != testImage || edge.Spec.Template.Spec.Containers[0].Image != testImage {
		return "a workload has another image"
	}
	objects := map[string]metav1.Object{"token service": signer, "edge": &edge}
	for _, name := range []string{"web-tokenservice", "web-feed", "web-extauthz"} {
		var service corev1.Service
		if !w.get(&service, name) || service.Spec.Ports[0].Port == 1 {
			return "Service " + name + " is missing or edited"
		}
		objects["Service "+name] = &service
	}
	for _, name := range []string{"web-tokenservice", "web-extauthz"} {
		var account corev1.ServiceAccount
		if !w.get(&account, name) {
			return "ServiceAccount " + name + " is missing"
		}
		objects["ServiceAccount "+name] = &account
	}
	for _, name := range []string{"web-edge-snapshot", "web-issuer-snapshot", "web-feed-server", "web-feed-client"} {
		var secret corev1.Secret
		w.get(&secret, name)
		objects["Secret "+name] = &secret
	}
	for what, object := range objects {
		if object.GetLabels()[keyturnv1alpha1.LabelManagedBy] != keyturnv1alpha1.ManagerName || !metav1.IsControlledBy(object, w.service()) {
			return what + " has lost its label or its owner"
		}
	}
	return ""
}

func (w *world) badReplicas(*keys.Ring) string {
	set, service := w.set().Status, w.service().Status
	signers := w.service().Spec.Replicas
	all, signing := fmt.Sprintf("%d/%d", signers+2, signers+2), fmt.Sprintf("%d/%d", signers, signers)
	if set.Propagation.Replicas != all || service.Replicas != signing || service.Edge != "2/2" {
		return fmt.Sprintf("loaded by %s, %s, %s", set.Propagation.Replicas, service.Replicas, service.Edge)
	}
	return ""
}
