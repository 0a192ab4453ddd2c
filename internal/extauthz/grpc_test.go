package extauthz

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

func TestEnvoyAllow(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	raw := mint(t, signingKeys()[0])
	spoofed := []header{
		bearer(raw), {"X-Auth-User", "root"}, {"X-Auth-User", "root2"}, {"X_Auth_User", "root"}, {"x.auth.user", "root"}, {"X-AUTH_ROLE", "root"},
		{"x-auth.method", "root"}, {"X-Auth-Role", "root"}, {"X-Auth-Method", "root"}, {"x~auth~user", "root"}, {"X-Other", "v"}, {"X-Auth-Users", "v"},
	}
	want := map[string][]string{
		"authorization": {"Bearer " + raw}, "x-other": {"v"}, "x-auth-users": {"v"},
		"x-auth-user": {"ann"}, "x-auth-role": {"admin"}, "x-auth-method": {"jwt"},
	}
	for _, encoded := range []bool{false, true} {
		e := newEnvoy(t, on.GRPC.Addr().String())
		e.raw = encoded
		got := e.send(t, get(spoofed...))
		if diff := cmp.Diff(want, got.upstream); diff != "" {
			t.Errorf("raw %v: %s", encoded, diff)
		}
	}
	t.Run("without a role", func(t *testing.T) {
		noRole := mint(t, signingKeys()[0], func(c *token.Claims) { c.Custom = nil })
		got := newEnvoy(t, on.GRPC.Addr().String()).send(t, get(bearer(noRole), header{"X-Auth-Role", "root"}, header{"x_auth_role", "root"}))
		if diff := cmp.Diff(map[string][]string{"authorization": {"Bearer " + noRole}, "x-auth-user": {"ann"}, "x-auth-method": {"jwt"}}, got.upstream); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a role that the policy does not tell", func(t *testing.T) {
		w := newWorld(t)
		doc := document(2, 2, signingKeys()[0])
		doc.Claims = []string{"user_id"}
		w.put(t, doc)
		on, _ := w.serve(t, Drain{})
		got := newEnvoy(t, on.GRPC.Addr().String()).send(t, get(bearer(raw), header{"X-Auth-Role", "root"}))
		if _, leaked := got.upstream["x-auth-role"]; leaked || got.upstream["x-auth-user"] == nil {
			t.Errorf("%v", got.upstream)
		}
	})
	t.Run("a hidden role of the client's, and none of the user's", func(t *testing.T) {
		e := newEnvoy(t, on.GRPC.Addr().String())
		e.hidden = []string{"x-auth-role"}
		got := e.send(t, get(bearer(mint(t, signingKeys()[0], func(c *token.Claims) { c.Custom = nil })), header{"X-Auth-Role", "root"}))
		if got.upstream["x-auth-user"] == nil || got.upstream["x-auth-role"] != nil {
			t.Errorf("%v", got.upstream)
		}
	})
	t.Run("headers that the proxy hides", func(t *testing.T) {
		e := newEnvoy(t, on.GRPC.Addr().String())
		e.hidden = []string{"x_auth_user", "x.auth.role", "x-auth-role"}
		got := e.send(t, get(bearer(raw), header{"X_Auth_User", "root"}, header{"X.Auth.Role", "root"}, header{"X-Auth-Role", "root"}))
		if got.upstream["x_auth_user"] != nil || got.upstream["x.auth.role"] != nil || got.upstream["x-auth-role"][0] != "admin" {
			t.Errorf("%v", got.upstream)
		}
	})
}

func TestEnvoyDeny(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	key, other := signingKeys()[0], signingKeys()[1]
	raw := mint(t, key)
	revokedSession := mint(t, key, func(c *token.Claims) { c.SessionID = "revoked-session" })
	revokedID := mint(t, key, func(c *token.Claims) { c.ID = "revoked-jti" })
	revokedUser := mint(t, key, func(c *token.Claims) { c.Subject = "mallory" })
	for i, e := range []revocation.Entry{
		{Kind: revocation.Session, Value: "revoked-session"}, {Kind: revocation.TokenID, Value: "revoked-jti"}, {Kind: revocation.User, Value: "mallory", Before: 1 << 40},
	} {
		e.Seq, e.Expires = uint64(i+1), time.Now().Add(time.Hour)
		check(t, w.feed.list.Apply(e))
	}
	tampered := otherEnd(raw)
	path := func(p string) func(*clientRequest, *envoy) { return func(r *clientRequest, _ *envoy) { r.path = p } }
	extension := func(m map[string]string) func(*clientRequest, *envoy) {
		return func(_ *clientRequest, e *envoy) { e.extensions = m }
	}
	none := func(*clientRequest, *envoy) {}
	cases := []struct {
		name    string
		headers []header
		change  func(*clientRequest, *envoy)
		status  int
		code    string
		reason  string
	}{
		{"nothing", nil, none, 401, "no_credential", "no_credential"},
		{"empty header", []header{{"Authorization", ""}}, none, 401, "no_credential", "no_credential"},
		{"Basic", []header{{"Authorization", "Basic YTpi"}}, none, 401, "no_credential", "no_credential"},
		{"Bearer alone", []header{{"Authorization", "Bearer"}}, none, 401, "invalid_token", "malformed_token"},
		{"Bearer and spaces", []header{{"Authorization", "Bearer   "}}, none, 401, "invalid_token", "malformed_token"},
		{"tab for a space", []header{{"Authorization", "Bearer\t" + raw}}, none, 401, "no_credential", "no_credential"},
		{"garbage", []header{bearer("garbage")}, none, 401, "invalid_token", "malformed_token"},
		{"tampered", []header{bearer(tampered)}, none, 401, "invalid_token", "bad_signature"},
		{"unknown key", []header{bearer(mint(t, other))}, none, 401, "invalid_token", "unknown_key"},
		{"expired", []header{bearer(mint(t, key, expired))}, none, 401, "expired", "expired"},
		{"foreign", []header{bearer(mint(t, key, func(c *token.Claims) { c.Issuer = "https://evil.test" }))}, none, 401, "invalid_token", "wrong_issuer"},
		{"other audience", []header{bearer(mint(t, key, func(c *token.Claims) { c.Audience = []string{"x"} }))}, none, 401, "invalid_token", "wrong_audience"},
		{"too long a life", []header{bearer(mint(t, key, func(c *token.Claims) { c.ExpiresAt = c.IssuedAt.Add(2 * time.Hour) }))}, none, 401, "invalid_token", "lifetime_too_long"},
		{"huge", []header{bearer(strings.Repeat("a", 9000))}, none, 401, "invalid_token", "too_large"},
		{"twice", []header{bearer(raw), bearer(raw)}, none, 401, "invalid_request", "multiple_credentials"},
		{"twice, raw", []header{bearer(raw), bearer(raw)}, func(_ *clientRequest, e *envoy) { e.raw = true }, 401, "invalid_request", "multiple_credentials"},
		{"good and Basic", []header{bearer(raw), {"Authorization", "Basic YTpi"}}, none, 401, "invalid_request", "multiple_credentials"},
		{"joined by the client", []header{{"Authorization", "Bearer " + raw + ", Bearer " + raw}}, none, 401, "invalid_request", "multiple_credentials"},
		{"revoked session", []header{bearer(revokedSession)}, none, 401, "revoked", "revoked"},
		{"revoked token", []header{bearer(revokedID)}, none, 401, "revoked", "revoked"},
		{"revoked user", []header{bearer(revokedUser)}, none, 401, "revoked", "revoked"},
		{"user not ASCII", []header{bearer(mint(t, key, func(c *token.Claims) { c.Subject = "Zoë" }))}, none, 403, "unusable_identity", "unusable_identity"},
		{"role with NUL", []header{bearer(mint(t, key, func(c *token.Claims) { c.Custom = map[string]string{"role": "a\x00"} }))}, none, 403, "unusable_identity", "unusable_identity"},
		{"no policy", []header{bearer(raw)}, extension(nil), 403, "no_policy", "no_policy"},
		{"unknown policy", []header{bearer(raw)}, extension(map[string]string{PolicyExtension: "shop/orders"}), 403, "no_policy", "no_policy"},
		{"policy from the client", []header{bearer(raw), {PolicyExtension, "-/default"}, {"X-Keyturn-Policy", "-/default"}}, extension(map[string]string{"policy": "-/default"}), 403, "no_policy", "no_policy"},
		{"CONNECT", []header{bearer(raw)}, func(r *clientRequest, _ *envoy) { r.method = "CONNECT" }, 403, "bad_request_target", "bad_request_target"},
		{"no method", []header{bearer(raw)}, func(r *clientRequest, _ *envoy) { r.method = "" }, 403, "bad_request_target", "bad_request_target"},
		{"star", []header{bearer(raw)}, path("*"), 403, "bad_request_target", "bad_request_target"},
		{"empty target", []header{bearer(raw)}, path(""), 403, "bad_request_target", "bad_request_target"},
		{"absolute target", []header{bearer(raw)}, path("http://evil.test/"), 403, "bad_request_target", "bad_request_target"},
		{"line break in the target", []header{bearer(raw)}, path("/a\nb"), 403, "bad_request_target", "bad_request_target"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newEnvoy(t, on.GRPC.Addr().String())
			r := get(append(c.headers, header{"X-Auth-User", "root"})...)
			c.change(&r, e)
			before := len(w.log.lines(t, "denied"))
			got := e.send(t, r)
			if got.upstream != nil {
				t.Fatalf("goes on: %v", got.upstream)
			}
			checkDenial(t, got.status, got.headers, got.body, c.status, c.code)
			lines := w.log.lines(t, "denied")
			if len(lines) != before+1 || lines[before]["reason"] != c.reason || lines[before]["decision"] != got.headers["X-Keyturn-Decision"] {
				t.Errorf("log: %v, want one line with %s", lines[before:], c.reason)
			}
		})
	}
	for _, part := range append(strings.Split(raw, "."), strings.Split(revokedSession, ".")...) {
		if len(part) > 20 && strings.Contains(w.log.String(), part[:20]) && !strings.HasPrefix(part, "eyJhbGciOi") {
			t.Error("the log holds a piece of a token")
		}
	}
	if strings.Contains(w.log.String(), "eyJ") || strings.Contains(w.log.String(), "id=1") {
		t.Error("the log holds a token or a query")
	}
}

// checkDenial holds a denial to its form, whichever protocol it came by.
func checkDenial(t *testing.T, status int, headers map[string]string, body string, wantStatus int, wantCode string) {
	t.Helper()
	var p problem
	check(t, json.Unmarshal([]byte(body), &p))
	if status != wantStatus || p.Status != wantStatus || string(p.Code) != wantCode || headers["X-Keyturn-Code"] != wantCode {
		t.Errorf("status %d, code %q, header %q, body %+v; want %d %s", status, p.Code, headers["X-Keyturn-Code"], p, wantStatus, wantCode)
	}
	if p.Decision == "" || p.Decision != headers["X-Keyturn-Decision"] || p.Title == "" || p.Detail == "" {
		t.Errorf("decision %q, header %q, %+v", p.Decision, headers["X-Keyturn-Decision"], p)
	}
	if headers["Content-Type"] != "application/problem+json" || headers["Cache-Control"] != "no-store" {
		t.Errorf("headers %v", headers)
	}
	for name := range headers {
		if isIdentity(name) {
			t.Errorf("a denial carries %s", name)
		}
	}
	challenge, given := headers["Www-Authenticate"]
	want := fmt.Sprintf(`Bearer realm=%q`, issuer)
	switch {
	case wantStatus != 401 && given:
		t.Errorf("a challenge with %d: %s", wantStatus, challenge)
	case wantStatus == 401 && wantCode == "no_credential" && challenge != want:
		t.Errorf("challenge %s, want %s", challenge, want)
	case wantStatus == 401 && wantCode == "invalid_request" && !strings.HasPrefix(challenge, want+`, error="invalid_request", error_description="`):
		t.Errorf("challenge %s", challenge)
	case wantStatus == 401 && (wantCode == "invalid_token" || wantCode == "expired" || wantCode == "revoked") && !strings.HasPrefix(challenge, want+`, error="invalid_token", error_description="`):
		t.Errorf("challenge %s", challenge)
	}
	if (wantStatus == 503) != (headers["Retry-After"] != "") {
		t.Errorf("Retry-After %q with %d", headers["Retry-After"], wantStatus)
	}
}

func TestEnvoyMalformedChecks(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	e := newEnvoy(t, on.GRPC.Addr().String())
	for name, r := range map[string]*auth.CheckRequest{
		"empty": {}, "no request": {Attributes: &auth.AttributeContext{}}, "no http": {Attributes: &auth.AttributeContext{Request: &auth.AttributeContext_Request{}}},
	} {
		answer, err := e.client.Check(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if out, err := apply(clientRequest{}, answer); err != nil || out.status != 403 {
			t.Errorf("%s: %+v %v", name, out, err)
		}
	}
}

func TestEnvoyDenialOfAGRPCRequest(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	got := newEnvoy(t, on.GRPC.Addr().String()).send(t, get(header{"Content-Type", "application/grpc+proto"}))
	if got.status != 401 || got.body != "" || got.headers["Content-Type"] != "" || got.headers["X-Keyturn-Code"] != "no_credential" {
		t.Errorf("%+v", got)
	}
}

func TestUntrustedPeer(t *testing.T) {
	w := newWorld(t)
	doc := document(2, 2, signingKeys()[0])
	doc.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	w.put(t, doc)
	on, _ := w.serve(t, Drain{})
	got := newEnvoy(t, on.GRPC.Addr().String()).send(t, get(bearer(mint(t, signingKeys()[0])), header{"X-Forwarded-For", "10.0.0.1"}))
	checkDenial(t, got.status, got.headers, got.body, 403, "untrusted_peer")
	if set := w.Status().KeySet; set != "shop/keys" {
		t.Errorf("key set %q", set)
	}
	if seen := w.Status().UntrustedPeer; seen != "127.0.0.1" {
		t.Errorf("status names %q", seen)
	}
	future := time.Now().Add(untrustedMemory + time.Second)
	w.now = func() time.Time { return future }
	if seen := w.Status().UntrustedPeer; seen != "" {
		t.Errorf("an old sighting is still named: %q", seen)
	}
}

func TestReadinessAndStaleness(t *testing.T) {
	key := signingKeys()[0]
	raw := mint(t, key)
	cases := []struct {
		name          string
		loaded, stale bool
		onStale       string
		status        int
		ready         bool
	}{
		{"fresh", true, false, snapshot.AllowUntilExpiry, 200, true},
		{"not loaded", false, false, snapshot.AllowUntilExpiry, 503, false},
		{"not loaded and stale", false, true, snapshot.AllowUntilExpiry, 503, false},
		{"stale", true, true, snapshot.AllowUntilExpiry, 200, true},
		{"stale by default", true, true, "", 200, true},
		{"stale and closed", true, true, snapshot.FailClosed, 503, true},
		{"fresh and closed", true, false, snapshot.FailClosed, 200, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			doc := document(2, 2, key)
			doc.OnStaleRevocation = c.onStale
			w.put(t, doc)
			w.feed.set(c.loaded, c.stale)
			on, _ := w.serve(t, Drain{})
			e := newEnvoy(t, on.GRPC.Addr().String())
			got := e.send(t, get(bearer(raw)))
			if got.status != c.status {
				t.Errorf("status %d", got.status)
			}
			if c.status == 503 {
				checkDenial(t, got.status, got.headers, got.body, 503, "unavailable")
				// FailClosed says 503, never 401, also to those without a token.
				if bare := e.send(t, get()); bare.status != 503 {
					t.Errorf("without a token: %d", bare.status)
				}
			}
			if (w.Ready() == nil) != c.ready {
				t.Errorf("ready: %v", w.Ready())
			}
		})
	}
}

func TestNoDocument(t *testing.T) {
	w := newWorld(t)
	w.mount = newMount(t)
	fresh, err := New(Config{Snapshot: w.mount.path(), Instance: "edge-1", Log: w.log.logger(), Now: time.Now, Revocations: w.revocationsOf()})
	check(t, err)
	w.Authorizer = fresh
	on, _ := w.serve(t, Drain{})
	e := newEnvoy(t, on.GRPC.Addr().String())
	if got := e.send(t, get(bearer(mint(t, signingKeys()[0])))); got.status != 503 {
		t.Errorf("status %d", got.status)
	}
	if w.Ready() == nil || w.Status().Revision != 0 || w.Status().KIDs == nil {
		t.Errorf("%v %+v", w.Ready(), w.Status())
	}
}

func TestPanicDenies(t *testing.T) {
	w := newWorld(t)
	w.feed.broken.Store(true)
	answer, err := checker{a: w.Authorizer}.Check(context.Background(), (&envoy{}).request(get()))
	if err != nil || answer.GetStatus().GetCode() != int32(codes.Unavailable) {
		t.Fatalf("%v %v", answer, err)
	}
	out, err := apply(get(), answer)
	if err != nil || out.status != 503 || out.upstream != nil {
		t.Errorf("%+v %v", out, err)
	}
	if lines := w.log.lines(t, "panic"); len(lines) != 1 || strings.Contains(w.log.String(), "SECRET") {
		t.Errorf("log: %s", w.log.String())
	}
}

func TestHealthService(t *testing.T) {
	w := newWorld(t)
	h := health{a: w.Authorizer}
	status := func() grpc_health_v1.HealthCheckResponse_ServingStatus {
		r, err := h.Check(t.Context(), nil)
		check(t, err)
		return r.GetStatus()
	}
	if status() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error("ready and not serving")
	}
	w.feed.set(false, false)
	if status() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Error("not loaded and serving")
	}
	w.feed.set(true, false)
	w.Drain()
	if status() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Error("draining and serving")
	}
}
