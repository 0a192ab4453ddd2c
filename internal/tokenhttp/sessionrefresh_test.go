package tokenhttp

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func (r *rig) refreshSession(body, sid string, headers ...string) answer {
	r.Helper()
	if len(headers) == 0 {
		headers = []string{"Sec-Fetch-Site", "same-origin"}
	}
	return r.do(http.MethodPost, "/auth/refresh", body, append(headers, "Cookie", sessionCookie+"="+sid)...)
}

// A browser that only loads pages and never exchanged its session: what the page /auth/continue sends mends its 401,
// as an exchange would, and both meet in one login.
func TestRefreshWithASessionAlone(t *testing.T) {
	r := newLegacyRig(t, 0)
	sid := r.app.session("alice", 8*time.Hour)
	kept := r.refreshSession("{}", sid)
	r.want(kept, http.StatusOK, "")
	if kept.text("token_type") != "session" || len(given(kept)) != 0 {
		t.Errorf("outside the cohort: %s %v", kept.raw, given(kept))
	}
	r.steer(func(s *snapshot.Rollout) { // a brownout refuses at the edge; the stage gives pairs
		s.Deprecation = r.clock.Now().Add(-time.Hour)
		s.Brownouts = []snapshot.Brownout{{Start: r.clock.Now(), Duration: snapshot.Duration(time.Hour), Percent: 100}}
	})
	pair := r.refreshSession("{}", sid)
	r.want(pair, http.StatusOK, "")
	access := given(pair)[snapshot.AccessCookie]
	if pair.text("token_type") != "cookie" || r.claims(access).Subject != "alice" || pair.header.Get("Deprecation") == "" {
		t.Fatalf("%s %v", pair.raw, pair.header)
	}
	again := r.exchangeSession(sid)
	r.want(again, http.StatusOK, "")
	if given(again)[refreshCookie] != given(pair)[refreshCookie] {
		t.Error("an exchange inside the retry window gives another login")
	}
	next := r.do(http.MethodPost, "/auth/refresh", "{}", browse(refreshCookie, given(pair)[refreshCookie], sessionCookie, sid)...)
	r.want(next, http.StatusOK, "")
	r.steer(func(s *snapshot.Rollout) { s.SunsetReached = true })
	r.want(r.refreshSession("{}", sid), http.StatusUnauthorized, CodeLegacySunset)
}

// The page of another site gets nothing, and spends nothing: not the budget of the address, no question to the application.
func TestRefreshWithASessionFromElsewhere(t *testing.T) {
	for _, path := range []string{"/auth/refresh", exchangePath} {
		for _, bodies := range []bool{false, true} {
			r := newLegacyRig(t, 100)
			doc := r.issuer
			doc.LoginLimit.Limit = 1
			if bodies {
				doc.Browser = snapshot.Browser{}
			}
			r.use(doc)
			sid := r.app.session("alice", 8*time.Hour)
			for range 5 {
				for _, headers := range [][]string{{}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
					cookie := []string{"Cookie", sessionCookie + "=" + sid}
					r.want(r.do(http.MethodPost, path, "", append(cookie, headers...)...), http.StatusForbidden, CodeCrossSite)
				}
				form := browse(sessionCookie, sid)
				r.want(r.do(http.MethodPost, path, "a=b", append(form, "Content-Type", "-", "Content-Type", "application/x-www-form-urlencoded")...), http.StatusUnsupportedMediaType, CodeUnsupportedMedia)
			}
			if r.app.validated > 0 {
				t.Errorf("%s: the application was asked", path)
			}
			r.want(r.do(http.MethodPost, path, "", browse(sessionCookie, sid)...), http.StatusOK, "")
		}
	}
}

// Who keeps tokens itself behind a policy with cookies says so; what the policy does not allow is refused, as at login.
func TestDeliveryOfASession(t *testing.T) {
	const body, cookie = `{"delivery":"body"}`, `{"delivery":"cookie"}`
	for _, path := range []string{"/auth/refresh", exchangePath} {
		for _, row := range []struct {
			mode, asked string
			want        string // token_type; empty for a refusal
		}{
			{snapshot.CookiesOptional, "", "cookie"},
			{snapshot.CookiesOptional, "{}", "cookie"},
			{snapshot.CookiesOptional, body, "Bearer"},
			{snapshot.CookiesOptional, cookie, "cookie"},
			{snapshot.CookiesRequired, "", "cookie"},
			{snapshot.CookiesRequired, body, ""},
			{snapshot.CookiesRequired, cookie, "cookie"},
			{snapshot.CookiesDisabled, "", "Bearer"},
			{snapshot.CookiesDisabled, body, "Bearer"},
			{snapshot.CookiesDisabled, cookie, ""},
			{snapshot.CookiesOptional, `{"delivery":"Body"}`, ""},
			{snapshot.CookiesOptional, `{"delivery":""}`, ""},
			{snapshot.CookiesOptional, `{"delivery":true}`, ""},
		} {
			t.Run(strings.Join([]string{path, row.mode, row.asked}, " "), func(t *testing.T) {
				r := newLegacyRig(t, 100)
				doc := r.issuer
				doc.Browser.Cookies = row.mode
				r.use(doc)
				a := r.do(http.MethodPost, path, row.asked, browse(sessionCookie, r.app.session("alice", 8*time.Hour))...)
				if row.want == "" {
					r.want(a, http.StatusBadRequest, CodeInvalidRequest)
					if r.app.validated > 0 {
						t.Error("the application was asked")
					}
					return
				}
				r.want(a, http.StatusOK, "")
				cookies := given(a)
				if a.text("token_type") != row.want || (row.want == "cookie") != (cookies[refreshCookie] != "") || (row.want == "Bearer") != (a.text("refresh_token") != "") {
					t.Fatalf("%s %v", a.raw, cookies)
				}
			})
		}
	}
}

// No script turns a cookie into something that it can read.
func TestDeliveryOfARefreshToken(t *testing.T) {
	r := newLegacyRig(t, 100)
	sid := r.app.session("alice", 8*time.Hour)
	shown := given(r.exchangeSession(sid))[refreshCookie]
	for _, cookies := range [][]string{{refreshCookie, shown}, {refreshCookie, shown, sessionCookie, sid}} {
		r.want(r.do(http.MethodPost, "/auth/refresh", `{"delivery":"body"}`, browse(cookies...)...), http.StatusBadRequest, CodeInvalidRequest)
	}
	a := r.do(http.MethodPost, "/auth/refresh", `{"delivery":"cookie"}`, browse(refreshCookie, shown)...)
	r.want(a, http.StatusOK, "")
	if a.text("token_type") != "cookie" {
		t.Error(a.raw)
	}
	b := r.login("alice", canary)
	r.want(r.do(http.MethodPost, "/auth/refresh", object("refresh_token", b.text("refresh_token"), "delivery", "cookie")), http.StatusBadRequest, CodeInvalidRequest)
	r.want(r.do(http.MethodPost, "/auth/refresh", object("refresh_token", b.text("refresh_token"), "delivery", "body")), http.StatusOK, "")
}

// A session that names a user of another source than the application's own is nobody's, wherever it is shown, and is not
// taken for one that has ended.
func TestSessionsOfOtherSources(t *testing.T) {
	for _, row := range []struct {
		user, legacy string
		sources      []string
		good         bool
	}{
		{"alice", "", []string{""}, true},
		{"shop:4711", "shop:", []string{"shop:", "staff:"}, true},
		{"shop:4711", "shop:", []string{"staff:", "corp:"}, true},
		{"4711", "", []string{"staff:", "shop:"}, true},
		{"staff:bob", "", []string{"staff:", "shop:"}, true}, // whole subjects
		{"shop:4711", "shop:", []string{""}, false},
		{"staff:xy", "staff:x", []string{"staff:"}, false},
	} {
		r := newLegacyRig(t, 100)
		doc := r.issuer
		copied := *doc.Legacy
		doc.Legacy = &copied
		doc.Legacy.SubjectPrefix = row.legacy
		users := doc.Identity[0].Htpasswd
		doc.Identity = nil
		for i, prefix := range row.sources {
			doc.Identity = append(doc.Identity, snapshot.IdentitySource{Name: string(rune('a' + i)), SubjectPrefix: prefix, Htpasswd: users})
		}
		r.use(doc)
		sid := r.app.session(row.user, time.Hour)
		seen, err := r.service.Ask(t.Context(), secret.NewText(sid))
		a, b := r.exchangeSession(sid), r.refreshSession("{}", sid)
		if !row.good {
			if !errors.Is(err, legacy.ErrUnavailable) {
				t.Errorf("%+v: an edge is told %+v, %v", row, seen, err)
			}
			r.want(a, http.StatusServiceUnavailable, CodeLegacyUnavailable)
			r.want(b, http.StatusServiceUnavailable, CodeLegacyUnavailable)
			if !strings.Contains(r.log.String(), "give legacy.subjectPrefix that of the source") {
				t.Error("the log does not say how to mend it")
			}
			continue
		}
		if err != nil || seen.User != row.user {
			t.Errorf("%+v: an edge is told %+v, %v", row, seen, err)
		}
		r.want(a, http.StatusOK, "")
		r.want(b, http.StatusOK, "")
	}
}
