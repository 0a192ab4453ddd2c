package controllers

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// endpoint is one side of a flow: a pod of ours, or somebody else.
type endpoint struct {
	namespace       string
	namespaceLabels labels.Set
	pod             labels.Set
}

// TestNetworkPolicies evaluates the policies on every kind of connection that a running Keyturn opens, and on some that nobody
// should. The local clusters do not enforce policies, so this stands for an enforcing network.
func TestNetworkPolicies(t *testing.T) {
	tsvc := &keyturnv1alpha1.TokenService{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}
	other := &keyturnv1alpha1.TokenService{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "shop"}}
	policies := networkPolicies(tsvc, "keyturn-system")
	in := func(namespace string, pod labels.Set, more ...string) endpoint {
		e := endpoint{namespace, labels.Set{corev1.LabelMetadataName: namespace}, pod}
		for _, label := range more {
			e.namespaceLabels[label] = "true"
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
		from, to endpoint
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
		{"a pod called manager in another namespace", in("shop", manager.pod), service, portInternal, false},
		{"a stranger follows the feed", stranger, service, portFeed, false},
		{"another service's edge follows the feed", otherEdge, service, portFeed, false},
		{"the ingress follows the feed", ingress, service, portFeed, false},
		{"token service calls out", service, stranger, 443, false},
		{"edge calls out", edge, ingress, 443, false},
		{"edge logs in", edge, service, portPublic, false},
		{"edge talks to another edge", edge, edge, portPublic, false},
	}
	for _, row := range rows {
		if got := mayConnect(policies, row.from, row.to, row.port); got != row.want {
			t.Errorf("%s: allowed %v, want %v", row.name, got, row.want)
		}
	}
}

// mayConnect evaluates as the NetworkPolicy API says: a pod that no policy selects is open; one that is selected allows what
// any of its policies allows; both ends must agree.
func mayConnect(policies []*networkingv1.NetworkPolicy, from, to endpoint, port int32) bool {
	out, in := true, true
	var outRules, inRules bool
	for _, p := range policies {
		if selects(p, from) {
			out = false
			for _, rule := range p.Spec.Egress {
				outRules = outRules || opens(rule.Ports, port) && meets(p, rule.To, to)
			}
		}
		if selects(p, to) {
			in = false
			for _, rule := range p.Spec.Ingress {
				inRules = inRules || opens(rule.Ports, port) && meets(p, rule.From, from)
			}
		}
	}
	return (out || outRules) && (in || inRules)
}

func selects(p *networkingv1.NetworkPolicy, e endpoint) bool {
	return p.Namespace == e.namespace && matches(&p.Spec.PodSelector, e.pod)
}

func opens(ports []networkingv1.NetworkPolicyPort, port int32) bool {
	for _, p := range ports {
		if p.Port.IntVal == port {
			return true
		}
	}
	return len(ports) == 0
}

func meets(p *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, e endpoint) bool {
	for _, peer := range peers {
		near := peer.NamespaceSelector == nil && p.Namespace == e.namespace || peer.NamespaceSelector != nil && matches(peer.NamespaceSelector, e.namespaceLabels)
		if near && (peer.PodSelector == nil || matches(peer.PodSelector, e.pod)) {
			return true
		}
	}
	return len(peers) == 0
}

func matches(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}
