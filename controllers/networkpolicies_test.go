package controllers

import (
	"fmt"
	"slices"
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
	policies := networkPolicies(tsvc, nil, "keyturn-system")
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
	outside := netpolicy.Peer{}
	rows = append(rows, []struct {
		name     string
		from, to netpolicy.Peer
		port     int32
		want     bool
	}{
		{"token service calls the internet", service, outside, 443, false},
		{"token service looks names up", service, outside, portDNS, false},
		{"edge looks names up", edge, outside, portDNS, false},
	}...)
	for _, row := range rows {
		if got := netpolicy.Allowed(policies, row.from, row.to, row.port); got != row.want {
			t.Errorf("%s: allowed %v, want %v", row.name, got, row.want)
		}
	}
}

// TestNetworkPoliciesOfSources: a token service gets to what its spec names, and to nothing else; the edge gets nowhere new.
func TestNetworkPoliciesOfSources(t *testing.T) {
	peer := func(namespace string) netpolicy.Peer {
		return netpolicy.Peer{Namespace: namespace, NamespaceLabels: labels.Set{corev1.LabelMetadataName: namespace}, Labels: labels.Set{"app": "x"}}
	}
	outside := netpolicy.Peer{}
	redis := func(mode keyturnv1alpha1.RedisMode, at ...string) keyturnv1alpha1.TokenServiceSpec {
		return keyturnv1alpha1.TokenServiceSpec{Store: keyturnv1alpha1.StoreSpec{Redis: &keyturnv1alpha1.RedisStore{Mode: mode, Addresses: at}}}
	}
	source := func(s keyturnv1alpha1.IdentitySource) keyturnv1alpha1.TokenServiceSpec {
		return keyturnv1alpha1.TokenServiceSpec{Identity: []keyturnv1alpha1.IdentitySource{s}}
	}
	hook := func(login, lookup string) keyturnv1alpha1.TokenServiceSpec {
		return source(keyturnv1alpha1.IdentitySource{Webhook: &keyturnv1alpha1.WebhookSource{LoginURL: login, LookupURL: &lookup}})
	}
	for name, row := range map[string]struct {
		spec keyturnv1alpha1.TokenServiceSpec
		to   netpolicy.Peer
		// open and shut are ports; the edge must find all of them shut.
		open, shut []int32
	}{
		"redis outside":     {redis("Standalone", "cache.example.com:6380"), outside, []int32{6380, portDNS}, []int32{443, 6379, 6443}},
		"redis inside":      {redis("Standalone", "valkey.data.svc:6379"), peer("data"), []int32{6379, 16379}, nil},
		"redis, elsewhere":  {redis("Standalone", "valkey.data.svc:6379"), peer("other"), []int32{6379, portDNS}, []int32{16379, 443}},
		"redis next door":   {redis("Standalone", "valkey:6379"), peer("shop"), []int32{6379, 16379}, nil},
		"sentinels":         {redis("Sentinel", "10.0.0.1:26379"), outside, []int32{26379, portRedis, portDNS}, []int32{443}},
		"postgres":          {keyturnv1alpha1.TokenServiceSpec{Store: keyturnv1alpha1.StoreSpec{Postgres: &keyturnv1alpha1.PostgresStore{Addresses: []string{"a.example.com:5432", "b.example.com:5433"}}}}, outside, []int32{5432, 5433, portDNS}, []int32{443}},
		"webhook":           {hook("https://a.example.com/check", "https://a.example.com:8443/user"), outside, []int32{443, 8443, portDNS}, []int32{80, 5432}},
		"webhook inside":    {hook("http://app.shop.svc/check", "http://app.shop.svc.cluster.local/user"), peer("shop"), []int32{80, 8080}, nil},
		"webhook of a pod":  {hook("http://app-0.app.backend.svc/check", ""), peer("backend"), []int32{8080}, nil},
		"oidc":              {source(keyturnv1alpha1.IdentitySource{OIDC: &keyturnv1alpha1.OIDCSource{IssuerURL: "https://login.example.com"}}), outside, []int32{443, portDNS}, []int32{80}},
		"oidc, API server":  {source(keyturnv1alpha1.IdentitySource{OIDC: &keyturnv1alpha1.OIDCSource{IssuerURL: "https://login.example.com"}}), peer("kube-system"), []int32{443}, []int32{6443}},
		"accounts":          {source(keyturnv1alpha1.IdentitySource{Kubernetes: &keyturnv1alpha1.KubernetesSource{}}), outside, nil, []int32{443, 6443, portDNS}},
		"users of a Secret": {source(keyturnv1alpha1.IdentitySource{HTPasswd: &keyturnv1alpha1.HTPasswdSource{}}), outside, nil, []int32{443, portDNS}},
	} {
		tsvc := &keyturnv1alpha1.TokenService{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}, Spec: row.spec}
		policies := networkPolicies(tsvc, nil, "keyturn-system")
		service, edge := peer("shop"), peer("shop")
		service.Labels = selectorLabels(tsvc, keyturnv1alpha1.ComponentTokenService)
		edge.Labels = selectorLabels(tsvc, keyturnv1alpha1.ComponentEdge)
		for _, port := range row.open {
			if !netpolicy.Allowed(policies, service, row.to, port) {
				t.Errorf("%s: port %d is shut", name, port)
			}
			if netpolicy.Allowed(policies, edge, row.to, port) {
				t.Errorf("%s: port %d is open to the edge", name, port)
			}
		}
		for _, port := range row.shut {
			if netpolicy.Allowed(policies, service, row.to, port) {
				t.Errorf("%s: port %d is open", name, port)
			}
		}
		if row.to.Namespace != "shop" && netpolicy.Allowed(policies, service, edge, portPublic) {
			t.Errorf("%s: the token service may call the edge", name)
		}
	}
}

// TestDNSOverUDP: the evaluator does not look at protocols, so this does.
func TestDNSOverUDP(t *testing.T) {
	rules := callsOut(&keyturnv1alpha1.TokenService{Spec: keyturnv1alpha1.TokenServiceSpec{
		Store: keyturnv1alpha1.StoreSpec{Redis: &keyturnv1alpha1.RedisStore{Mode: keyturnv1alpha1.RedisStandalone, Addresses: []string{"a.example.com:6379"}}},
	}}, nil)
	var got []string
	for _, rule := range rules {
		for _, p := range rule.Ports {
			got = append(got, fmt.Sprintf("%s %d", *p.Protocol, p.Port.IntVal))
		}
	}
	if want := []string{"TCP 6379", "TCP 53", "UDP 53"}; !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
}
