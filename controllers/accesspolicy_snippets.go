package controllers

import (
	"fmt"
	"strings"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// httpAddress is where a proxy asks by HTTP, in its dialect.
func httpAddress(acp *keyturnv1alpha1.AccessPolicy, dialect string) string {
	edge := edgeService(acp)
	return fmt.Sprintf("http://%s.%s.svc:%d/authz/%s/%s", edge.Name, edge.Namespace, portPublic, dialect, accessName(acp))
}

// snippet is what somebody has to configure at the ingress so that the policy is asked. Nobody's Ingress or route is edited.
func snippet(acp *keyturnv1alpha1.AccessPolicy) string {
	edge := edgeService(acp)
	switch acp.Spec.Adapter.Type {
	case keyturnv1alpha1.AdapterEnvoyGateway:
		return "# Nothing: the SecurityPolicy attaches itself to the targets.\n"
	case keyturnv1alpha1.AdapterTraefik:
		return strings.Join([]string{
			"# A HTTPRoute, in rules[].filters:",
			"- type: ExtensionRef",
			"  extensionRef: {group: traefik.io, kind: Middleware, name: " + adapterName(acp) + "}",
			"# An IngressRoute, in routes[].middlewares:",
			"- name: " + adapterName(acp),
			"# An Ingress, in metadata.annotations:",
			fmt.Sprintf("traefik.ingress.kubernetes.io/router.middlewares: %s-%s@kubernetescrd", acp.Namespace, adapterName(acp)),
		}, "\n") + "\n"
	case keyturnv1alpha1.AdapterNginx:
		return strings.Join([]string{
			"# An Ingress, in metadata.annotations:",
			"nginx.ingress.kubernetes.io/auth-url: " + httpAddress(acp, "ingress-nginx"),
			"nginx.ingress.kubernetes.io/auth-method: GET",
			"nginx.ingress.kubernetes.io/auth-response-headers: " + strings.Join(toldHeaders(acp), ","),
		}, "\n") + "\n"
	case keyturnv1alpha1.AdapterNone:
	}
	return strings.Join([]string{
		fmt.Sprintf("# Envoy, ext_authz by gRPC at %s.%s.svc:%d, with the context extension:", edge.Name, edge.Namespace, portGRPC),
		policyExtension + ": " + accessName(acp),
		"# By HTTP, each proxy at the address of its own dialect (nginx, ingress-nginx, traefik, caddy, haproxy, envoy):",
		httpAddress(acp, "nginx"),
		"# Headers of the answer to pass on to the application, which the client must not send:",
		strings.Join(toldHeaders(acp), ", "),
	}, "\n") + "\n"
}
