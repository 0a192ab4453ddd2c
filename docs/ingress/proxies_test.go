package ingress_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/token"
)

// Every proxy, by its recipe, with a real authorizer: what the client gets, and what the application.
func TestProxies(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			f := p.put(t, "")
			t.Run("decisions", f.testDecisions)
			t.Run("identity", f.testIdentity)
			t.Run("targets", f.testTargets)
			t.Run("announcements", f.testAnnouncements)
			t.Run("websockets", f.testWebSockets)
			t.Run("connections", f.testConnections)
			t.Run("sizes", f.testSizes)
			t.Run("long headers", f.testLongHeaders)
		})
	}
}

func (f *front) testDecisions(t *testing.T) {
	buyer, admin := "Authorization: "+f.bearer(t, "buyer"), "Authorization: "+f.bearer(t, "admin")
	expired := "Authorization: " + f.bearer(t, "buyer", func(c *token.Claims) {
		c.IssuedAt, c.ExpiresAt = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
	})
	for _, row := range []struct {
		line    string
		headers []string
		status  int
		want    string // in the body, or in a header
	}{
		{"GET /", []string{buyer}, 200, "ann|buyer|jwt|"},
		{"POST /orders?id=1", []string{buyer, "Content-Length: 4\r\n\r\nbody"}, 200, "ann|buyer|jwt|body"},
		{"GET /admin/x", []string{admin}, 200, "ann|admin|jwt|"},
		{"GET /open/x", nil, 200, "|||"},
		{"GET /open/x", []string{buyer}, 200, "ann|buyer|jwt|"},
		{"GET /", []string{"Cookie: connect.sid=good"}, 200, "ann|buyer|session|"},
		{"GET /", nil, 401, "no_credential"},
		{"GET /", []string{"Authorization: Bearer garbage"}, 401, "invalid_token"},
		{"GET /", []string{expired}, 401, "expired"},
		{"GET /open/x", []string{expired}, 401, "expired"},
		{"GET /admin/x", []string{buyer}, 403, "insufficient_role"},
		{"GET /", []string{"Cookie: connect.sid=down"}, 503, "legacy_unavailable"},
		{"GET /page?a=b", []string{"Sec-Fetch-Mode: navigate"}, 302, "/auth/continue?return_to="},
		{"GET /auth/continue", nil, 200, "token service: /auth/continue"},
		{"GET /.well-known/jwks.json", nil, 200, "token service"},
	} {
		before := f.decisions(t)
		got := f.ask(t, row.line, row.headers...)
		forwarded := len(f.application.take())
		if got.status != row.status || !strings.Contains(got.body+got.header.Get("Location"), row.want) {
			t.Errorf("%s %.40q: %d %s %v", row.line, row.headers, got.status, got.body, got.header)
		}
		ours := strings.HasPrefix(row.want, "token service")
		if want := row.status == 200 && !ours; (forwarded > 0) != want || forwarded > 1 {
			t.Errorf("%s %.40q: the application is asked %d times", row.line, row.headers, forwarded)
		}
		if asked := f.decisions(t) - before; !ours && asked != 1 || ours && asked != 0 {
			t.Errorf("%s %.40q: %d decisions", row.line, row.headers, asked)
		}
		for name := range got.header {
			if strings.HasPrefix(name, "X-Auth-") {
				t.Errorf("%s: the client gets %s", row.line, name)
			}
		}
		switch row.status {
		case 403:
			if challenge := got.header.Values("WWW-Authenticate"); row.want == "insufficient_role" && (len(challenge) != 1 || !strings.Contains(challenge[0], `error="insufficient_scope"`)) {
				t.Errorf("%s: %q", row.line, challenge)
			}
		case 401:
			if challenge := got.header.Values("WWW-Authenticate"); len(challenge) != 1 || !strings.HasPrefix(challenge[0], `Bearer realm="https://id.example.test"`) {
				t.Errorf("%s: %q", row.line, challenge)
			}
		case 503:
			if got.header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", row.line)
			}
		}
		if row.status >= 400 && got.header.Get("X-Keyturn-Decision") == "" {
			t.Errorf("%s: no decision id: %v", row.line, got.header)
		}
	}
}

// What a client says of itself never reaches the application.
func (f *front) testIdentity(t *testing.T) {
	good := "Authorization: " + f.bearer(t, "buyer")
	for _, name := range []string{
		"X-Auth-User", "x-auth-user", "X-AUTH-ROLE", "X-Auth-Method", "X_Auth_User", "x_auth_role", "X.Auth.User", "X-Auth_User", "X_Auth-Method", "X.Auth-Role", "X~Auth~User",
	} {
		for _, line := range []string{"GET /", "GET /open/x"} {
			for _, headers := range [][]string{{name + ": root"}, {name + ": root", name + ": root2", good}, {good, "Connection: " + name, name + ": root"}} {
				got := f.ask(t, line, headers...)
				for _, r := range f.application.take() {
					if listed := strings.ToLower(strings.Join(r.Header["Connection"], ",")); strings.Contains(listed, "auth") {
						t.Errorf("%s %.60q: the next hop is told to drop %s", line, headers, listed)
					}
					for seen, values := range r.Header {
						if strings.Contains(strings.Join(values, ","), "root") {
							t.Errorf("%s %.60q: the application gets %s: %q", line, headers, seen, values)
						}
					}
				}
				if got.status != 200 && got.status != 400 && got.status != 401 && got.status != 403 {
					t.Errorf("%s %.60q: %d", line, headers, got.status)
				}
				if strings.Contains(got.body, "root") || got.status == 200 && len(headers) > 1 && !strings.HasPrefix(got.body, "ann|buyer|jwt") {
					t.Errorf("%s %.60q: %s", line, headers, got.body)
				}
			}
		}
	}
	if got := f.ask(t, "GET /", good, good); got.status != 401 && got.status != 400 {
		t.Errorf("two credentials: %d", got.status)
	}
	if got := f.ask(t, "GET /", "X-Auth-User : root", good); got.status == 200 && strings.Contains(got.body, "root") {
		t.Errorf("a space before the colon: %d %s", got.status, got.body)
	}
	f.application.take()
}

// What another proxy would send, a client may send too. Paths with two readings are refused.
func (f *front) testTargets(t *testing.T) {
	buyer := "Authorization: " + f.bearer(t, "buyer")
	lies := []string{
		"X-Original-URL: http://app.example.test/open", "X-Original-URI: /open", "X-Original-Method: GET", "X-Forwarded-Uri: /open", "X-Forwarded-Method: GET",
		"X-Forwarded-Host: other.test", "X-Forwarded-Proto: https", "X-Rewrite-URL: /open", "X-Forwarded-Prefix: /open", "X_Forwarded_Uri: /open", "X-Envoy-Original-Path: /open",
		"Forwarded: for=1.2.3.4;host=other.test", "X-Keyturn-Policy: -/default", "X-HTTP-Method-Override: GET",
	}
	for _, lie := range append(lies, strings.Join(lies, "\r\n")) {
		if got := f.ask(t, "GET /admin/x", lie, buyer); got.status != 403 && got.status != 400 {
			t.Errorf("%.60q: %d %s", lie, got.status, got.body)
		}
		if got := f.ask(t, "GET /admin/x", lie); got.status == 200 {
			t.Errorf("%.60q, nobody: %d %s", lie, got.status, got.body)
		}
	}
	for _, target := range []string{
		"/open/../admin/x", "/open/%2e%2e/admin/x", "/open/..%2fadmin", "/open%2f..%2fadmin", "//admin/x", "/open/..;/admin/x", "/open;/../admin", "/open\\..\\admin",
		"/open/%5c../admin", "/open/%252e%252e/admin", "/open/%00", "/open/%zz", "/open/\xe4", "/open/.%2e/admin", "/open/#/../../admin", "/open/%c0%af../admin",
		"http://other.test/admin/x", "http://app.example.test/admin/x", "*", "", "admin/x", "/%61dmin/x", "/admin", "/admin/", "/admin?/open", "/./admin/x",
	} {
		if got := f.ask(t, "GET "+target, buyer); got.status == 200 || got.status >= 500 {
			t.Errorf("%q: %d %s", target, got.status, got.body)
		}
	}
	for _, line := range []string{"CONNECT app.example.test:443", "CONNECT /open", "OPTIONS *", "GET * ", "get /admin/x", "PRI *"} {
		f.ask(t, line, buyer)
	}
	f.send(t, "GET /admin/x HTTP/1.1\r\n"+buyer+"\r\n\r\n", "GET")
	f.send(t, "GET /admin/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n"+buyer+"\r\n\r\n", "GET")
	f.send(t, "GET /admin/x HTTP/1.0\r\n"+buyer+"\r\n\r\n", "GET")
	f.send(t, "GET /admin/x\r\n", "GET")
	for _, r := range f.application.take() {
		t.Errorf("the application is asked for %s %s %v", r.Method, r.RequestURI, r.Header)
	}
}

func (f *front) testAnnouncements(t *testing.T) {
	for _, row := range []struct {
		name    string
		headers []string
		told    bool
	}{
		{"a session", []string{"Cookie: connect.sid=good"}, true},
		{"a token", []string{"Authorization: " + f.bearer(t, "buyer")}, false},
		{"nobody", nil, false},
	} {
		h := f.ask(t, "GET /", row.headers...).header
		if told := h.Get("Deprecation") == "@1767323045" && h.Get("Sunset") == "Tue, 01 Jan 2199 00:00:00 GMT" && strings.Contains(strings.Join(h.Values("Link"), ","), "https://example.test/move"); told != row.told ||
			!row.told && h.Get("Deprecation")+h.Get("Sunset")+h.Get("Link") != "" {
			t.Errorf("%s: %v", row.name, h)
		}
	}
	f.application.take()
}

func (f *front) testWebSockets(t *testing.T) {
	handshake := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	if got := f.ask(t, "GET /socket", handshake...); got.status != 401 || len(f.application.take()) != 0 {
		t.Errorf("nobody: %d", got.status)
	}
	bearer := f.bearer(t, "buyer")
	if got := f.ask(t, "GET /socket", append(handshake, "Authorization: "+bearer)...); got.status != 101 || got.body != "ping" {
		t.Errorf("a token: %d %q", got.status, got.body)
	}
	if seen := f.application.take(); len(seen) != 1 || seen[0].Header.Get("X-Auth-User") != "ann" {
		t.Errorf("the application: %v", seen)
	}
	cookie := "Cookie: __Host-keyturn-access=" + strings.TrimPrefix(bearer, "Bearer ")
	if got := f.ask(t, "GET /socket", append(handshake, cookie, "Origin: https://evil.test")...); got.status != 403 || len(f.application.take()) != 0 {
		t.Errorf("another site's page: %d", got.status)
	}
	if got := f.ask(t, "GET /socket", append(handshake, cookie, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: websocket")...); got.status != 101 {
		t.Errorf("a page of ours: %d %s", got.status, got.body)
	}
	f.application.take()
}

// One connection, several requests: each is decided.
func (f *front) testConnections(t *testing.T) {
	good := "Authorization: " + f.bearer(t, "buyer")
	before := f.decisions(t)
	got := f.send(t, request("GET /1", good)+request("GET /2")+request("GET /3", good)+request("GET /4", "Authorization: Bearer garbage"), "GET", "GET", "GET", "GET")
	if got[0].status != 200 || got[1].status != 401 {
		t.Errorf("%d %d", got[0].status, got[1].status)
	}
	for i, want := range []int{200, 401, 200, 401} {
		if got[i].status != want && got[i].status != 0 { // a proxy may close after a denial
			t.Errorf("request %d: %d", i, got[i].status)
		}
	}
	for _, r := range f.application.take() {
		if r.URL.Path != "/1" && r.URL.Path != "/3" {
			t.Errorf("the application is asked for %s", r.URL.Path)
		}
	}
	if n := f.decisions(t) - before; n < 2 || n > 4 {
		t.Errorf("%d decisions", n)
	}
}

// Whatever the size, nothing passes that was not decided.
func (f *front) testSizes(t *testing.T) {
	good := "Authorization: " + f.bearer(t, "buyer")
	for _, size := range []int{4 << 10, 60 << 10} {
		got := f.ask(t, "GET /", good, "X-Pad: "+strings.Repeat("x", size))
		if got.status == 200 && !strings.HasPrefix(got.body, "ann|buyer|jwt") {
			t.Errorf("%d bytes: %d %s", size, got.status, got.body)
		}
		if size < 8<<10 && got.status != 200 {
			t.Errorf("%d bytes: %d", size, got.status)
		}
		if got = f.ask(t, "GET /", "X-Auth-User: root", "Authorization: Bearer "+strings.Repeat("x", size)); got.status == 200 {
			t.Errorf("a token of %d bytes: %d %s", size, got.status, got.body)
		}
		if got = f.ask(t, "GET /", "Cookie: a="+strings.Repeat("x", size)); got.status == 200 {
			t.Errorf("a cookie of %d bytes: %d %s", size, got.status, got.body)
		}
	}
	f.application.take()
}
