package tokenhttp

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// Only what is configured is advertised.
func TestDiscoveryAdvertisesWhatIsThere(t *testing.T) {
	r := newRig(t)
	const at = "https://auth.example.com"
	want := map[string]any{
		"issuer": at, "jwks_uri": at + "/.well-known/jwks.json", "token_endpoint": at + "/auth/token", "token_endpoint_auth_methods_supported": []any{"none"},
		"response_types_supported": []any{}, "grant_types_supported": []any{"refresh_token"}, "subject_types_supported": []any{"public"},
		"id_token_signing_alg_values_supported": []any{"ES256"},
	}
	for _, path := range []string{openidPath, oauthPath} {
		if diff := cmp.Diff(want, r.do(http.MethodGet, path, "").body); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	d := *r.document.Load()
	cluster := snapshot.IdentitySource{Name: "cluster", SubjectPrefix: "k8s:", Kubernetes: &snapshot.Kubernetes{
		Issuer: "https://kubernetes.default.svc", JWKS: token.JWKS([]*token.PublicKey{r.key.Public()}), Accounts: []snapshot.ServiceAccount{{Namespace: "shop"}}}}
	var err error
	if d.directory, err = identity.New(at, []snapshot.IdentitySource{cluster}, nil, nil); err != nil {
		t.Fatal(err)
	}
	d.Clients = []snapshot.Client{{ID: "orders", Audiences: []string{"shop"}}}
	if err := d.loadClients(); err != nil {
		t.Fatal(err)
	}
	d.describe()
	proofs := []any{"client_secret_basic", "client_secret_post"}
	want["token_endpoint_auth_methods_supported"] = append([]any{"none"}, proofs...)
	want["revocation_endpoint"], want["revocation_endpoint_auth_methods_supported"] = at+"/auth/revoke", proofs
	want["introspection_endpoint"], want["introspection_endpoint_auth_methods_supported"] = at+"/auth/introspect", proofs
	want["grant_types_supported"] = []any{"refresh_token", grantTokenExchange}
	got := map[string]any{}
	if err := json.Unmarshal(d.discovery.body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Everything that an issuer with a path advertises is served where it says, and at the root as before.
func TestIssuerWithAPath(t *testing.T) {
	r := newRig(t)
	doc := r.issuer
	doc.Header.Issuer = "https://example.com/tenant/auth"
	key := newKey(t)
	doc.TokenService = "shop/auth"
	doc.Keys.Active, doc.SigningKey = key.KID(), key.JWK()
	doc.Keys.Keys = []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: key.Public().JWK()}}
	r.use(doc)
	const prefix = "/tenant/auth"
	for _, path := range []string{
		openidPath, oauthPath, prefix + openidPath, prefix + oauthPath, openidPath + prefix, oauthPath + prefix,
	} {
		a := r.do(http.MethodGet, path, "")
		if a.status != http.StatusOK || a.text("issuer") != doc.Header.Issuer || a.text("jwks_uri") != doc.Header.Issuer+"/.well-known/jwks.json" {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	if a := r.do(http.MethodGet, prefix+"/.well-known/jwks.json", ""); a.status != http.StatusOK {
		t.Errorf("jwks: %d", a.status)
	}
	for _, path := range []string{"/auth/login", prefix + "/auth/login"} {
		r.want(r.do(http.MethodPost, path, object("username", "alice", "password", canary)), http.StatusOK, "")
	}
	for _, path := range []string{
		prefix, prefix + "/", "/tenant" + openidPath, openidPath + "/tenant", openidPath + prefix + "/", prefix + prefix + openidPath, "/.well-known/jwks.json" + prefix,
		"/tenant/authx" + openidPath, prefix + "/" + openidPath, "/tenant%2fauth" + openidPath,
	} {
		if a := r.do(http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// An issuer whose path is the beginning of our own paths hides none of them.
func TestIssuerPathLikeOurOwn(t *testing.T) {
	for issuerPath, advertised := range map[string]string{"/auth": "/auth/auth/", "/.well-known": "/.well-known/auth/", "/auth/auth": "/auth/auth/auth/"} {
		t.Run(issuerPath, func(t *testing.T) {
			r := newRig(t)
			doc := r.issuer
			doc.Header.Issuer = "https://example.com" + issuerPath
			r.use(doc)
			for _, path := range []string{openidPath, oauthPath, issuerPath + openidPath, oauthPath + issuerPath, "/.well-known/jwks.json", issuerPath + "/.well-known/jwks.json"} {
				if a := r.do(http.MethodGet, path, ""); a.status != http.StatusOK {
					t.Errorf("%s: %d", path, a.status)
				}
			}
			for _, at := range []string{"/auth/", advertised} {
				a := r.do(http.MethodPost, at+"login", object("username", "alice", "password", canary))
				r.want(a, http.StatusOK, "")
				r.want(r.do(http.MethodPost, at+"refresh", object("refresh_token", a.text("refresh_token"))), http.StatusOK, "")
			}
		})
	}
}
