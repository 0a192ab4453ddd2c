package extauthz

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// policies are those of the tests' document.
func accessPolicies() []snapshot.AccessPolicy {
	both, jwt := []string{snapshot.AcceptJWT, snapshot.AcceptLegacySession}, []string{snapshot.AcceptJWT}
	return []snapshot.AccessPolicy{
		{Name: "shop/admin", Accept: jwt, Roles: []string{"admin", "clerk"}},
		{Name: "shop/audit", Accept: jwt, Roles: []string{"clerk"}, Audit: true, LoginURL: "/login", Rules: []snapshot.AccessRule{{Path: "/x", PathType: snapshot.PathExact}}},
		{Name: "shop/both", Accept: both, Rules: []snapshot.AccessRule{{Path: "/open", PathType: snapshot.PathPrefix, Anonymous: true}}},
		{Name: "shop/jwt", Accept: jwt},
		{Name: "shop/pages", Accept: jwt, LoginURL: "/auth/continue"},
		{Name: "shop/pages-abroad", Accept: jwt, LoginURL: "https://login.example.test/in?app=1"},
		{Name: "shop/pages-login", Accept: jwt, LoginURL: "/login"},
		{Name: "shop/rules", Accept: jwt, Roles: []string{"nobody"}, Preflight: true, Rules: []snapshot.AccessRule{
			{Path: "/health", PathType: snapshot.PathExact, Methods: []string{"GET", "HEAD"}, Anonymous: true},
			{Path: "/api", PathType: snapshot.PathPrefix, Methods: []string{"GET"}}, {Path: "/api", PathType: snapshot.PathPrefix, Roles: []string{"admin"}},
		}},
		{Name: "shop/session", Accept: []string{snapshot.AcceptLegacySession}},
		{Name: "shop/bearer", Accept: jwt, Sources: []snapshot.TokenSource{{Header: "authorization"}}},
		{Name: "shop/sources", Accept: jwt, Sources: []snapshot.TokenSource{
			{Header: "X-Api-Token"}, {Header: "Authorization", Scheme: "DPoP", RejectForeign: true}, {Cookie: "app-token"},
		}},
		{Name: "shop/told", Accept: both, Headers: []snapshot.UpstreamHeader{{Name: "X-User-Id", Claim: "user_id"}, {Name: "X-Session", Claim: "sid"}, {Name: "X-Sub", Claim: "sub"}},
			Rules: []snapshot.AccessRule{{Path: "/open", PathType: snapshot.PathPrefix, Anonymous: true}}},
	}
}

// newPolicyWorld has the policies, a rollout, and the sessions "good" (ann's) and "over".
func newPolicyWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	doc := document(2, 2, signingKeys()[0])
	doc.Policies, doc.AccessCookie = accessPolicies(), snapshot.AccessCookie
	doc.Rollout = &snapshot.Rollout{Name: "shop/move", Cookie: "connect.sid", Salt: "s", Percent: 10}
	if !w.put(t, doc) {
		t.Fatalf("the document was not taken: %+v", w.edges.Refused())
	}
	w.feed.answer(func(_ context.Context, cookie string) (feed.SessionAnswer, error) {
		if cookie == "good" {
			return feed.SessionAnswer{Valid: true, User: "ann", Role: "admin"}, nil
		}
		return feed.SessionAnswer{}, nil
	})
	return w
}

// original is a client's request, told to each dialect as its proxy tells it.
type original struct {
	policy, method, target string
	headers                []header
}

func (o original) told(dialect string) (line string, headers []header) {
	line = "GET /authz/" + dialect + "/" + o.policy + " HTTP/1.1"
	switch dialect {
	case "nginx":
		headers = []header{{"Host", "app.example.test"}, {"X-Original-Method", o.method}, {"X-Original-URL", "https://app.example.test" + o.target}}
	case "ingress-nginx": // the location that its template makes for auth-url with auth-method
		headers = []header{
			{"Host", "web-extauthz.shop.svc"}, {"X-Request-ID", "9f86d081884c7d659a2feaa0c55ad015"}, {"X-Original-URI", o.target}, {"X-Scheme", "https"},
			{"X-Original-URL", "https://app.example.test" + o.target}, {"X-Original-Method", o.method}, {"X-Sent-From", "nginx-ingress-controller"},
			{"X-Real-IP", "198.51.100.7"}, {"X-Forwarded-For", "198.51.100.7"}, {"X-Auth-Request-Redirect", o.target},
		}
	case "envoy":
		line, headers = o.method+" /authz/envoy/"+o.policy+o.target+" HTTP/1.1", []header{{"Host", "app.example.test"}}
	default:
		headers = []header{{"Host", "edge:8080"}, {"X-Forwarded-Method", o.method}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "app.example.test"}, {"X-Forwarded-Uri", o.target}}
	}
	return line, append(headers, o.headers...)
}

// allDialects are asked with every row, beside gRPC.
var allDialects = []string{"nginx", "ingress-nginx", "traefik", "caddy", "haproxy", "envoy"}

// verdicts asks in every dialect and by gRPC. A verdict is the status, the code, where a browser is sent, and who the
// application is told it was.
func verdicts(t *testing.T, on Listeners, o original) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dialect := range allDialects {
		line, headers := o.told(dialect)
		r, body := ask(t, on.HTTP.Addr().String(), line, headers)
		if r.StatusCode == 200 && body != "" {
			t.Errorf("%s: an allow with a body: %s", dialect, body)
		}
		all[dialect] = verdictOf(r.StatusCode, r.Header)
	}
	for _, raw := range []bool{false, true} {
		e := newEnvoy(t, on.GRPC.Addr().String())
		e.raw, e.extensions = raw, map[string]string{PolicyExtension: o.policy}
		got := e.send(t, clientRequest{method: o.method, path: o.target, host: "app.example.test", headers: o.headers})
		h := http.Header{}
		for name, value := range got.headers {
			h.Set(name, value)
		}
		for name, values := range got.upstream {
			h[http.CanonicalHeaderKey(name)] = values
		}
		all[fmt.Sprintf("gRPC, raw %t", raw)] = verdictOf(got.status, h)
	}
	return all
}

func verdictOf(status int, h http.Header) string {
	if status != 200 {
		return strings.TrimSpace(fmt.Sprintf("%d %s %s", status, h.Get(HeaderCode), h.Get("Location")))
	}
	return strings.TrimSpace(fmt.Sprintf("200 %s %s %s", h.Get("X-Auth-User"), h.Get("X-Auth-Role"), h.Get("X-Auth-Method")))
}

func TestPolicies(t *testing.T) {
	w := newPolicyWorld(t)
	on, _ := w.serve(t, Drain{})
	key := signingKeys()[0]
	admin := bearer(mint(t, key))
	clerk := bearer(mint(t, key, func(c *token.Claims) { c.Custom = map[string]string{"role": "clerk"} }))
	reader := bearer(mint(t, key, func(c *token.Claims) { c.Custom = nil }))
	old, foreign := bearer(mint(t, key, expired)), bearer(mint(t, key, func(c *token.Claims) { c.Issuer = "https://other.test" }))
	bare := func(h header) string { return strings.TrimPrefix(h.value, "Bearer ") }
	session, over, page := header{"Cookie", "connect.sid=good"}, header{"Cookie", "connect.sid=over"}, header{"Sec-Fetch-Mode", "navigate"}
	h := func(all ...header) []header { return all }
	asks := h(header{"Origin", "https://other.example.test"}, header{"Access-Control-Request-Method", "PUT"})
	for _, row := range []struct {
		policy, request string
		headers         []header
		want            string
	}{
		{"shop/none", "GET /", h(admin), "403 no_policy"},
		{"-/default", "GET /a/../b", h(admin), "200 ann admin jwt"},
		{"shop/jwt", "GET /a/../b", h(admin), "200 ann admin jwt"},
		{"shop/jwt", "GET /", nil, "401 no_credential"},
		{"shop/jwt", "GET /", h(session), "401 no_credential"},
		{"shop/jwt", "GET /a#b", h(admin), "403 bad_request_target"},
		{"shop/jwt", "CONNECT /", h(admin), "403 bad_request_target"},
		{"shop/both", "GET /", h(session), "200 ann admin session"},
		{"shop/both", "GET /", h(reader), "200 ann  jwt"},
		{"shop/both", "GET /", h(over), "401 legacy_session_invalid"},
		{"shop/both", "GET /open", h(over), "200"},
		{"shop/both", "GET /open", h(session), "200 ann admin session"},
		{"shop/both", "GET /open", h(old), "401 expired"},
		{"shop/both", "GET /open", h(foreign), "200"},
		{"shop/both", "GET /opener", nil, "401 no_credential"},
		{"shop/session", "GET /", h(session), "200 ann admin session"},
		{"shop/session", "GET /", h(admin), "401 no_credential"},
		{"shop/session", "GET /", h(bearer("garbage"), session), "200 ann admin session"},
		{"shop/admin", "GET /", h(admin), "200 ann admin jwt"},
		{"shop/admin", "DELETE /x//y", h(clerk), "200 ann clerk jwt"},
		{"shop/admin", "GET /", h(reader), "403 insufficient_role"},
		{"shop/rules", "GET /health", nil, "200"},
		{"shop/rules", "HEAD /health?x=/api", nil, "200"},
		{"shop/rules", "GET /he%61lth", nil, "200"},
		{"shop/rules", "POST /health", nil, "401 no_credential"},
		{"shop/rules", "GET /health", h(header{"Cookie", accessCookie + "garbage"}), "200"},
		{"shop/rules", "GET /health", h(header{"Cookie", accessCookie + bare(old)}), "200"},
		{"shop/rules", "GET /health", h(header{"Cookie", accessCookie + bare(admin)}), "200 ann admin jwt"},
		{"shop/rules", "GET /health", h(header{"Cookie", accessCookie + "garbage"}, old), "401 expired"},
		{"shop/rules", "GET /api/x", h(header{"Cookie", accessCookie + "garbage"}), "401 invalid_token"},
		{"shop/rules", "GET /api/x", h(foreign, header{"Cookie", accessCookie + bare(admin)}), "200 ann admin jwt"},
		{"shop/rules", "POST /api/x", h(foreign, header{"Cookie", accessCookie + bare(admin)}), "403 cross_site"},
		{"shop/rules", "GET /api/x", h(foreign, header{"Cookie", accessCookie + bare(old)}), "401 expired"},
		{"shop/bearer", "GET /", h(admin), "200 ann admin jwt"},
		{"shop/bearer", "GET /", h(header{"Authorization", bare(admin)}), "401 no_credential"},
		{"shop/rules", "GET /health", h(bearer("garbage")), "401 invalid_token"},
		{"shop/rules", "GET /api/x", h(clerk), "200 ann clerk jwt"},
		{"shop/rules", "PUT /api/x", h(clerk), "403 insufficient_role"},
		{"shop/rules", "PUT /%61pi/x", h(clerk), "403 insufficient_role"},
		{"shop/rules", "PUT /api/x", h(admin), "200 ann admin jwt"},
		{"shop/rules", "GET /apis", h(admin), "403 insufficient_role"},
		{"shop/rules", "GET /api/../health", nil, "403 ambiguous_path"},
		{"shop/rules", "GET /health/..;/api", h(admin), "403 ambiguous_path"},
		{"shop/rules", "GET /api%2fx", h(admin), "403 ambiguous_path"},
		{"shop/rules", "GET //health", h(admin), "403 ambiguous_path"},
		{"shop/rules", "OPTIONS /api/x", asks, "200"},
		{"shop/rules", "OPTIONS /api/x", append(h(admin), asks...), "200"},
		{"shop/rules", "OPTIONS /api/x", asks[:1], "401 no_credential"},
		{"shop/rules", "OPTIONS /api/x", asks[1:], "401 no_credential"},
		{"shop/rules", "GET /api/x", asks, "401 no_credential"},
		{"shop/rules", "put /api/x", h(clerk), "403 bad_request_target"},
		{"shop/rules", "Put /api/x", h(admin), "403 bad_request_target"},
		{"shop/rules", "PUt /api/x", h(admin), "403 bad_request_target"},
		{"shop/rules", "M-SEARCH /api/x", h(admin), "200 ann admin jwt"},
		{"shop/jwt", "OPTIONS /api/x", asks, "401 no_credential"},
		{"shop/pages", "GET /a?b=c&d", h(page), "302 no_credential /auth/continue?return_to=%2Fa%3Fb%3Dc%26d"},
		{"shop/pages", "GET /a", h(page, old), "302 expired /auth/continue?return_to=%2Fa"},
		{"shop/pages", "GET /a//..", h(page), "302 no_credential /auth/continue"},
		{"shop/pages", "GET //evil.test", h(page), "302 no_credential /auth/continue"},
		{"shop/pages", "GET /auth/x", h(page), "302 no_credential /auth/continue"},
		{"shop/pages", "GET /a", h(header{"Accept", "text/html,*/*"}), "302 no_credential /auth/continue?return_to=%2Fa"},
		{"shop/pages", "GET /a", h(header{"Accept", "text/html,*/*"}, header{"X-Requested-With", "XMLHttpRequest"}), "401 no_credential"},
		{"shop/pages", "GET /a", h(header{"Accept", "text/html,*/*"}, header{"Sec-Fetch-Mode", "cors"}), "401 no_credential"},
		{"shop/pages", "GET /a", h(page, header{"Sec-WebSocket-Key", "x"}), "401 no_credential"},
		{"shop/pages", "POST /a", h(page), "401 no_credential"},
		{"shop/pages", "GET /a", h(header{"Accept", "*/*"}), "401 no_credential"},
		{"shop/pages", "GET /a", h(page, admin), "200 ann admin jwt"},
		{"shop/pages-abroad", "GET /a", h(page), "302 no_credential https://login.example.test/in?app=1&return_to=%2Fa"},
		{"shop/pages-login", "GET /login?x", h(page), "401 no_credential"},
		{"shop/audit", "GET /", h(admin), "200 ann admin jwt"},
		{"shop/audit", "GET /", h(clerk), "200 ann clerk jwt"},
		{"shop/audit", "GET /..//", h(clerk), "200 ann clerk jwt"},
		{"shop/audit", "GET /", h(bearer("garbage"), page), "200"},
		{"shop/audit", "GET /", nil, "200"},
		{"shop/audit", "GET /", h(session), "200"},
		{"shop/audit", "CONNECT /", nil, "403 bad_request_target"},
		{"shop/sources", "GET /", h(admin), "401 no_credential"},
		{"shop/sources", "GET /", h(header{"X-Api-Token", bare(admin)}), "200 ann admin jwt"},
		{"shop/sources", "GET /", h(header{"x-api-token", bare(admin)}, admin), "200 ann admin jwt"},
		{"shop/sources", "GET /", h(header{"X-Api-Token", bare(admin)}, header{"X-Api-Token", bare(admin)}), "401 invalid_request"},
		{"shop/sources", "GET /", h(header{"X-Api-Token", "Bearer " + bare(admin)}), "401 invalid_token"},
		{"shop/sources", "GET /", h(header{"Authorization", "dpop " + bare(clerk)}), "200 ann clerk jwt"},
		{"shop/sources", "GET /", h(header{"Authorization", "DPoP " + bare(foreign)}, header{"X-Api-Token", bare(admin)}), "401 invalid_token"},
		{"shop/sources", "GET /", h(header{"Authorization", "DPoP " + bare(admin)}, header{"X-Api-Token", bare(foreign)}), "200 ann admin jwt"},
		{"shop/sources", "GET /", h(header{"X-Api-Token", bare(admin)}, header{"Cookie", "app-token=" + bare(old)}), "401 expired"},
		{"shop/sources", "POST /", h(header{"Cookie", "app-token=" + bare(admin)}), "403 cross_site"},
		{"shop/sources", "POST /", h(header{"Cookie", "app-token=" + bare(admin)}, header{"Origin", "https://app.example.test"}), "200 ann admin jwt"},
		{"shop/sources", "POST /", h(header{"Cookie", "app-token=" + bare(admin)}, header{"X-Api-Token", bare(clerk)}), "200 ann clerk jwt"},
		{"shop/sources", "GET /", h(header{"Cookie", "app-token=" + bare(admin) + "; app-token=x"}), "401 invalid_request"},
		{"shop/sources", "GET /", h(header{"Cookie", accessCookie + bare(admin)}), "401 no_credential"},
	} {
		method, target, _ := strings.Cut(row.request, " ")
		for dialect, got := range verdicts(t, on, original{row.policy, method, target, row.headers}) {
			want := row.want
			if strings.HasSuffix(dialect, "nginx") && strings.HasPrefix(want, "302") {
				want = "401 " + strings.Fields(want)[1]
			}
			if got != want {
				t.Errorf("%s, %s %s %.60q: %s, want %s", dialect, row.policy, row.request, flat(row.headers), got, want)
			}
		}
	}
	for _, line := range w.log.lines(t, "would_deny") {
		if line["reason"] == "" || line["decision"] == "" || line["policy"] != "shop/audit" {
			t.Errorf("%v", line)
		}
	}
	if len(w.log.lines(t, "would_deny")) == 0 || strings.Contains(w.log.String(), "eyJ") {
		t.Error("audits are not told, or a token is")
	}
}

// What only one kind of credential may decide is not asked about.
func TestSessionsAreNotAskedInVain(t *testing.T) {
	w := newPolicyWorld(t)
	on, _ := w.serve(t, Drain{})
	before := w.feed.asked.Load()
	verdicts(t, on, original{"shop/jwt", "GET", "/", []header{{"Cookie", "connect.sid=new"}}})
	verdicts(t, on, original{"shop/none", "GET", "/", []header{{"Cookie", "connect.sid=new"}}})
	if asked := w.feed.asked.Load() - before; asked != 0 {
		t.Errorf("%d questions about a session that cannot matter", asked)
	}
	verdicts(t, on, original{"shop/both", "GET", "/", []header{{"Cookie", "connect.sid=new"}}})
	if asked := w.feed.asked.Load() - before; asked != 1 {
		t.Errorf("%d questions, want 1", asked)
	}
}

// A user who lacks a role is told so as RFC 6750 says; one who only lacks a credential is challenged.
func TestChallenges(t *testing.T) {
	w := newPolicyWorld(t)
	on, _ := w.serve(t, Drain{})
	line, headers := original{"shop/admin", "GET", "/", []header{bearer(mint(t, signingKeys()[0], func(c *token.Claims) { c.Custom = nil }))}}.told("haproxy")
	r, _ := ask(t, on.HTTP.Addr().String(), line, headers)
	if got := r.Header.Get("WWW-Authenticate"); r.StatusCode != 403 || !strings.HasPrefix(got, `Bearer realm="`+issuer+`", error="insufficient_scope"`) {
		t.Errorf("%d %s", r.StatusCode, got)
	}
	line, headers = original{"shop/pages", "GET", "/", []header{{"Sec-Fetch-Mode", "navigate"}}}.told("haproxy")
	if r, _ = ask(t, on.HTTP.Addr().String(), line, headers); r.Header.Get("WWW-Authenticate") != "" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a redirect: %v", r.Header)
	}
}

func TestAuditIsCounted(t *testing.T) {
	w := newPolicyWorld(t)
	on, _ := w.serve(t, Drain{})
	verdicts(t, on, original{"shop/audit", "GET", "/", nil})
	families, err := w.metrics.registry.Gather()
	check(t, err)
	counted, policies := 0.0, 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch {
			case f.GetName() == "keyturn_audited_total" && m.GetLabel()[0].GetValue() == string(policy.NoCredential):
				counted = m.GetCounter().GetValue()
			case f.GetName() == "keyturn_access_policies":
				policies = m.GetGauge().GetValue()
			}
		}
	}
	if counted != float64(len(allDialects)+2) || policies != float64(len(accessPolicies())) {
		t.Errorf("%v audited, %v policies", counted, policies)
	}
}
