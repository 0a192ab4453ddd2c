package ingress_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/keyturn/keyturn/internal/policy"
)

// traefikDynamic is what matters of traefik.yaml.
type traefikDynamic struct {
	HTTP struct {
		Routers map[string]struct {
			Rule, Service string
			Middlewares   []string
			Priority      int
		}
		Middlewares map[string]struct {
			Headers     *struct{ CustomRequestHeaders map[string]string }
			ForwardAuth *struct {
				Address                                    string
				TrustForwardHeader, PreserveLocationHeader bool
				MaxResponseBodySize                        int
				AuthResponseHeaders, AuthRequestHeaders    []string
			}
		}
		Services map[string]any
	}
}

// No Traefik can be had from Debian or be built as a Go module; its file is read with its names only, and the authorizer
// is asked as Traefik was seen to ask.
func TestTraefikRecipe(t *testing.T) {
	text, err := os.ReadFile("traefik.yaml")
	check(t, err)
	var d traefikDynamic
	check(t, yaml.UnmarshalStrict(text, &d))
	application := d.HTTP.Routers["application"]
	if len(application.Middlewares) != 2 || d.HTTP.Routers["keyturn"].Middlewares != nil || d.HTTP.Routers["keyturn"].Priority <= application.Priority {
		t.Fatalf("%+v", d.HTTP.Routers)
	}
	cleared, authorized := d.HTTP.Middlewares[application.Middlewares[0]].Headers, d.HTTP.Middlewares[application.Middlewares[1]].ForwardAuth
	if cleared == nil || authorized == nil || authorized.TrustForwardHeader || !strings.HasSuffix(authorized.Address, "/authz/traefik/"+policy.DefaultPolicy) {
		t.Fatalf("clearing comes first, then the question: %+v", d.HTTP.Middlewares)
	}
	for _, name := range policy.IdentityHeaders {
		if value, there := cleared.CustomRequestHeaders[name]; !there || value != "" || !slices.Contains(authorized.AuthResponseHeaders, name) {
			t.Errorf("%s is not cleared, or not told", name)
		}
	}
	if authorized.AuthRequestHeaders != nil {
		t.Error("a list of headers hides other spellings from the authorizer")
	}
	static, err := os.ReadFile("traefik-static.yaml")
	check(t, err)
	if !strings.Contains(string(static), "aliasHeadersStrategy: delete") {
		t.Error("other spellings reach the application")
	}
}

// What Traefik's middleware was seen to send for a request that carries headers of every kind.
func TestTraefikRequests(t *testing.T) {
	f := &front{}
	f.authorize(t)
	f.at.listen = f.at.extAuthz
	good := "Authorization: " + f.bearer(t, "buyer")
	recorded := func(method, proto, uri string, more ...string) []string {
		return append([]string{
			"Accept-Encoding: gzip", "User-Agent: curl/8", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: app.example.test", "X-Forwarded-Method: " + method,
			"X-Forwarded-Port: 443", "X-Forwarded-Proto: " + proto, "X-Forwarded-Server: traefik-0", "X-Forwarded-Uri: " + uri, "X-Real-Ip: 192.0.2.1",
			"X-Original-Url: http://evil.test/open", "X-Original-Method: GET", "Expect: 100-continue",
		}, more...)
	}
	socket := []string{"Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"}
	cookie := "Cookie: __Host-keyturn-access=" + strings.TrimPrefix(good, "Authorization: Bearer ")
	for _, row := range []struct {
		name    string
		headers []string
		status  int
		code    string
	}{
		{"allowed", recorded("GET", "https", "/orders?id=1", good), 200, ""},
		{"nobody", recorded("GET", "https", "/orders"), 401, "no_credential"},
		{"roles", recorded("PUT", "https", "/admin/x", good), 403, "insufficient_role"},
		{"anonymous", recorded("GET", "https", "/open/x"), 200, ""},
		{"two readings", recorded("GET", "https", "/open/../admin"), 403, "ambiguous_path"},
		{"another spelling", recorded("GET", "https", "/open", "X_Auth_User: root"), 403, "spoofed_identity"},
		{"handshake", append(recorded("GET", "wss", "/socket", good), socket...), 200, ""},
		{"handshake of our page", append(recorded("GET", "wss", "/socket", cookie, "Origin: https://app.example.test"), socket...), 200, ""},
		{"handshake of another page", recorded("GET", "wss", "/socket", cookie, "Origin: https://evil.test"), 403, "cross_site"},
		{"handshake in clear", recorded("GET", "ws", "/socket", cookie, "Origin: https://app.example.test"), 403, "cross_site"},
		{"unknown scheme", recorded("GET", "h2c", "/", good), 403, "bad_request_target"},
		{"CONNECT", recorded("CONNECT", "https", "/", good), 403, "bad_request_target"},
		{"two addresses", recorded("GET", "https", "/open", "X-Forwarded-Uri: /admin", good), 403, "missing_dialect_header"},
		{"page", recorded("GET", "https", "/page", "Sec-Fetch-Mode: navigate"), http.StatusFound, "no_credential"},
	} {
		got := f.ask(t, "GET /authz/traefik/shop/web", row.headers...)
		if got.status != row.status || got.header.Get("X-Keyturn-Code") != row.code {
			t.Errorf("%s: %d %s", row.name, got.status, got.body)
		}
		if given := len(got.header.Values("X-Auth-User")); (given == 1) != (row.status == 200) {
			t.Errorf("%s: identity headers: %v", row.name, got.header)
		}
	}
}
