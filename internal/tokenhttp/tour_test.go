package tokenhttp

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// tour goes through every answer that docs/openapi.yaml describes.
type tour struct {
	*oauthRig
	faulty *broken
	mu     sync.Mutex
	seen   map[seen]bool
}

// TestOpenAPITour meets every answer of the document: each operation, status and code. [checked] holds each against it.
func TestOpenAPITour(t *testing.T) {
	r := &tour{oauthRig: newOAuthRig(t), seen: map[seen]bool{}}
	r.note = func(s seen) { r.mu.Lock(); defer r.mu.Unlock(); r.seen[s] = true }
	r.server.Config.Handler = checked(t, r.service.Public(), r.note)
	r.faulty = &broken{Store: r.store}
	r.service.Families, r.service.Sessions, r.service.Limiter = r.faulty, r.faulty, r.faulty
	doc := r.issuer
	doc.LoginLimit.Limit = 10_000
	doc.FailureLimit = snapshot.RateLimit{Limit: 3, Window: snapshot.Duration(time.Hour)}
	r.use(doc)
	for _, stop := range []func(){r.successes, r.malformed, r.refusals, r.browsers, r.oauthRefusals, r.oldSessions, r.limits, r.faults, r.notReady} {
		stop()
	}
	if len(r.seen) < 60 {
		t.Errorf("only %d answers", len(r.seen))
	}
	for path, item := range describedAPI(t).Paths.Map() {
		for _, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				codes := codesOf(response.Value)
				if len(codes) == 0 {
					codes = []string{""}
				}
				for _, code := range codes {
					var want seen
					_, _ = fmt.Sscan(status, &want.status)
					want.path, want.code = path, code
					if !r.seen[want] {
						t.Errorf("the tour did not meet %s %s %s", path, status, code)
					}
				}
			}
		}
	}
}

func (r *tour) successes() {
	r.Helper()
	a := r.loggedIn("203.0.113.1")
	next := r.refresh(a.text("refresh_token"))
	r.want(next, http.StatusOK, "")
	for _, token := range []string{next.text("access_token"), next.text("refresh_token"), "x"} {
		r.want(r.asOrders("/auth/introspect", token), http.StatusOK, "")
	}
	r.want(r.asOrders("/auth/revoke", next.text("refresh_token")), http.StatusOK, "")
	r.want(r.logout("access_token", next.text("access_token")), http.StatusOK, "")
	r.want(r.exchange("alice", "id_token", "audience", "shop", "audience", "billing"), http.StatusOK, "")
	r.want(r.exchange("pod", "jwt"), http.StatusOK, "")
	for _, path := range []string{"/.well-known/jwks.json", openidPath, oauthPath} {
		got := r.do(http.MethodGet, path, "")
		if again := r.do(http.MethodGet, path, "", "If-None-Match", got.header.Get("ETag")); got.status != http.StatusOK || again.status != http.StatusNotModified {
			r.Errorf("%s: %d, %d", path, got.status, again.status)
		}
	}
}

// malformed meets what every endpoint refuses alike.
func (r *tour) malformed() {
	for path := range r.service.routes {
		r.do(http.MethodDelete, path, "")
	}
	for _, path := range []string{"/auth/login", "/auth/refresh", "/auth/logout", "/auth/session/exchange"} {
		r.do(http.MethodPost, path, "[]")
		r.do(http.MethodPost, path, "{}", "Content-Type", "-", "Content-Type", "text/plain")
		r.do(http.MethodPost, path, strings.Repeat(" ", MaxBody+1))
	}
	for _, path := range []string{"/auth/token", "/auth/revoke", "/auth/introspect"} {
		r.form(path, "a=1&a=2")
		r.do(http.MethodPost, path, "{}")
		r.form(path, strings.Repeat("x", MaxBody+1))
	}
}

func (r *tour) refusals() {
	r.Helper()
	r.want(r.login("alice", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
	r.want(r.refresh("ktr_x"), http.StatusUnauthorized, CodeRefreshInvalid)
	r.want(r.logout("access_token", "x"), http.StatusUnauthorized, CodeInvalidToken)
	for _, show := range []func(string) answer{r.refresh, r.grant} {
		a := r.loggedIn("203.0.113.2")
		r.refresh(a.text("refresh_token"))
		r.clock.advance(time.Hour)
		show(a.text("refresh_token")) // reused
		show(a.text("refresh_token")) // revoked
		b := r.loggedIn("203.0.113.2")
		r.clock.advance(1000 * time.Hour)
		show(b.text("refresh_token")) // expired
	}
}

func (r *tour) grant(text string) answer {
	r.Helper()
	return r.post("/auth/token", url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {text}})
}

func (r *tour) browsers() {
	r.Helper()
	r.do(http.MethodGet, "/auth/continue?return_to=/orders", "") // there are no cookies
	doc := r.issuer
	doc.Browser = snapshot.Browser{Cookies: snapshot.CookiesOptional, AllowedOrigins: []string{"https://app.example.com"}}
	r.use(doc)
	a := r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary, "delivery", "cookie"), "X-Forwarded-For", "203.0.113.1")
	var cookies []string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	r.want(a, http.StatusOK, "")
	show := []string{"Cookie", strings.Join(cookies, "; ")}
	for _, path := range []string{"/auth/login", "/auth/refresh", "/auth/logout"} {
		r.want(r.do(http.MethodPost, path, "{}", append([]string{"Sec-Fetch-Site", "cross-site"}, show...)...), http.StatusForbidden, CodeCrossSite)
	}
	r.want(r.do(http.MethodPost, "/auth/refresh", "{}", "Sec-Fetch-Site", "same-origin"), http.StatusUnauthorized, CodeNoCredential)
	r.want(r.do(http.MethodPost, "/auth/logout", "", append([]string{"Sec-Fetch-Site", "same-origin"}, show...)...), http.StatusOK, "")
	r.do(http.MethodOptions, "/auth/login", "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST")
	r.want(r.do(http.MethodGet, "/auth/continue?return_to=/orders", ""), http.StatusOK, "")
	r.want(r.do(http.MethodGet, "/auth/continue?return_to=//evil.example", ""), http.StatusBadRequest, CodeInvalidRequest)
}

func (r *tour) oauthRefusals() {
	r.Helper()
	for _, path := range []string{"/auth/token", "/auth/revoke", "/auth/introspect"} {
		r.refused(r.post(path, url.Values{"token": {"x"}}, basic("orders", "x")...), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
		r.refused(r.post(path, url.Values{"token": {"x"}}, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, CodeCrossSite, "invalid_request")
	}
	r.post("/auth/token", url.Values{"grant_type": {"password"}})
	r.exchange("alice", "id_token", "scope", "x")
	r.exchange("alice", "id_token", "audience", "x")
	r.exchange("mallory", "id_token")
	r.exchange("slow", "id_token")
	r.grant("ktr_x")
}

func (r *tour) limits() {
	r.Helper()
	for range 4 {
		r.do(http.MethodPost, "/auth/login", object("username", "nobody", "password", "x"), "X-Forwarded-For", "203.0.113.99")
	}
	doc := r.issuer
	doc.LoginLimit.Limit = 1
	r.use(doc)
	for range 2 {
		r.do(http.MethodPost, "/auth/login", object("username", "carol", "password", "x"), "X-Forwarded-For", "203.0.113.98")
		for _, path := range []string{"/auth/token", "/auth/revoke", "/auth/introspect"} {
			r.post(path, url.Values{"token": {"x"}}, append(basic("orders", "x"), "X-Forwarded-For", "203.0.113.98")...)
		}
	}
	doc.LoginLimit.Limit = 10_000
	r.use(doc)
}

func (r *tour) faults() {
	r.Helper()
	a, all := r.loggedIn("203.0.113.1"), "all"
	r.faulty.fail.Store(&all)
	r.login("alice", canary)
	r.refresh(a.text("refresh_token"))
	r.logout("access_token", a.text("access_token"))
	r.grant(a.text("refresh_token"))
	for _, path := range []string{"/auth/revoke", "/auth/introspect"} {
		r.refused(r.asOrders(path, a.text("refresh_token")), http.StatusServiceUnavailable, CodeStoreUnavailable, "temporarily_unavailable")
	}
	none := ""
	r.faulty.fail.Store(&none)

	doc := r.issuer
	doc.Access.MaxClaimBytes = 1
	r.use(doc)
	for _, got := range []answer{r.login("alice", canary), r.refresh(a.text("refresh_token")), r.grant(a.text("refresh_token"))} {
		if got.status != http.StatusInternalServerError || got.text("code") != CodeInternal {
			r.Errorf("%d %s", got.status, got.raw)
		}
	}
	doc.Access.MaxClaimBytes = 1024
	r.use(doc)

	r.usersDown(a)
	r.crowd()
}

// usersDown meets a source of users that cannot be read.
func (r *tour) usersDown(a answer) {
	r.Helper()
	up, doc := r.document.Load(), r.issuer
	doc.Identity = []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{}}}
	raw, err := snapshot.EncodeIssuer(doc)
	if err != nil {
		r.Fatal(err)
	}
	down, err := Build(identity.NewSources(r.TempDir(), slog.New(slog.DiscardHandler), r.clock.Now), r.service.Hasher)(raw, nil)
	if err != nil {
		r.Fatal(err)
	}
	r.document.Store(down)
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeIdentityDown)
	r.want(r.refresh(a.text("refresh_token")), http.StatusServiceUnavailable, CodeIdentityDown)
	r.refused(r.grant(a.text("refresh_token")), http.StatusServiceUnavailable, CodeIdentityDown, "temporarily_unavailable")
	crowded := *up
	crowded.users = failing{identity.ErrBusy}
	r.document.Store(&crowded)
	r.want(r.refresh(a.text("refresh_token")), http.StatusServiceUnavailable, CodeBusy)
	r.refused(r.grant(a.text("refresh_token")), http.StatusServiceUnavailable, CodeBusy, "temporarily_unavailable")
	r.document.Store(up)
}

// crowd logs in so many at once that some are turned away.
func (r *tour) crowd() {
	r.Helper()
	raw, err := snapshot.EncodeIssuer(r.issuer)
	if err != nil {
		r.Fatal(err)
	}
	none, err := Build(nil, identity.NewHasher(1, 0))(raw, nil)
	if err != nil {
		r.Fatal(err)
	}
	up := r.document.Load()
	r.document.Store(none)
	turnedAway := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.seen[seen{"/auth/login", http.StatusServiceUnavailable, CodeBusy}]
	}
	crowds(turnedAway, func(from string) {
		r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary), "X-Forwarded-For", from)
	})
	r.document.Store(up)
}

func (r *tour) notReady() {
	r.document.Store(nil)
	for path, to := range r.service.routes {
		if got := r.do(to.method, path, ""); got.status != http.StatusServiceUnavailable || got.text("code") != CodeNotReady {
			r.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
}
