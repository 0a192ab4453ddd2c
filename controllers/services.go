package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// services are the three addresses of a TokenService: its public endpoints, the revocation feed, the edge.
func services(tsvc *keyturnv1alpha1.TokenService) []*corev1.Service {
	names := namesOf(tsvc)
	port := func(name string, number int32, target, protocol string) corev1.ServicePort {
		return corev1.ServicePort{
			Name: name, Port: number, TargetPort: intstr.FromString(target),
			Protocol: corev1.ProtocolTCP, AppProtocol: new(protocol),
		}
	}
	service := func(name, component string, ports ...corev1.ServicePort) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, component)},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Selector: selectorLabels(tsvc, component), Ports: ports},
		}
	}
	public := "http"
	if tsvc.Spec.TLS != nil {
		public = "https"
	}
	return []*corev1.Service{
		service(names.tokenService, keyturnv1alpha1.ComponentTokenService, port(public, portPublic, "http", public)),
		service(names.feed, keyturnv1alpha1.ComponentTokenService, port("feed", portFeed, "feed", "https")),
		service(names.edge, keyturnv1alpha1.ComponentEdge,
			port("http", portPublic, "http", "http"), port("grpc", portGRPC, "grpc", "kubernetes.io/h2c")),
	}
}

// serviceAccounts are the identities of the two workloads. They have no rights and get no token.
func serviceAccounts(tsvc *keyturnv1alpha1.TokenService) []*corev1.ServiceAccount {
	names := namesOf(tsvc)
	account := func(name, component string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{
			ObjectMeta:                   metav1.ObjectMeta{Name: name, Namespace: tsvc.Namespace, Labels: objectLabels(tsvc, component)},
			AutomountServiceAccountToken: new(false),
		}
	}
	return []*corev1.ServiceAccount{
		account(names.tokenService, keyturnv1alpha1.ComponentTokenService),
		account(names.edge, keyturnv1alpha1.ComponentEdge),
	}
}

// endpoints are what people put into the configuration of their ingress.
func endpoints(tsvc *keyturnv1alpha1.TokenService) keyturnv1alpha1.TokenServiceEndpoints {
	names := namesOf(tsvc)
	at := func(service string, port int) string {
		return fmt.Sprintf("%s.%s.svc:%d", service, tsvc.Namespace, port)
	}
	return keyturnv1alpha1.TokenServiceEndpoints{
		TokenService: at(names.tokenService, portPublic),
		EdgeGRPC:     at(names.edge, portGRPC),
		EdgeHTTP:     at(names.edge, portPublic),
	}
}

// feedServerName is the name in the feed's certificate.
func feedServerName(tsvc *keyturnv1alpha1.TokenService) string {
	return fmt.Sprintf("%s.%s.svc", namesOf(tsvc).feed, tsvc.Namespace)
}
