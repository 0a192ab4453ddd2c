// Package netpolicy evaluates NetworkPolicies as their API describes: a pod that no policy selects is open; one that is
// selected allows what any of its policies allows; both ends of a connection must agree. It is for tests on networks that
// do not enforce policies. It knows pod and namespace selectors and numbered ports, which is all that Keyturn writes.
package netpolicy

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Peer is one end of a connection. One without a namespace is outside of the cluster: no selector meets it.
type Peer struct {
	Namespace       string
	NamespaceLabels labels.Set
	Labels          labels.Set
}

// Allowed tells whether from may connect to a port of to.
func Allowed(policies []*networkingv1.NetworkPolicy, from, to Peer, port int32) bool {
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

func selects(p *networkingv1.NetworkPolicy, peer Peer) bool {
	return peer.Namespace != "" && p.Namespace == peer.Namespace && matches(&p.Spec.PodSelector, peer.Labels)
}

func opens(ports []networkingv1.NetworkPolicyPort, port int32) bool {
	for _, p := range ports {
		if p.Port.IntVal == port {
			return true
		}
	}
	return len(ports) == 0
}

func meets(p *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, peer Peer) bool {
	if len(peers) == 0 {
		return true
	}
	for _, rule := range peers {
		near := rule.NamespaceSelector == nil && p.Namespace == peer.Namespace ||
			rule.NamespaceSelector != nil && matches(rule.NamespaceSelector, peer.NamespaceLabels)
		if peer.Namespace != "" && near && (rule.PodSelector == nil || matches(rule.PodSelector, peer.Labels)) {
			return true
		}
	}
	return false
}

func matches(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}
