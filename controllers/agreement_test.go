package controllers

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
	"github.com/keyturn/keyturn/internal/tokenhttp"
)

// agreement is a spec that somebody could write, and whether the API takes it.
type agreement struct {
	policy, service string // parts of the specs
	taken           bool
	rollout         string // what is asked about legacy sessions, if anything
}

// legacySession is a rollout whose validator is in Redis.
func legacySession(redis string, taken bool) agreement {
	return agreement{rollout: "{cookieName: sid, validator: {redis: {url: 'redis://a', key: 's:{id}', user: u, " + redis + "}}}", taken: taken}
}

func legacyEndpoint(url string, taken bool) agreement {
	return agreement{rollout: fmt.Sprintf("{cookieName: sid, validator: {http: {url: %q}}, issuer: {url: %q}, revoker: {http: {url: %q}}}", url, url, url), taken: taken}
}

func loginPage(url string, taken bool) agreement {
	return agreement{policy: fmt.Sprintf("cookies: {mode: Optional, loginURL: %q}", url), taken: taken}
}

func origin(of string, taken bool) agreement {
	return agreement{policy: fmt.Sprintf("cors: {allowedOrigins: [%q]}", of), taken: taken}
}

func hook(url string, taken bool) agreement {
	return agreement{service: fmt.Sprintf("identity: [{name: a, webhook: {loginURL: %q, lookupURL: %q}}]", url, url), taken: taken}
}

func provider(url string, taken bool) agreement {
	return agreement{service: fmt.Sprintf("identity: [{name: a, oidc: {issuerURL: %q, clientID: x, roleClaim: \"https://x/role\"}}]", url), taken: taken}
}

// TestTokenServicesTakeWhatTheAPITakes: a document that a token service refuses keeps the next keys from it, so whatever
// passes the API must pass there.
func TestTokenServicesTakeWhatTheAPITakes(t *testing.T) {
	needAPIServer(t)
	ns := newNamespace(t)
	ring, private := oneKeyRing(t)
	sources := identity.NewSources(t.TempDir(), slog.New(slog.DiscardHandler), time.Now)
	keeper := legacy.NewKeeper(t.TempDir(), slog.New(slog.DiscardHandler), time.Now)
	build := tokenhttp.Build(sources, identity.NewHasher(1, 1), tokenhttp.WithLegacy(func(cookie string, config snapshot.Legacy) (tokenhttp.Legacy, error) {
		return legacy.New(cookie, config, keeper)
	}))
	for _, row := range []agreement{
		{taken: true},
		{policy: "login: {failureLimit: {limit: 0}}", taken: true},
		{policy: "login: {failureLimit: {limit: 10000, window: 24h}}", taken: true},
		loginPage("/", true), loginPage("/login?then=/a%2Fb", true), loginPage("/a;b/c..d/.e", true), loginPage("https://www.example.com", true),
		loginPage("https://www.example.com:8443/a%20b?x=1", true), loginPage("https://[2001:db8::1]/", true), loginPage("/authority", true),
		loginPage("/auth", false), loginPage("/a/..;x/b", false), loginPage("/a%", false), loginPage("https://a.example.com:0443/", false),
		loginPage("https://www.example.com:99999", false), loginPage("https://www.example.com:443?x", false), loginPage("/login#top", false),
		loginPage("/a//b", true), loginPage("/./a", false), loginPage("https://a_b.example.com", false),
		origin("https://app.example.com", true), origin("https://xn--bcher-kva.example", true), origin("http://localhost:3000", true),
		origin("http://[::1]:80", false), origin("https://[2001:db8::1]:8443", true), origin("https://app.example.com:08443", false), origin("https://app.example.com:", false),
		origin("https://[2001:DB8::1]", false), origin("http://127.0.0.1:1", true), origin("https://a_b.example.com", false),
		hook("https://a.example.com", true), hook("https://a.example.com:8443/x?y=%20", true), hook("http://a.b.svc:80/", true),
		hook("http://a.b.svc.cluster.local", true), hook("http://127.255.0.1/", true), hook("http://[::1]:1/x", true), hook("http://localhost/x", true),
		hook("http://a.b.svc.cluster.local.evil.example/", false), hook("http://svc", false), hook("http://A.b.svc/", false),
		provider("https://login.example.com/", true), provider("http://dex.auth.svc:5556/dex", true), provider("https://login.example.com/a%20b", true),
		{service: "identity: [{name: a, kubernetes: {accounts: [{namespace: b}, {namespace: b, name: c.d, role: x/y@z}]}}]", taken: true},
		legacySession("role: a.b.c", true), legacySession("role: 'a b'", true), legacySession("role: a..b", false), legacySession("role: .a", false),
		legacySession("format: Hash, role: 'a.b:c#d.e'", true), legacySession("format: Hash, role: '#a'", false), legacySession("format: Hash, role: 'a#'", false),
		legacySession("userIndex: 'x:{user}:y'", true), legacySession("userIndex: x", false), legacySession("cookieFormat: Base64", true),
		legacySession("cookieFormat: Signed, secretRef: {name: s}", true), {rollout: "{cookieName: 'a.b_c-d', validator: {http: {url: 'https://a.example.com', timeout: 10s}}, maxSessionLife: 1m}", taken: true},
		{rollout: "{cookieName: 'a|b', validator: {http: {url: 'https://a.example.com'}}}"}, {rollout: "{cookieName: __host-keyturnX, validator: {http: {url: 'https://a.example.com'}}}"},
		{rollout: "{cookieName: sid, validator: {redis: {url: 'rediss://[2001:db8::1]:6380/15', key: 'a{id}b', user: u}}}", taken: true},
		{rollout: "{cookieName: sid, validator: {redis: {url: 'redis://a', key: '{id}', user: u}}}"}, {rollout: "{cookieName: sid, validator: {redis: {url: 'redis://a', key: 's:{id}', user: a..b}}}"},
		legacyEndpoint("https://a.example.com:8443/x?y=%20", true), legacyEndpoint("http://a.b.svc:80/", true), legacyEndpoint("http://127.255.0.1/", true), legacyEndpoint("http://svc", false),
		{service: "clients: [{id: A.b_c-d, secretRef: {name: x}, audiences: [y, 'z!~']}]", taken: true},
	} {
		policy := &keyturnv1alpha1.TokenPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p"}}
		service := &keyturnv1alpha1.TokenService{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}}
		base := "accessToken: {audiences: [x]}\n" + row.policy
		read(t, base, &policy.Spec)
		users := "identity: [{name: a, htpasswd: {secretRef: {name: u}}}]\n"
		if len(row.service) > 8 && row.service[:8] == "identity" {
			users = ""
		}
		read(t, "issuer: https://auth.example.com\nsigningKeySetRef: {name: k}\ntokenPolicyRef: {name: p}\ntrustedProxies: [10.0.0.0/8]\n"+users+row.service, &service.Spec)
		err := admin.Create(t.Context(), policy, client.DryRunAll)
		if err == nil {
			err = admin.Create(t.Context(), service, client.DryRunAll)
		}
		var aro *keyturnv1alpha1.AuthRollout
		if row.rollout != "" {
			aro = &keyturnv1alpha1.AuthRollout{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "r"}}
			read(t, wholeRollout+"legacy: "+row.rollout, &aro.Spec)
			if err == nil {
				err = admin.Create(t.Context(), aro, client.DryRunAll)
			}
		}
		if (err == nil) != row.taken {
			t.Errorf("%s%s%s: taken %t, want %t: %v", row.policy, row.service, row.rollout, err == nil, row.taken, err)
		}
		if err != nil {
			continue
		}
		refs := &resolved{set: &keyturnv1alpha1.SigningKeySet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "k"}}, policy: policy, ring: ring, rollout: aro, cluster: &clusterKeys{"https://kubernetes.default.svc", clusterJWKS(t)}}
		doc := issuerDocument(service, refs, private.KID(), time.Minute)
		doc.SigningKey, doc.Revision = private.JWK(), 1
		raw, err := snapshot.EncodeIssuer(doc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := build(raw, nil); err != nil {
			t.Errorf("%s%s%s: the API takes it, a token service does not: %v", row.policy, row.service, row.rollout, err)
		}
	}
}

// wholeRollout is everything but the sessions, at the edges of what the API takes.
const wholeRollout = `
tokenServiceRef: {name: s}
bucketing: {salt: "a.b_c:d-e"}
include: ["staff:alice@example.com", " "]
exclude: [é]
steps: [{percent: 1}, {percent: 100}]
deprecation: {at: "2027-01-01T00:00:00+02:00", link: "https://www.example.com/a?b=c#d"}
brownouts: [{start: "2027-01-01T00:00:00Z", duration: 24h, percent: 100}]
sunset: {at: "2027-02-01T00:00:00Z"}
`

func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
}

// oneKeyRing is a ring whose one key signs.
func oneKeyRing(t *testing.T) (*keys.Ring, *token.PrivateKey) {
	t.Helper()
	private, err := token.Generate("ES256", 0)
	if err != nil {
		t.Fatal(err)
	}
	return &keys.Ring{Epoch: 1, Keys: []keys.Key{{
		KID: private.KID(), Algorithm: keys.Algorithm(private.Algorithm()), Sequence: 1, State: keys.Active, PublicJWK: private.Public().JWK(),
	}}}, private
}

// clusterJWKS is a key set as an API server has it.
func clusterJWKS(t *testing.T) []byte {
	t.Helper()
	of, err := token.Generate("RS256", 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := publicJWKS(token.JWKS([]*token.PublicKey{of.Public()}))
	if err != nil {
		t.Fatal(err)
	}
	return jwks
}
