package controllers

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// networkPolicies say who may talk to the two workloads, and to whom they may talk:
//
//	anybody ──8080──▶ token service         anybody ──8080, 9000──▶ edge ──8444──▶ token service
//	manager, monitoring ──9090──▶ both      token service ──▶ its store, identity sources, legacy application, DNS
//
// The public ports are open because an ingress can be anywhere; trustedProxies decides there whom the edge answers. A
// token service calls its shared store, webhooks, OpenID Connect providers and what knows the legacy sessions, wherever they are, on the ports
// that the specs name; without any of these it calls nobody. Nothing else goes out: no workload needs the API server.
func networkPolicies(tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout, managerNamespace string) []*networkingv1.NetworkPolicy {
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
		}, callsOut(tsvc, aro)),
		policy(names.edge, keyturnv1alpha1.ComponentEdge, edge, []networkingv1.NetworkPolicyIngressRule{
			{Ports: networkPorts(portPublic, portGRPC)},
			internal,
		}, []networkingv1.NetworkPolicyEgressRule{
			{Ports: networkPorts(portFeed), To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: tokenService}}}},
		}),
	}
}

// callsOut are the ways to a shared store, to the identity sources that are asked and to what knows the legacy sessions; none
// without them. A port is
// open to any address, because a policy knows no names. The port of a Service need not be that of its pods, and many
// networks look at the connection after it was turned to a pod, so to the namespace of a Service every port is open.
func callsOut(tsvc *keyturnv1alpha1.TokenService, aro *keyturnv1alpha1.AuthRollout) []networkingv1.NetworkPolicyEgressRule {
	ports, namespaces := map[int32]bool{}, map[string]bool{}
	for _, called := range outside(tsvc, aro) {
		ports[called.port] = true
		if namespace := called.namespace(tsvc.Namespace); namespace != "" {
			namespaces[namespace] = true
		}
	}
	if len(ports) == 0 {
		return nil
	}
	dns := networkPorts(portDNS)
	dns = append(dns, networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolUDP), Port: new(intstr.FromInt32(portDNS))})
	rules := []networkingv1.NetworkPolicyEgressRule{{Ports: networkPorts(slices.Sorted(maps.Keys(ports))...)}, {Ports: dns}}
	var peers []networkingv1.NetworkPolicyPeer
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		peers = append(peers, networkingv1.NetworkPolicyPeer{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		})
	}
	if len(peers) > 0 {
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{To: peers})
	}
	return rules
}

// portDNS is where names are looked up.
const portDNS = 53

func networkPorts(ports ...int32) []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for _, port := range ports {
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(port))})
	}
	return out
}
