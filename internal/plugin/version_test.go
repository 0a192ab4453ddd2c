package plugin

import (
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestVersion(t *testing.T) {
	manager := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "keyturn-system", Name: "keyturn-manager", Labels: map[string]string{
			"app.kubernetes.io/name": "keyturn", "app.kubernetes.io/component": "manager",
		}},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "sidecar", Image: "mesh:1"}, {Name: "manager", Image: "ghcr.io/keyturn/keyturn:v0.1.0"},
		}}}},
		Status: appsv1.DeploymentStatus{ReadyReplicas: 1},
	}
	connected := func(c *call) func() (client.Client, error) {
		return func() (client.Client, error) { return c.Client, nil }
	}
	for _, row := range []struct {
		name    string
		objects []client.Object
		connect func(*call) func() (client.Client, error)
		format  Format
	}{
		{"version", []client.Object{manager}, connected, Text},
		{"version-json", []client.Object{manager}, connected, JSON},
		{"version-none", nil, connected, Text},
		{"version-client", nil, func(*call) func() (client.Client, error) { return nil }, Text},
		{"version-no-cluster", nil, func(*call) func() (client.Client, error) {
			return func() (client.Client, error) { return nil, errors.New("no route") }
		}, Text},
	} {
		c := newCall(t, noFuncs, row.objects...)
		c.Format = row.format
		if err := Version(c.ctx, &c.Session, "v0.1.0", row.connect(c)); err != nil {
			t.Fatal(err)
		}
		golden(t, row.name, c.out.String())
	}
}
