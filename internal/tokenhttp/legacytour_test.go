package tokenhttp

import (
	"net/http"
	"strings"

	"github.com/keyturn/keyturn/internal/snapshot"
)

const exchangePath = "/auth/session/exchange"

// oldSessions meets the answers that a rollout of legacy sessions makes.
func (r *tour) oldSessions() {
	r.Helper()
	before := r.issuer
	defer r.use(before)
	r.app = newLegacyApp(r.clock.Now)
	defer func() { r.app = nil }()
	doc := r.issuer
	doc.Rollout, doc.Legacy = rolling(0), &snapshot.Legacy{Issuer: &snapshot.LegacyWebhook{URL: "https://app.example.com/"}}
	doc.Browser = snapshot.Browser{Cookies: snapshot.CookiesOptional}
	r.use(doc)
	r.service.Revocations = nil
	exchange := func(cookies ...string) answer {
		return r.do(http.MethodPost, exchangePath, "", browse(cookies...)...)
	}
	alice, bob := r.app.session("alice", 0), r.app.session("bob", 0)
	r.want(r.login("alice", canary), http.StatusOK, "") // a session
	r.want(exchange(sessionCookie, alice), http.StatusOK, "")
	r.steer(func(s *snapshot.Rollout) { s.Percent = 100 })
	pair := exchange(sessionCookie, alice)
	r.want(pair, http.StatusOK, "")
	cookies := given(pair)
	r.want(exchange(), http.StatusUnauthorized, CodeNoCredential)
	r.want(exchange(sessionCookie, "gone"), http.StatusUnauthorized, CodeLegacyInvalid)
	r.want(r.do(http.MethodPost, exchangePath, "", "Cookie", sessionCookie+"="+alice), http.StatusForbidden, CodeCrossSite)
	r.want(r.do(http.MethodPost, exchangePath, "{", append(browse(sessionCookie, alice), "Content-Type", "-", "Content-Type", "text/plain")...), http.StatusUnsupportedMediaType, CodeUnsupportedMedia)
	r.want(r.do(http.MethodPost, exchangePath, `{"a":"b"}`, browse(sessionCookie, alice)...), http.StatusBadRequest, CodeInvalidRequest)
	r.want(r.do(http.MethodPost, exchangePath, strings.Repeat(" ", MaxBody+1), browse(sessionCookie, alice)...), http.StatusRequestEntityTooLarge, CodeTooLarge)
	refresh := func(body string, cookies ...string) answer {
		return r.do(http.MethodPost, "/auth/refresh", body, browse(cookies...)...)
	}
	r.want(refresh("", sessionCookie, bob), http.StatusOK, "")
	r.want(refresh(`{"delivery":"body"}`, sessionCookie, bob), http.StatusOK, "")
	r.want(refresh("", sessionCookie, "gone"), http.StatusUnauthorized, CodeLegacyInvalid)
	mixed := browse(sessionCookie, bob, refreshCookie, cookies[refreshCookie])
	for _, path := range []string{exchangePath, "/auth/refresh", "/auth/logout"} {
		r.want(r.do(http.MethodPost, path, "", mixed...), http.StatusForbidden, CodeConflicting)
	}
	r.steer(func(s *snapshot.Rollout) { s.Percent = 0 })
	r.app.down, r.app.issuerDown = true, true
	r.want(exchange(sessionCookie, alice), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	r.want(refresh("", sessionCookie, alice), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	r.want(r.do(http.MethodPost, "/auth/logout", "", browse(sessionCookie, alice)...), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	r.app.down, r.app.issuerDown = false, false

	r.steer(func(s *snapshot.Rollout) { s.Percent = 100 })
	all, none := "all", ""
	r.faulty.fail.Store(&all)
	r.want(exchange(sessionCookie, alice), http.StatusServiceUnavailable, CodeStoreUnavailable)
	r.faulty.fail.Store(&none)
	narrow := r.issuer
	narrow.Access.MaxClaimBytes = 1
	r.use(narrow)
	r.want(exchange(sessionCookie, bob), http.StatusInternalServerError, CodeInternal)
	narrow.Access.MaxClaimBytes, narrow.LoginLimit.Limit = 1024, 1
	r.use(narrow)
	limited := 0
	for range 20 {
		if exchange(sessionCookie, bob).status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited == 0 || refresh("", sessionCookie, bob).status != http.StatusTooManyRequests {
		r.Error("exchanges are not limited")
	}
	r.steer(func(s *snapshot.Rollout) { s.SunsetReached = true })
	r.want(exchange(sessionCookie, alice), http.StatusUnauthorized, CodeLegacySunset)
	r.want(refresh("", sessionCookie, alice), http.StatusUnauthorized, CodeLegacySunset)
}
