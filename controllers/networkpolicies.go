package controllers

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// networkPolicies say who may talk to the two workloads, and to whom they may talk:
//
//	anybody ──8080──▶ token service         anybody ──8080, 9000──▶ edge ──8444──▶ token service
//	manager, monitoring ──9090──▶ both
//
// The public ports are open because an ingress can be anywhere; trustedProxies decides there whom the edge answers. Nothing
// else goes out: neither workload needs the API server, DNS or the internet.
func networkPolicies(tsvc *keyturnv1alpha1.TokenService, managerNamespace string) []*networkingv1.NetworkPolicy {
	names := namesOf(tsvc)
	tokenService := selectorLabels(tsvc, keyturnv1alpha1.ComponentTokenService)
	edge := selectorLabels(tsvc, keyturnv1alpha1.ComponentEdge)
	internal := networkingv1.NetworkPolicyIngressRule{
		Ports: networkPorts(portInternal),
		From: []networkingv1.NetworkPolicyPeer{
			{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: managerNamespace}},
				PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{keyturnv1alpha1.LabelComponent: keyturnv1alpha1.ComponentManager}},
			},
			{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{keyturnv1alpha1.LabelMonitoring: "true"}}},
		},
	}
	policy := func(name, component string, pods map[string]string, ingress []networkingv1.NetworkPolicyIngressRule, egress []networkingv1.NetworkPolicyEgressRule) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, component)},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: pods},
				PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
				Ingress:     ingress, Egress: egress,
			},
		}
	}
	return []*networkingv1.NetworkPolicy{
		policy(names.tokenService, keyturnv1alpha1.ComponentTokenService, tokenService, []networkingv1.NetworkPolicyIngressRule{
			{Ports: networkPorts(portPublic)},
			{Ports: networkPorts(portFeed), From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: edge}}}},
			internal,
		}, nil),
		policy(names.edge, keyturnv1alpha1.ComponentEdge, edge, []networkingv1.NetworkPolicyIngressRule{
			{Ports: networkPorts(portPublic, portGRPC)},
			internal,
		}, []networkingv1.NetworkPolicyEgressRule{
			{Ports: networkPorts(portFeed), To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: tokenService}}}},
		}),
	}
}

func networkPorts(ports ...int32) []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for _, port := range ports {
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(port))})
	}
	return out
}
