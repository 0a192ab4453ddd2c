package controllers

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/netpolicy"
)

// TestNetworkPolicies evaluates the policies on every kind of connection that a running Keyturn opens, and on some that nobody
// should. The local clusters do not enforce policies, so this stands for an enforcing network.
func TestNetworkPolicies(t *testing.T) {
	tsvc := &keyturnv1alpha1.TokenService{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}
	other := &keyturnv1alpha1.TokenService{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "shop"}}
	policies := networkPolicies(tsvc, "keyturn-system")
	in := func(namespace string, pod labels.Set, more ...string) netpolicy.Peer {
		e := netpolicy.Peer{Namespace: namespace, NamespaceLabels: labels.Set{corev1.LabelMetadataName: namespace}, Labels: pod}
		for _, label := range more {
			e.NamespaceLabels[label] = "true"
		}
		return e
	}
	service := in("shop", selectorLabels(tsvc, keyturnv1alpha1.ComponentTokenService))
	edge := in("shop", selectorLabels(tsvc, keyturnv1alpha1.ComponentEdge))
	manager := in("keyturn-system", labels.Set{keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentManager})
	ingress, stranger := in("ingress-nginx", labels.Set{"app": "nginx"}), in("shop", labels.Set{"app": "shop"})
	prometheus := in("monitoring", labels.Set{"app": "prometheus"}, keyturnv1alpha1.LabelMonitoring)
	otherEdge := in("shop", selectorLabels(other, keyturnv1alpha1.ComponentEdge))
	rows := []struct {
		name     string
		from, to netpolicy.Peer
		port     int32
		want     bool
	}{
		{"ingress logs users in", ingress, service, portPublic, true},
		{"ingress asks the edge by HTTP", ingress, edge, portPublic, true},
		{"ingress asks the edge by gRPC", ingress, edge, portGRPC, true},
		{"an application fetches the JWKS", stranger, service, portPublic, true},
		{"edge follows the feed", edge, service, portFeed, true},
		{"manager reads the token service's status", manager, service, portInternal, true},
		{"manager reads the edge's status", manager, edge, portInternal, true},
		{"metrics of the token service", prometheus, service, portInternal, true},
		{"metrics of the edge", prometheus, edge, portInternal, true},
		{"a stranger reads a status", stranger, service, portInternal, false},
		{"a stranger reads metrics", ingress, edge, portInternal, false},
		{"a pod called manager in another namespace", in("shop", manager.Labels), service, portInternal, false},
		{"a stranger follows the feed", stranger, service, portFeed, false},
		{"another service's edge follows the feed", otherEdge, service, portFeed, false},
		{"the ingress follows the feed", ingress, service, portFeed, false},
		{"token service calls out", service, stranger, 443, false},
		{"edge calls out", edge, ingress, 443, false},
		{"edge logs in", edge, service, portPublic, false},
		{"edge talks to another edge", edge, edge, portPublic, false},
	}
	for _, row := range rows {
		if got := netpolicy.Allowed(policies, row.from, row.to, row.port); got != row.want {
			t.Errorf("%s: allowed %v, want %v", row.name, got, row.want)
		}
	}
}
