package tokenhttp

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

const (
	ownOrigin    = "https://app.example.com"
	friendOrigin = "https://friend.example.com"
)

// newCookieRig is a rig with cookies, behind a proxy that ends TLS.
func newCookieRig(t *testing.T, mode string) *rig {
	t.Helper()
	r := newRig(t)
	doc := r.issuer
	doc.Browser = snapshot.Browser{Cookies: mode, LoginURL: "/login?theme=dark", AllowedOrigins: []string{friendOrigin}}
	doc.LoginLimit.Limit = 10_000
	r.use(doc)
	return r
}

// jar is what a browser keeps.
type jar struct {
	*rig
	access, refresh string
}

// keep takes the cookies of an answer, as strictly as a browser.
func (j *jar) keep(a answer) {
	j.Helper()
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			j.Fatal(err)
		}
		value := c.Value
		if c.MaxAge < 0 {
			value = ""
		}
		if !c.Secure || !c.HttpOnly || c.Domain != "" || c.MaxAge == 0 {
			j.Errorf("cookie %s: %+v", c.Name, c)
		}
		switch {
		case c.Name == snapshot.AccessCookie && c.Path == "/" && c.SameSite == http.SameSiteLaxMode:
			j.access = value
		case c.Name == "__Secure-keyturn-refresh" && c.Path == "/auth/" && c.SameSite == http.SameSiteStrictMode:
			j.refresh = value
		default:
			j.Errorf("cookie %+v", c)
		}
	}
	if strings.Contains(a.raw, "ktr_") || strings.Contains(a.raw, "eyJ") || strings.Contains(a.raw, "_token\":") {
		j.Errorf("the body has a token: %s", a.raw)
	}
}

func (j *jar) line() string {
	var all []string
	if j.access != "" {
		all = append(all, snapshot.AccessCookie+"="+j.access)
	}
	if j.refresh != "" {
		all = append(all, refreshCookie+"="+j.refresh)
	}
	return strings.Join(all, "; ")
}

// post is what the own page's script sends.
func (j *jar) post(path, body string, headers ...string) answer {
	j.Helper()
	a := j.do(http.MethodPost, path, body, append([]string{"Cookie", j.line(), "Sec-Fetch-Site", "same-origin"}, headers...)...)
	j.keep(a)
	return a
}

func (r *rig) browserLogin() *jar {
	r.Helper()
	j := &jar{rig: r}
	r.want(j.post("/auth/login", object("username", "alice", "password", canary, "delivery", "cookie")), http.StatusOK, "")
	if j.access == "" || j.refresh == "" {
		r.Fatal("no cookies")
	}
	return j
}

func TestCookieJourney(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	j := &jar{rig: r}
	a := j.post("/auth/login", object("username", "alice", "password", canary, "delivery", "cookie"))
	r.want(a, http.StatusOK, "")
	if a.text("token_type") != "cookie" || a.body["expires_in"] != float64(900) || a.body["refresh_expires_in"] != float64(168*3600) || len(a.body) != 3 {
		t.Errorf("body %s", a.raw)
	}
	lines := strings.Join(a.header.Values("Set-Cookie"), "\n")
	for _, want := range []string{"Max-Age=900; HttpOnly; Secure; SameSite=Lax", "Path=/auth/; Max-Age=604800; HttpOnly; Secure; SameSite=Strict"} {
		if !strings.Contains(lines, want) {
			t.Errorf("no %s in\n%s", want, lines)
		}
	}
	sid := r.claims(j.access).SessionID
	first := j.refresh
	r.clock.advance(10 * time.Minute)
	r.want(j.post("/auth/refresh", ""), http.StatusOK, "")
	r.want(j.post("/auth/refresh", "{}"), http.StatusOK, "")
	if r.claims(j.access).SessionID != sid || j.refresh == first {
		t.Error("not the same session, or the same token")
	}
	// One that came by body is answered by body, whatever the mode.
	byBody := r.refresh(j.refresh)
	r.want(byBody, http.StatusOK, "")
	if byBody.text("refresh_token") == "" || len(byBody.header.Values("Set-Cookie")) != 0 {
		t.Errorf("by body: %v %s", byBody.header, byBody.raw)
	}
	j.refresh = byBody.text("refresh_token")

	out := j.post("/auth/logout", "")
	r.want(out, http.StatusOK, "")
	if j.access != "" || j.refresh != "" || out.header.Get("Clear-Site-Data") != `"cache"` || out.body["propagated"] != true {
		t.Errorf("logout: %v %s", out.header, out.raw)
	}
	r.want(r.refresh(byBody.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	if log := r.log.String(); !strings.Contains(log, `"msg":"logout"`) || !strings.Contains(log, sid) {
		t.Error("no audit of the logout")
	}
}

func TestCookieRefusals(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	gone := func(j *jar) bool { return j.access == "" && j.refresh == "" }
	for _, row := range []struct {
		name    string
		act     func(j *jar) answer
		status  int
		code    string
		cleared bool
	}{
		{"both at once", func(j *jar) answer { return j.post("/auth/refresh", object("refresh_token", j.refresh)) }, 400, CodeInvalidRequest, false},
		{"none at all", func(j *jar) answer {
			return (&jar{rig: j.rig}).post("/auth/refresh", "{}")
		}, 401, CodeNoCredential, false},
		{"the access cookie alone", func(j *jar) answer { j.refresh = ""; return j.post("/auth/refresh", "{}") }, 401, CodeNoCredential, false},
		{"garbage", func(j *jar) answer { j.refresh = "garbage"; return j.post("/auth/refresh", "{}") }, 401, CodeRefreshInvalid, true},
		{"unknown", func(j *jar) answer {
			j.refresh = store.NewToken().Text().Reveal()
			return j.post("/auth/refresh", "{}")
		}, 401, CodeRefreshInvalid, true},
		{"expired", func(j *jar) answer { j.clock.advance(200 * time.Hour); return j.post("/auth/refresh", "{}") }, 401, CodeRefreshExpired, true},
		{"used before", func(j *jar) answer {
			old := *j
			j.post("/auth/refresh", "{}")
			j.clock.advance(time.Minute)
			j.refresh = old.refresh
			return j.post("/auth/refresh", "{}")
		}, 401, CodeRefreshReused, true},
		{"logged out elsewhere", func(j *jar) answer { j.logout("refresh_token", j.refresh); return j.post("/auth/refresh", "{}") }, 401, CodeSessionRevoked, true},
		{"not ready", func(j *jar) answer {
			doc := j.document.Swap(nil)
			defer j.document.Store(doc)
			return j.post("/auth/refresh", "{}")
		}, 503, CodeNotReady, false},
		{"form", func(j *jar) answer {
			return j.post("/auth/refresh", "", "Content-Type", "application/x-www-form-urlencoded")
		}, 415, CodeUnsupportedMedia, false},
		{"text", func(j *jar) answer {
			return j.post("/auth/refresh", "{}", "Content-Type", "-", "Content-Type", "text/plain")
		}, 415, CodeUnsupportedMedia, false},
		{"logout by a form", func(j *jar) answer {
			return j.post("/auth/logout", "", "Content-Type", "application/x-www-form-urlencoded")
		}, 415, CodeUnsupportedMedia, false},
		{"logout with garbage", func(j *jar) answer { j.access, j.refresh = "garbage", "garbage"; return j.post("/auth/logout", "") }, 401, CodeInvalidToken, true},
		{"logout with nothing", func(j *jar) answer { return (&jar{rig: j.rig}).post("/auth/logout", "") }, 400, CodeInvalidRequest, false},
		{"logout with the access cookie alone", func(j *jar) answer { j.refresh = ""; return j.post("/auth/logout", "") }, 200, "", true},
		{"logout with a refresh cookie that nobody knows", func(j *jar) answer {
			j.access, j.refresh = "", store.NewToken().Text().Reveal()
			return j.post("/auth/logout", "")
		}, 200, "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			j := r.browserLogin()
			a := row.act(j)
			(&rig{T: t}).want(a, row.status, row.code)
			if cleared := len(a.header.Values("Set-Cookie")) == 2 && gone(j); cleared != row.cleared {
				t.Errorf("cookies cleared: %t; %q", cleared, a.header.Values("Set-Cookie"))
			}
			if (a.header.Get("Clear-Site-Data") != "") != (row.status == 200) {
				t.Errorf("Clear-Site-Data %q with %d", a.header.Get("Clear-Site-Data"), a.status)
			}
		})
	}
}

func TestHostileCookies(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	j, other := r.browserLogin(), r.browserLogin()
	for _, row := range []struct {
		name, line string
		status     int
		code       string
	}{
		{"twice", refreshCookie + "=" + j.refresh + "; " + refreshCookie + "=" + j.refresh, 400, CodeInvalidRequest},
		{"of two sessions", refreshCookie + "=" + j.refresh + "; " + refreshCookie + "=" + other.refresh, 400, CodeInvalidRequest},
		{"one empty", refreshCookie + "=; " + refreshCookie + "=" + j.refresh, 400, CodeInvalidRequest},
		{"access cookie twice", snapshot.AccessCookie + "=a; " + snapshot.AccessCookie + "=b; " + refreshCookie + "=" + j.refresh, 400, CodeInvalidRequest},
		{"quoted", refreshCookie + `="` + j.refresh + `"`, 400, CodeInvalidRequest},
		{"encoded", refreshCookie + "=ktr%5F" + j.refresh[4:], 400, CodeInvalidRequest},
		{"huge", refreshCookie + "=" + strings.Repeat("a", 5000), 400, CodeInvalidRequest},
		{"cut", refreshCookie + "=" + j.refresh[:30], 401, CodeRefreshInvalid},
		{"the access token in the refresh cookie", refreshCookie + "=" + j.access, 401, CodeRefreshInvalid},
		{"another name", "__Host-keyturn-refresh=" + j.refresh, 401, CodeNoCredential},
		{"another case", "__secure-keyturn-refresh=" + j.refresh, 401, CodeNoCredential},
		{"the refresh token in the access cookie", snapshot.AccessCookie + "=" + j.refresh, 401, CodeNoCredential},
		{"empty", refreshCookie + "=", 401, CodeNoCredential},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := r.do(http.MethodPost, "/auth/refresh", "{}", "Cookie", row.line, "Sec-Fetch-Site", "same-origin")
			(&rig{T: t}).want(a, row.status, row.code)
			if strings.Contains(a.raw, "ktr_") || strings.Contains(a.raw, "eyJ") {
				t.Errorf("quoted: %s", a.raw)
			}
		})
	}
	// A login is no worse off: it replaces what is there.
	a := r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary, "delivery", "cookie"), "Cookie", refreshCookie+"=a; "+refreshCookie+"=b", "Sec-Fetch-Site", "same-origin")
	r.want(a, http.StatusOK, "")
	r.want(j.post("/auth/refresh", "{}"), http.StatusOK, "")
}

// A host of the same domain can set a second refresh cookie here. It must not keep anybody from logging out.
func TestLogoutBesideASecondCookie(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	for _, planted := range []string{"planted", "ktr_" + strings.Repeat("A", 43), `"quoted"`} {
		j := r.browserLogin()
		line := snapshot.AccessCookie + "=" + j.access + "; " + refreshCookie + "=" + planted + "; " + refreshCookie + "=" + j.refresh
		a := r.do(http.MethodPost, "/auth/logout", "", "Cookie", line, "Sec-Fetch-Site", "cross-site")
		r.want(a, http.StatusForbidden, CodeCrossSite)
		a = r.do(http.MethodPost, "/auth/logout", "", "Cookie", line)
		r.want(a, http.StatusForbidden, CodeCrossSite)
		a = r.do(http.MethodPost, "/auth/logout", "", "Cookie", line, "Sec-Fetch-Site", "same-origin")
		r.want(a, http.StatusOK, "")
		if len(a.header.Values("Set-Cookie")) != 2 || a.header.Get("Clear-Site-Data") == "" {
			t.Errorf("%s: %v", planted, a.header)
		}
		r.want(j.post("/auth/refresh", "{}"), http.StatusUnauthorized, CodeSessionRevoked)
	}
	// Where nothing else says which session, nothing is claimed and nothing taken away.
	j := r.browserLogin()
	a := r.do(http.MethodPost, "/auth/logout", "", "Cookie", refreshCookie+"=planted; "+refreshCookie+"="+j.refresh, "Sec-Fetch-Site", "same-origin")
	r.want(a, http.StatusBadRequest, CodeInvalidRequest)
	if len(a.header.Values("Set-Cookie")) != 0 {
		t.Errorf("%v", a.header)
	}
	r.want(j.post("/auth/refresh", "{}"), http.StatusOK, "")
}

func TestStoreDownKeepsTheCookies(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesRequired)
	j := r.browserLogin()
	b := &broken{Store: r.store}
	r.service.Families, r.service.Sessions = b, b
	for operation, path := range map[string]string{"inspect": "/auth/refresh", "rotate": "/auth/refresh", "revoke": "/auth/logout"} {
		b.fail.Store(&operation)
		a := j.post(path, "{}")
		r.want(a, http.StatusServiceUnavailable, CodeStoreUnavailable)
		if len(a.header.Values("Set-Cookie")) != 0 || a.header.Get("Clear-Site-Data") != "" {
			t.Errorf("%s: %v", operation, a.header)
		}
	}
	b.fail.Store(nil)
	r.want(j.post("/auth/refresh", "{}"), http.StatusOK, "")
}

func TestCookieModes(t *testing.T) {
	for _, row := range []struct {
		mode, delivery string
		status         int
		cookies        bool
	}{
		{"", "", 200, false}, {"", "body", 200, false}, {"", "cookie", 400, false},
		{snapshot.CookiesDisabled, "cookie", 400, false}, {snapshot.CookiesDisabled, "", 200, false},
		{snapshot.CookiesOptional, "", 200, false}, {snapshot.CookiesOptional, "body", 200, false}, {snapshot.CookiesOptional, "cookie", 200, true},
		{snapshot.CookiesOptional, "Cookie", 400, false}, {snapshot.CookiesOptional, "both", 400, false},
		{snapshot.CookiesRequired, "", 200, true}, {snapshot.CookiesRequired, "cookie", 200, true}, {snapshot.CookiesRequired, "body", 400, false},
	} {
		t.Run(fmt.Sprintf("%s %s", row.mode, row.delivery), func(t *testing.T) {
			r := newCookieRig(t, row.mode)
			body := []string{"username", "alice", "password", canary}
			if row.delivery != "" {
				body = append(body, "delivery", row.delivery)
			}
			a := r.do(http.MethodPost, "/auth/login", object(body...))
			if a.status != row.status || len(a.header.Values("Set-Cookie")) > 0 != row.cookies || a.status == 200 && (a.text("access_token") == "") != row.cookies {
				t.Errorf("%d %v %s", a.status, a.header.Values("Set-Cookie"), a.raw)
			}
		})
	}
	// Where they are disabled, cookies are as if they were not there, doubled ones too.
	r := newCookieRig(t, snapshot.CookiesDisabled)
	a := r.login("alice", canary)
	line := refreshCookie + "=" + a.text("refresh_token")
	r.want(r.do(http.MethodPost, "/auth/refresh", "{}", "Cookie", line, "Sec-Fetch-Site", "same-origin"), http.StatusBadRequest, CodeInvalidRequest)
	r.want(r.do(http.MethodPost, "/auth/logout", "{}", "Cookie", line, "Sec-Fetch-Site", "same-origin"), http.StatusBadRequest, CodeInvalidRequest)
	out := r.do(http.MethodPost, "/auth/refresh", object("refresh_token", a.text("refresh_token")), "Cookie", line+"; "+line, "Sec-Fetch-Site", "cross-site")
	r.want(out, http.StatusOK, "")
	if out.text("refresh_token") == "" || len(out.header.Values("Set-Cookie")) > 0 {
		t.Errorf("%v %s", out.header, out.raw)
	}
}

func TestTokenTooLargeForACookie(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	j := r.browserLogin()
	doc := r.issuer
	doc.Access.Audiences = []string{"shop", strings.Repeat("a", 4096)}
	r.use(doc)
	r.want(j.post("/auth/refresh", "{}"), http.StatusInternalServerError, CodeInternal)
	if !strings.Contains(r.log.String(), "token_too_large_for_cookie") {
		t.Error("not logged")
	}
	doc.Access.Audiences = []string{"shop"}
	r.use(doc)
	r.clock.advance(time.Hour) // long after the retry window: nothing was spent
	r.want(j.post("/auth/refresh", "{}"), http.StatusOK, "")
}

// Two tabs that show the same cookie at the same moment both go on, with the same new one.
func TestTwoTabs(t *testing.T) {
	r := newCookieRig(t, snapshot.CookiesOptional)
	j := r.browserLogin()
	for range 5 {
		tabs := []*jar{{rig: r, refresh: j.refresh}, {rig: r, refresh: j.refresh}}
		var both sync.WaitGroup
		for _, tab := range tabs {
			both.Go(func() {
				if a := tab.post("/auth/refresh", ""); a.status != http.StatusOK {
					t.Errorf("%d %s", a.status, a.raw)
				}
			})
		}
		both.Wait()
		if tabs[0].refresh != tabs[1].refresh || tabs[0].refresh == j.refresh {
			t.Fatal("the tabs have different sessions")
		}
		j = tabs[0]
	}
	if r.refreshes("rotated") != 5 || r.refreshes("raced") != 5 {
		t.Errorf("%d rotated, %d raced", r.refreshes("rotated"), r.refreshes("raced"))
	}
}
