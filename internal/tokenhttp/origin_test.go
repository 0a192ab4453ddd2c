package tokenhttp

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestCrossSite(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	proxied := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.com"}
	with := func(headers ...string) []string { return append(headers, proxied...) }
	for _, row := range []struct {
		name    string
		headers []string
		cookies bool // whether it passes with cookies
		program bool // whether a login without any passes
	}{
		{"own page", with("Sec-Fetch-Site", "same-origin"), true, true},
		{"own page, both headers", with("Sec-Fetch-Site", "same-origin", "Origin", ownOrigin), true, true},
		{"nobody's page", with("Sec-Fetch-Site", "none"), true, true},
		{"old browser, own page", with("Origin", ownOrigin), true, true},
		{"friend", with("Sec-Fetch-Site", "same-site", "Origin", friendOrigin), true, true},
		{"friend, old browser", with("Origin", friendOrigin), true, true},
		{"friend far away", with("Sec-Fetch-Site", "cross-site", "Origin", friendOrigin), true, true},
		{"a program", proxied, false, true},
		{"other page of the site", with("Sec-Fetch-Site", "same-site", "Origin", "https://www.example.com"), false, false},
		{"other site", with("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"), false, false},
		{"other site that hides its origin", with("Sec-Fetch-Site", "cross-site"), false, false},
		{"other site, old browser", with("Origin", "https://evil.test"), false, false},
		{"sandboxed frame", with("Origin", "null"), false, false},
		{"sandboxed frame, new browser", with("Sec-Fetch-Site", "cross-site", "Origin", "null"), false, false},
		{"own origin by http", with("Origin", "http://app.example.com"), false, false},
		{"own origin with a port", with("Origin", ownOrigin+":8443"), false, false},
		{"host that only begins so", with("Origin", ownOrigin+".evil.test"), false, false},
		{"friend in another case", with("Origin", "https://FRIEND.example.com"), false, false},
		{"below the friend", with("Origin", "https://x.friend.example.com"), false, false},
		{"two origins", with("Origin", ownOrigin, "Origin", friendOrigin), false, false},
		{"two sites", with("Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"), false, false},
		{"unknown site", with("Sec-Fetch-Site", "same-planet"), false, false},
		{"a referer is no origin", with("Referer", ownOrigin+"/", "Sec-Fetch-Site", "cross-site"), false, false},
		{"hosts that disagree", []string{"Origin", ownOrigin, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.com", "X-Forwarded-Host", "evil.test"}, false, false},
		{"hosts in one line", []string{"Origin", ownOrigin, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.com, evil.test"}, false, false},
		{"no scheme told", []string{"Origin", ownOrigin, "X-Forwarded-Host", "app.example.com"}, false, false},
		{"odd scheme", []string{"Origin", ownOrigin, "X-Forwarded-Proto", "wss", "X-Forwarded-Host", "app.example.com"}, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			check := func(what string, a answer, passes bool, code string) {
				t.Helper()
				if passes && (a.status != http.StatusOK) || !passes && (a.status != http.StatusForbidden || a.text("code") != code) {
					t.Errorf("%s: %d %s", what, a.status, a.raw)
				}
				if !passes && len(a.header.Values("Set-Cookie")) > 0 {
					t.Errorf("%s: sets cookies", what)
				}
			}
			pass := object("username", "alice", "password", canary)
			check("login of a program", r.do(http.MethodPost, "/auth/login", pass, row.headers...), row.program, CodeCrossSite)
			check("login with cookies", r.do(http.MethodPost, "/auth/login", pass, append([]string{"Cookie", refreshCookie + "=x"}, row.headers...)...), row.cookies, CodeCrossSite)
			j := r.browserLogin()
			line := []string{"Cookie", j.line()}
			a := r.do(http.MethodPost, "/auth/refresh", "{}", append(line, row.headers...)...)
			check("refresh", a, row.cookies, CodeCrossSite)
			j.keep(a)
			line = []string{"Cookie", j.line()}
			check("logout", r.do(http.MethodPost, "/auth/logout", "", append(line, row.headers...)...), row.cookies, CodeCrossSite)
			body := r.login("alice", canary)
			check("refresh by body", r.do(http.MethodPost, "/auth/refresh", object("refresh_token", body.text("refresh_token")), row.headers...), true, "")
		})
	}
}

func TestTarget(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	doc := r.document.Load()
	for _, row := range []struct {
		name, peer, host string
		tls              bool
		headers          http.Header
		want             string
	}{
		{"direct", "203.0.113.1:1", "App.example.com:80", false, nil, "http://app.example.com"},
		{"direct by TLS", "203.0.113.1:1", "app.example.com:443", true, nil, ownOrigin},
		{"a stranger's word", "203.0.113.1:1", "app.example.com", false, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.test"}}, "http://app.example.com"},
		{"a proxy's word", "127.0.0.1:1", "10.0.0.1:8080", false, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example.com:8443"}}, ownOrigin + ":8443"},
		{"a proxy that passes the host", "127.0.0.1:1", "app.example.com", false, http.Header{"X-Forwarded-Proto": {"https"}}, ownOrigin},
		{"two words", "127.0.0.1:1", "app.example.com", false, http.Header{"X-Forwarded-Proto": {"https", "http"}}, ""},
	} {
		request := httptest.NewRequest(http.MethodPost, "/", nil)
		request.RemoteAddr, request.Host = row.peer, row.host
		if row.tls {
			request.TLS = &tls.ConnectionState{}
		}
		if row.headers != nil {
			request.Header = row.headers
		}
		if got := doc.target(request); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestBrowserOfADocument(t *testing.T) {
	key := newKey(t)
	for _, row := range []struct {
		name   string
		change func(*snapshot.Issuer)
		refuse string
	}{
		{"all of it", func(d *snapshot.Issuer) {
			d.Browser = snapshot.Browser{Cookies: "Optional", LoginURL: "https://login.example.com/start?x=1", AllowedOrigins: []string{friendOrigin, "http://localhost:3000"}}
			d.FailureLimit = snapshot.RateLimit{Limit: 100, Window: d.LoginLimit.Window}
		}, ""},
		{"login on loopback", func(d *snapshot.Issuer) { d.Browser.LoginURL = "http://127.0.0.1:8080/login" }, ""},
		{"mode", func(d *snapshot.Issuer) { d.Browser.Cookies = "optional" }, "browser.cookies"},
		{"wildcard", func(d *snapshot.Issuer) { d.Browser.AllowedOrigins = []string{"*"} }, "allowedOrigins"},
		{"wildcard host", func(d *snapshot.Issuer) { d.Browser.AllowedOrigins = []string{"https://*.example.com"} }, "allowedOrigins"},
		{"null", func(d *snapshot.Issuer) { d.Browser.AllowedOrigins = []string{"null"} }, "allowedOrigins"},
		{"path", func(d *snapshot.Issuer) { d.Browser.AllowedOrigins = []string{friendOrigin + "/"} }, "allowedOrigins"},
		{"too many", func(d *snapshot.Issuer) { d.Browser.AllowedOrigins = make([]string, 65) }, "allowedOrigins"},
		{"login by http", func(d *snapshot.Issuer) { d.Browser.LoginURL = "http://login.example.com/" }, "loginURL"},
		{"login by script", func(d *snapshot.Issuer) { d.Browser.LoginURL = "javascript:alert(1)" }, "loginURL"},
		{"login elsewhere", func(d *snapshot.Issuer) { d.Browser.LoginURL = "//evil.test/" }, "loginURL"},
		{"login with a user", func(d *snapshot.Issuer) { d.Browser.LoginURL = "https://u:p@login.example.com/" }, "loginURL"},
		{"login with a fragment", func(d *snapshot.Issuer) { d.Browser.LoginURL = "/login#x" }, "loginURL"},
		{"failures without a window", func(d *snapshot.Issuer) { d.FailureLimit.Limit = 5 }, "loginFailureLimit"},
		{"failures without a limit", func(d *snapshot.Issuer) { d.FailureLimit.Window = d.LoginLimit.Window }, "loginFailureLimit"},
		{"too many failures", func(d *snapshot.Issuer) {
			d.FailureLimit = snapshot.RateLimit{Limit: 10_001, Window: d.LoginLimit.Window}
		}, "loginFailureLimit"},
	} {
		doc := issuerDocument(t, key)
		row.change(&doc)
		_, err := build(doc, nil)
		if (err != nil) != (row.refuse != "") || err != nil && !strings.Contains(err.Error(), row.refuse) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestCORS(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	preflight := func(path, origin string) answer {
		return r.do(http.MethodOptions, path, "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,authorization")
	}
	for _, path := range []string{"/auth/login", "/auth/refresh", "/auth/logout"} {
		a := preflight(path, friendOrigin)
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": friendOrigin, "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "POST",
			"Access-Control-Allow-Headers": "authorization, content-type", "Access-Control-Max-Age": "600", "Vary": "Origin",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", path, name, got, want)
			}
		}
		if a.status != http.StatusNoContent || a.raw != "" {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	none := func(what string, a answer) {
		t.Helper()
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s: %s", what, name, a.header.Get(name))
			}
		}
		if a.header.Get("Vary") != "Origin" {
			t.Errorf("%s: Vary %q", what, a.header.Get("Vary"))
		}
	}
	for _, origin := range []string{"https://evil.test", "null", "*", friendOrigin + ".evil.test", friendOrigin + "/", "http://friend.example.com", "https://FRIEND.example.com", friendOrigin + ", https://evil.test", ownOrigin} {
		a := preflight("/auth/login", origin)
		none(origin, a)
		r.want(a, http.StatusMethodNotAllowed, CodeMethodNotAllowed)
	}
	none("two origins", r.do(http.MethodOptions, "/auth/login", "", "Origin", friendOrigin, "Origin", "https://evil.test", "Access-Control-Request-Method", "POST"))
	none("no origin", r.login("alice", canary))
	r.want(r.do(http.MethodOptions, "/auth/nothing", "", "Origin", friendOrigin, "Access-Control-Request-Method", "POST"), http.StatusNotFound, CodeNotFound)
	r.want(r.do(http.MethodOptions, "/auth/login", "", "Origin", friendOrigin), http.StatusMethodNotAllowed, CodeMethodNotAllowed)
	// Errors can be read too.
	a := r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", "wrong"), "Origin", friendOrigin, "Sec-Fetch-Site", "cross-site")
	r.want(a, http.StatusUnauthorized, CodeInvalidCredentials)
	if a.header.Get("Access-Control-Allow-Origin") != friendOrigin || a.header.Get("Access-Control-Expose-Headers") != "RateLimit, RateLimit-Policy, Retry-After, Deprecation, Sunset, Link" {
		t.Errorf("%v", a.header)
	}
	if a := r.do(http.MethodGet, "/.well-known/jwks.json", "", "Origin", "https://anybody.test"); a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("jwks: %v", a.header)
	}

	doc := r.issuer
	doc.Browser.Cookies = snapshot.CookiesDisabled
	r.use(doc)
	if a := preflight("/auth/login", friendOrigin); a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("without cookies: %d %v", a.status, a.header)
	}
	doc.Browser.AllowedOrigins = nil
	r.use(doc)
	if a := preflight("/auth/login", friendOrigin); a.status != http.StatusMethodNotAllowed || a.header.Get("Vary") != "" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without a list: %d %v", a.status, a.header)
	}
}
