package charts

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/keyturn/keyturn/hack/netpolicy"
)

// ingressPeers is how the test's ingress is named: pods of a namespace, and an address.
const ingressPeers = `networkPolicy.egress.probes.to=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"traefik"}},` +
	`"podSelector":{"matchLabels":{"app":"traefik"}}},{"ipBlock":{"cidr":"192.0.2.80/32"}}]`

// TestProbesReachTheIngress: where the manager's egress is restricted, its probes get to the ingress that the values name, on
// its ports, and to nothing else.
func TestProbesReachTheIngress(t *testing.T) {
	const restrict, ports = "networkPolicy.egress.restrict=true", "networkPolicy.egress.probes.ports=[8443]"
	pod := func(namespace, app string) netpolicy.Peer {
		return netpolicy.Peer{Namespace: namespace, NamespaceLabels: labels.Set{"kubernetes.io/metadata.name": namespace}, Labels: labels.Set{"app": app}}
	}
	for _, row := range []struct {
		what   string
		values []string
		to     netpolicy.Peer
		port   int32
		want   bool
	}{
		{"no ingress is named", []string{restrict}, pod("traefik", "traefik"), 8443, false},
		{"the ingress", []string{restrict, ingressPeers, ports}, pod("traefik", "traefik"), 8443, true},
		{"another port of it", []string{restrict, ingressPeers, ports}, pod("traefik", "traefik"), 8080, false},
		{"a port as they mostly are", []string{restrict, ingressPeers}, pod("traefik", "traefik"), 80, true},
		{"another pod of that namespace", []string{restrict, ingressPeers, ports}, pod("traefik", "cache"), 8443, false},
		{"a pod of another namespace", []string{restrict, ingressPeers, ports}, pod("shop", "traefik"), 8443, false},
	} {
		policy, manager := managerPolicy(t, row.values...)
		if got := netpolicy.Allowed([]*networkingv1.NetworkPolicy{policy}, manager, row.to, row.port); got != row.want {
			t.Errorf("%s: allowed %t, want %t; the egress is %+v", row.what, got, row.want, policy.Spec.Egress)
		}
	}
	if open, _ := managerPolicy(t); slices.Contains(open.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		t.Error("egress is restricted without a word")
	}
	policy, _ := managerPolicy(t, restrict, ingressPeers)
	named := slices.ContainsFunc(policy.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool {
			return peer.IPBlock != nil && peer.IPBlock.CIDR == "192.0.2.80/32"
		})
	})
	if !named {
		t.Errorf("the load balancer is in no rule: %+v", policy.Spec.Egress)
	}
}

// managerPolicy renders the chart and gives the manager's NetworkPolicy, and the manager's pod as policies see it.
func managerPolicy(t *testing.T, values ...string) (*networkingv1.NetworkPolicy, netpolicy.Peer) {
	t.Helper()
	args := []string{"template", release, chart, "--namespace", namespace}
	for _, value := range values {
		args = append(args, "--set-json", value)
	}
	var policy networkingv1.NetworkPolicy
	manager := netpolicy.Peer{Namespace: namespace, NamespaceLabels: labels.Set{"kubernetes.io/metadata.name": namespace}}
	for _, object := range objects(t, mustHelm(t, args...)) {
		switch object.GetKind() {
		case "NetworkPolicy":
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &policy, true); err != nil {
				t.Fatal(err)
			}
		case "Deployment":
			manager.Labels, _, _ = unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "labels")
		}
	}
	if policy.Name == "" || len(manager.Labels) == 0 {
		t.Fatal("the chart has no NetworkPolicy, or no manager")
	}
	return &policy, manager
}

// TestProbeAddresses: the manager is told to leave private addresses alone only where a value says so.
func TestProbeAddresses(t *testing.T) {
	for private, want := range map[string]bool{"true": false, "false": true} {
		out := mustHelm(t, "template", release, chart, "--namespace", namespace, "--set", "probes.privateAddresses="+private)
		if strings.Contains(out, "--probe-private-addresses=false") != want {
			t.Errorf("privateAddresses is %s: the flag is there: %t", private, !want)
		}
	}
}

// TestKubeAPI: the manager's own limit of requests is set only where a value says so, in digits that it can read.
func TestKubeAPI(t *testing.T) {
	for values, want := range map[string][]string{
		"kubeAPI.qps=0":   nil,
		"kubeAPI.qps=200": {"--kube-api-qps=200"},
		"kubeAPI.qps=1000000,kubeAPI.burst=2000000": {"--kube-api-qps=1000000", "--kube-api-burst=2000000"},
	} {
		out := mustHelm(t, "template", release, chart, "--namespace", namespace, "--set", values)
		if got := strings.Count(out, "- --kube-api-"); got != len(want) {
			t.Errorf("%s: %d flags, want %q", values, got, want)
		}
		for _, flag := range want {
			if !strings.Contains(out, "- "+flag+"\n") {
				t.Errorf("%s: %s is missing", values, flag)
			}
		}
	}
}
