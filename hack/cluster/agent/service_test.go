package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func servicePod(name, ip string, ready bool, edit ...func(*corev1.Pod)) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, Labels: map[string]string{"app": "x", "v": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}},
		Status:     corev1.PodStatus{PodIP: ip, Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func TestSelectBackends(t *testing.T) {
	now := metav1.Now()
	pods := []*corev1.Pod{
		servicePod("b", "127.80.0.2", true),
		servicePod("a", "127.80.0.1", true),
		servicePod("unready", "127.80.0.3", false),
		servicePod("ending", "127.80.0.4", true, func(p *corev1.Pod) { p.DeletionTimestamp = &now }),
		servicePod("failed", "127.80.0.5", true, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		servicePod("no-address", "", true),
		servicePod("elsewhere", "127.80.0.6", true, func(p *corev1.Pod) { p.Namespace = "other" }),
		servicePod("other-app", "127.80.0.7", true, func(p *corev1.Pod) { p.Labels["app"] = "y" }),
		servicePod("other-port", "127.80.0.8", true, func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].Name = "web" }),
	}
	for _, tt := range []struct {
		name string
		edit func(*corev1.Service, *corev1.ServicePort)
		want []string
	}{
		{"by name", func(*corev1.Service, *corev1.ServicePort) {}, []string{"127.80.0.1:8080", "127.80.0.2:8080"}},
		{"by number", func(_ *corev1.Service, p *corev1.ServicePort) { p.TargetPort = intstr.FromInt32(9) },
			[]string{"127.80.0.1:9", "127.80.0.2:9", "127.80.0.8:9"}},
		{"no target port", func(_ *corev1.Service, p *corev1.ServicePort) { p.TargetPort = intstr.IntOrString{} },
			[]string{"127.80.0.1:80", "127.80.0.2:80", "127.80.0.8:80"}},
		{"one pod", func(s *corev1.Service, _ *corev1.ServicePort) { s.Spec.Selector["v"] = "a" }, []string{"127.80.0.1:8080"}},
		{"no selector", func(s *corev1.Service, _ *corev1.ServicePort) { s.Spec.Selector = nil }, nil},
		{"also the unready", func(s *corev1.Service, _ *corev1.ServicePort) { s.Spec.PublishNotReadyAddresses = true },
			[]string{"127.80.0.1:8080", "127.80.0.2:8080", "127.80.0.3:8080", "127.80.0.4:8080"}},
	} {
		port := &corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("http")}
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "x"}}}
		tt.edit(s, port)
		if diff := cmp.Diff(tt.want, selectBackends(s, port, pods)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestServiceEnvironment(t *testing.T) {
	service := func(namespace, name, ip string, port int32, portName string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       corev1.ServiceSpec{ClusterIP: ip, Ports: []corev1.ServicePort{{Name: portName, Port: port, Protocol: corev1.ProtocolTCP}}},
		}
	}
	services := []*corev1.Service{
		service("default", "kubernetes", "127.96.0.1", 443, "https"),
		service("n", "redis-primary", "127.96.0.11", 6379, ""),
		service("n", "headless", "None", 80, ""),
		service("other", "x", "127.96.0.12", 80, ""),
	}
	kubernetes := map[string]string{
		"KUBERNETES_SERVICE_HOST": "127.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_SERVICE_PORT_HTTPS": "443",
		"KUBERNETES_PORT": "tcp://127.96.0.1:443", "KUBERNETES_PORT_443_TCP": "tcp://127.96.0.1:443",
		"KUBERNETES_PORT_443_TCP_PROTO": "tcp", "KUBERNETES_PORT_443_TCP_PORT": "443", "KUBERNETES_PORT_443_TCP_ADDR": "127.96.0.1",
	}
	if diff := cmp.Diff(kubernetes, serviceEnvironment(services, "n", false)); diff != "" {
		t.Errorf("without links: %s", diff)
	}
	all := map[string]string{
		"REDIS_PRIMARY_SERVICE_HOST": "127.96.0.11", "REDIS_PRIMARY_SERVICE_PORT": "6379",
		"REDIS_PRIMARY_PORT": "tcp://127.96.0.11:6379", "REDIS_PRIMARY_PORT_6379_TCP": "tcp://127.96.0.11:6379",
		"REDIS_PRIMARY_PORT_6379_TCP_PROTO": "tcp", "REDIS_PRIMARY_PORT_6379_TCP_PORT": "6379", "REDIS_PRIMARY_PORT_6379_TCP_ADDR": "127.96.0.11",
	}
	for k, v := range kubernetes {
		all[k] = v
	}
	if diff := cmp.Diff(all, serviceEnvironment(services, "n", true)); diff != "" {
		t.Errorf("with links: %s", diff)
	}
}
