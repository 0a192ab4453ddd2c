package controllers

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// TestNothingConfigured: what nobody configures leaves no member in a document, so no replica sees a new one.
func TestNothingConfigured(t *testing.T) {
	off := keyturnv1alpha1.FailureLimitSpec{Limit: new(int32(0)), Window: metav1.Duration{Duration: time.Hour}}
	if got := failureLimit(&off); got != (snapshot.RateLimit{}) {
		t.Errorf("a limit of 0 becomes %+v", got)
	}
	for _, mode := range []keyturnv1alpha1.CookieMode{"", keyturnv1alpha1.CookiesDisabled} {
		policy := &keyturnv1alpha1.TokenPolicySpec{Cookies: keyturnv1alpha1.CookiesSpec{Mode: mode, LoginURL: new("/login")}}
		if got := browser(policy); !reflect.ValueOf(got).IsZero() {
			t.Errorf("mode %q becomes %+v", mode, got)
		}
	}
	if clients(nil) != nil || identitySources(nil, nil) != nil {
		t.Error("an empty list becomes something")
	}
}

func TestLoginInDocuments(t *testing.T) {
	if got := failureLimit(&keyturnv1alpha1.FailureLimitSpec{}); got != (snapshot.RateLimit{Limit: 100, Window: snapshot.Duration(time.Hour)}) {
		t.Errorf("an API server without the default gives %+v", got)
	}
	policy := &keyturnv1alpha1.TokenPolicySpec{
		Cookies: keyturnv1alpha1.CookiesSpec{Mode: keyturnv1alpha1.CookiesRequired, LoginURL: new("/login")},
		CORS:    keyturnv1alpha1.CORSSpec{AllowedOrigins: []string{"https://b.example.com", "https://a.example.com"}},
	}
	want := snapshot.Browser{Cookies: snapshot.CookiesRequired, LoginURL: "/login", AllowedOrigins: []string{"https://a.example.com", "https://b.example.com"}}
	if diff := cmp.Diff(want, browser(policy)); diff != "" {
		t.Errorf("browser (-want +got):\n%s", diff)
	}
	got := clients([]keyturnv1alpha1.ClientSpec{{ID: "b", Audiences: []string{"y"}}, {ID: "a", Audiences: []string{"x"}}})
	if diff := cmp.Diff([]snapshot.Client{{ID: "a", Audiences: []string{"x"}}, {ID: "b", Audiences: []string{"y"}}}, got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

func TestSourcesInDocuments(t *testing.T) {
	sources := []keyturnv1alpha1.IdentitySource{
		{Name: "app", SubjectPrefix: "app:", Webhook: &keyturnv1alpha1.WebhookSource{
			LoginURL: "https://a.example.com/check", LookupURL: new("https://a.example.com/user"), Timeout: metav1.Duration{Duration: 3 * time.Second},
		}},
		{Name: "jobs", SubjectPrefix: "jobs:", Kubernetes: &keyturnv1alpha1.KubernetesSource{Accounts: []keyturnv1alpha1.KubernetesAccount{
			{Namespace: "b", Role: new("any")}, {Namespace: "a", Name: "x"}, {Namespace: "b", Name: "y", Role: new("one")},
		}}},
		{Name: "corp", SubjectPrefix: "corp:", OIDC: &keyturnv1alpha1.OIDCSource{IssuerURL: "https://l.example.com", ClientID: "shop", SubjectClaim: "oid", RoleClaim: new("role")}},
		{Name: "staff", HTPasswd: &keyturnv1alpha1.HTPasswdSource{}},
	}
	want := []snapshot.IdentitySource{
		{Name: "app", SubjectPrefix: "app:", Webhook: &snapshot.Webhook{LoginURL: "https://a.example.com/check", LookupURL: "https://a.example.com/user", Timeout: snapshot.Duration(3 * time.Second)}},
		{Name: "jobs", SubjectPrefix: "jobs:", Kubernetes: &snapshot.Kubernetes{
			Issuer: "https://k", JWKS: []byte(`{"keys":[]}`),
			// The first that fits is the right one: y before all of b.
			Accounts: []snapshot.ServiceAccount{{Namespace: "a", Name: "x"}, {Namespace: "b", Name: "y", Role: "one"}, {Namespace: "b", Role: "any"}},
		}},
		{Name: "corp", SubjectPrefix: "corp:", OIDC: &snapshot.OIDC{IssuerURL: "https://l.example.com", ClientID: "shop", SubjectClaim: "oid", RoleClaim: "role"}},
		{Name: "staff", Htpasswd: &snapshot.Htpasswd{}},
	}
	equal := cmp.AllowUnexported(snapshot.Htpasswd{}.Users)
	if diff := cmp.Diff(want, identitySources(sources, &clusterKeys{"https://k", []byte(`{"keys":[]}`)}), equal); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	// Without the cluster's keys its tokens let nobody in, and the others go on.
	if diff := cmp.Diff([]snapshot.IdentitySource{want[0], want[2], want[3]}, identitySources(sources, nil), equal); diff != "" {
		t.Errorf("sources without the cluster's keys (-want +got):\n%s", diff)
	}
}
