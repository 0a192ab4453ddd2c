package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// onValkey puts a TokenService on a shared store.
func onValkey(_ *keyturnv1alpha1.SigningKeySet, _ *keyturnv1alpha1.TokenPolicy, tsvc *keyturnv1alpha1.TokenService) {
	tsvc.Spec.Replicas = 3
	tsvc.Spec.Store = keyturnv1alpha1.StoreSpec{Redis: &keyturnv1alpha1.RedisStore{
		Addresses: []string{"valkey.data.svc:6379"}, TLS: &keyturnv1alpha1.RedisTLS{}, SecretRef: &keyturnv1alpha1.SecretReference{Name: "store"},
	}}
}

// TestSharedStore: the token service is a Deployment of several, which are surged, drained one at a time, and all asked
// before a key signs.
func TestSharedStore(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: w.meta("store"), Data: map[string][]byte{"password": []byte("canary-of-the-store")}})
	w.declare(onValkey)
	w.eventually("settle", w.unhealthy)

	var several appsv1.Deployment
	w.get(&several, "web-tokenservice")
	rolling := several.Spec.Strategy.RollingUpdate
	if *several.Spec.Replicas != 3 || rolling.MaxUnavailable.IntVal != 0 || rolling.MaxSurge.IntVal != 1 {
		t.Errorf("%d replicas, strategy %+v", *several.Spec.Replicas, rolling)
	}
	pod := several.Spec.Template.Spec
	args := pod.Containers[0].Args
	for _, wanted := range []string{
		"--store=rediss://valkey.data.svc:6379/0?durability=strict&mode=standalone&prefix=keyturn%2F" + w.ns + "%2Fweb&replicas=0",
		"--store-dir=/etc/keyturn/store",
	} {
		if !slices.Contains(args, wanted) {
			t.Errorf("no argument %s in %q", wanted, args)
		}
	}
	if joined := strings.Join(args, " "); strings.Contains(joined, "--data-dir") || strings.Contains(joined, "canary") {
		t.Errorf("arguments %q", args)
	}
	if got := projected(&pod, "store"); !slices.Equal(got, []string{"store/username", "store/password", "store/sentinel-password", "store/ca.crt", "store/tls.crt", "store/tls.key"}) {
		t.Errorf("the store's directory holds %v", got)
	}
	if !*pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem || pod.Containers[0].ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Error("the pod is another one than on the embedded store")
	}
	w.sharedGuards()

	// A rotation waits for all five.
	second := w.ring().Standby().KID
	w.step(25 * 60 * 60 * 1e9)
	w.request("now")
	w.state(second, keys.Active)
	w.eventually("settle after the rotation", w.unhealthy)

	edit(w, w.service(), func(s *keyturnv1alpha1.TokenService) { s.Spec.Replicas = 1 })
	w.eventually("fewer replicas", func() string {
		w.get(&several, "web-tokenservice")
		if *several.Spec.Replicas != 1 {
			return fmt.Sprintf("%d replicas", *several.Spec.Replicas)
		}
		return ""
	})
}

// sharedGuards looks at the budget, the Service and the policy of a token service on a shared store.
func (w *world) sharedGuards() {
	w.Helper()
	labels := selectorLabels(w.service(), keyturnv1alpha1.ComponentTokenService)
	var budget policyv1.PodDisruptionBudget
	if !w.get(&budget, "web-tokenservice") || budget.Spec.MaxUnavailable.IntVal != 1 {
		w.Errorf("the budget is %+v", budget.Spec)
	}
	var feed corev1.Service
	w.get(&feed, "web-feed")
	for what, selector := range map[string]map[string]string{"budget": budget.Spec.Selector.MatchLabels, "feed": feed.Spec.Selector} {
		if diff := cmp.Diff(labels, selector); diff != "" {
			w.Errorf("%s selects other pods (-want +got):\n%s", what, diff)
		}
	}
	var policy networkingv1.NetworkPolicy
	w.get(&policy, "web-tokenservice")
	if len(policy.Spec.Egress) != 3 || policy.Spec.Egress[2].To[0].NamespaceSelector.MatchLabels[corev1.LabelMetadataName] != "data" {
		w.Errorf("egress %+v", policy.Spec.Egress)
	}
	var pods corev1.PodList
	if err := admin.List(w.ctx, &pods, client.InNamespace(w.ns), client.MatchingLabels(labels)); err != nil || len(pods.Items) != 3 {
		w.Errorf("the labels meet %d pods: %v", len(pods.Items), err)
	}
}

// projected lists the files of a projected volume, as secret/path.
func projected(pod *corev1.PodSpec, volume string) []string {
	var out []string
	for _, v := range pod.Volumes {
		if v.Name != volume || v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			for _, item := range s.Secret.Items {
				out = append(out, s.Secret.Name+"/"+item.Path)
			}
		}
	}
	return out
}

// TestEmbeddedIsAsBefore: who configures nothing new has the pods of before.
func TestEmbeddedIsAsBefore(t *testing.T) {
	w := settled(t)
	var set appsv1.StatefulSet
	w.get(&set, "web-tokenservice")
	want := []string{
		"--snapshot=/etc/keyturn/snapshot/snapshot.json.gz", "--feed-dir=/etc/keyturn/feed", "--identity-dir=/etc/keyturn/identity",
		"--data-dir=/var/lib/keyturn", "--listen=:8080", "--feed-listen=:8444", "--internal-listen=:9090",
	}
	if diff := cmp.Diff(want, set.Spec.Template.Spec.Containers[0].Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	var volumes []string
	for _, v := range set.Spec.Template.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	if !slices.Equal(volumes, []string{"snapshot", "feed", "identity"}) {
		t.Errorf("volumes %v", volumes)
	}
	if got := projected(&set.Spec.Template.Spec, "identity"); !slices.Equal(got, []string{"users/staff/htpasswd", "users/staff/roles"}) {
		t.Errorf("identity %v", got)
	}
	var budget policyv1.PodDisruptionBudget
	if w.get(&budget, "web-tokenservice") {
		t.Error("a single token service has a budget")
	}
	var policy networkingv1.NetworkPolicy
	if w.get(&policy, "web-tokenservice"); len(policy.Spec.Egress) != 0 {
		t.Errorf("egress %+v", policy.Spec.Egress)
	}
	edge, err := w.edgeDocument()
	if err != nil || edge.AccessCookie != "" {
		t.Errorf("the edge takes the cookie %q: %v", edge.AccessCookie, err)
	}
}

// TestCookiesReachTheEdge: a policy with cookies tells issuer and edge, and takes it back.
func TestCookiesReachTheEdge(t *testing.T) {
	w := settled(t)
	for _, row := range []struct {
		mode   keyturnv1alpha1.CookieMode
		cookie string
		said   string
	}{
		{keyturnv1alpha1.CookiesOptional, snapshot.AccessCookie, "Optional"},
		{keyturnv1alpha1.CookiesRequired, snapshot.AccessCookie, "Required"},
		{keyturnv1alpha1.CookiesDisabled, "", ""},
	} {
		edit(w, w.newPolicy(), func(p *keyturnv1alpha1.TokenPolicy) { p.Spec.Cookies.Mode = row.mode })
		w.eventually("cookies "+string(row.mode), func() string {
			edge, err := w.edgeDocument()
			if err != nil || edge.AccessCookie != row.cookie {
				return fmt.Sprintf("the edge takes %q (%v)", edge.AccessCookie, err)
			}
			issuer, err := w.issuerDocument()
			if err != nil || issuer.Browser.Cookies != row.said {
				return fmt.Sprintf("the issuer gives %q (%v)", issuer.Browser.Cookies, err)
			}
			return ""
		})
	}
	w.eventually("settle", w.unhealthy)
}
