package tokenhttp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// chrome is a browser: it keeps what it is given.
type chrome struct {
	*rig
	cookies map[string]string
}

func (c *chrome) post(path, body string) answer {
	c.Helper()
	var pairs []string
	for _, name := range []string{sessionCookie, refreshCookie, snapshot.AccessCookie} {
		pairs = append(pairs, name, c.cookies[name])
	}
	return c.do(http.MethodPost, path, body, browse(pairs...)...)
}

// take keeps an answer's cookies.
func (c *chrome) take(a answer) answer {
	for name, value := range given(a) {
		c.cookies[name] = value
		if value == "-" {
			delete(c.cookies, name)
		}
	}
	return a
}

// has describes the credentials that are good.
func (c *chrome) has() string {
	c.Helper()
	var all []string
	if sid := c.cookies[sessionCookie]; sid != "" {
		if answer, err := c.service.Ask(c.Context(), secret.NewText(sid)); err == nil && answer.Valid && answer.User == "alice" {
			all = append(all, "session")
		}
	}
	if access := c.cookies[snapshot.AccessCookie]; access != "" && c.claims(access).Subject == "alice" {
		all = append(all, "tokens")
	}
	return strings.Join(all, " ")
}

// A browser is moved to tokens and back, and logs in once.
func TestThereAndBack(t *testing.T) {
	r := newLegacyRig(t, 0)
	c := &chrome{rig: r, cookies: map[string]string{}}
	step := func(percent int, path, want string) {
		t.Helper()
		r.steer(func(s *snapshot.Rollout) { s.Percent, s.DualIssue = percent, percent > 0 })
		r.clock.advance(10 * time.Minute)
		body := ""
		if path == "/auth/login" {
			body = object("username", "alice", "password", canary, "delivery", "cookie")
		}
		r.want(c.take(c.post(path, body)), http.StatusOK, "")
		if got := c.has(); got != want {
			t.Fatalf("%d %% %s: the browser has %q, want %q", percent, path, got, want)
		}
	}
	step(0, "/auth/login", "session")
	step(0, exchangePath, "session")
	step(100, exchangePath, "session tokens")
	step(100, "/auth/refresh", "session tokens")
	step(0, "/auth/refresh", "session")
	step(0, exchangePath, "session")
	step(100, exchangePath, "session tokens")
	r.steer(func(s *snapshot.Rollout) { s.Deprecation = r.clock.Now() })
	step(100, "/auth/refresh", "session tokens")
	r.steer(func(s *snapshot.Rollout) { s.SunsetReached = true })
	step(100, "/auth/refresh", "tokens")
	step(0, "/auth/refresh", "tokens") // no way back after the sunset
}

// Whoever is led back to the session, and does not hear of it, asks again.
func TestGoingBackUnheard(t *testing.T) {
	for _, rotates := range []bool{false, true} {
		r := newLegacyRig(t, 100)
		r.app.rotates = rotates
		c := &chrome{rig: r, cookies: map[string]string{sessionCookie: r.app.session("alice", 8*time.Hour)}}
		r.want(c.take(c.post(exchangePath, "")), http.StatusOK, "")
		first := c.cookies[refreshCookie]
		r.clock.advance(10 * time.Minute)
		r.steer(func(s *snapshot.Rollout) { s.Percent = 0 })
		if a := c.post("/auth/refresh", ""); a.text("token_type") != "session" { // the answer is lost
			t.Fatal(a.raw)
		}
		token, err := store.ParseToken(secret.NewText(first))
		if err != nil {
			t.Fatal(err)
		}
		seen, err := r.store.Inspect(t.Context(), token, r.clock.Now(), 10*time.Second)
		if left := seen.Family.Expiry().Sub(r.clock.Now()); err != nil || seen.Outcome != store.Retried || left < 15*time.Minute || left > 20*time.Minute {
			t.Errorf("the login that was left: %q, for %s, %v; want as long as its access tokens", seen.Outcome, left, err)
		}
		if c.has() == "" {
			t.Error("what other tabs have under way is refused")
		}
		r.clock.advance(5 * time.Second)
		r.want(c.take(c.post("/auth/refresh", "")), http.StatusOK, "")
		want := "session"
		if rotates { // the application took the id away that the browser has
			want = "tokens"
		}
		if got := c.has(); got != want {
			t.Fatalf("the browser has %q, want %q", got, want)
		}
		if rotates { // and goes on with what it has
			r.clock.advance(14 * time.Minute)
			r.want(c.take(c.post("/auth/refresh", "")), http.StatusOK, "")
		}
		// The login that was left ends with its last access token; the token that was shown is good for nothing.
		r.clock.advance(time.Hour)
		if a := r.refresh(first); a.status != http.StatusUnauthorized {
			t.Errorf("the refresh token that was given back is good: %d", a.status)
		}
	}
}

// Users whom the application does not have get tokens, and those get no session beside them.
func TestLoginOfAUserWithoutSessions(t *testing.T) {
	for _, percent := range []int{0, 100} {
		r := newLegacyRig(t, percent)
		r.steer(func(s *snapshot.Rollout) { s.DualIssue = true })
		a := r.login("bob", "builder")
		r.want(a, http.StatusOK, "")
		if a.text("token_type") != "Bearer" || given(a)[sessionCookie] != "" {
			t.Errorf("%d %%: %s %v", percent, a.raw, a.header)
		}
	}
}

// What the application sets comes through as it wrote it, but for cookies that are ours.
func TestPassOn(t *testing.T) {
	w := httptest.NewRecorder()
	passOn(w, []*http.Cookie{
		{Name: "sid", Raw: "sid=x; Path=/; Priority=High"}, {Name: "csrf", Value: "y"},
		{Name: "__Host-keyturn-access", Raw: "__Host-keyturn-access=z"}, {Name: "__host-KEYTURN-access", Raw: "__host-KEYTURN-access=z"},
		{Name: "__Secure-keyturn-refresh", Value: "z"}, {Name: "a b", Value: "z"},
	})
	if diff := cmp.Diff([]string{"sid=x; Path=/; Priority=High", "csrf=y"}, w.Header()["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
}

func TestRolloutCounts(t *testing.T) {
	r := newLegacyRig(t, 50)
	r.inBodies()
	r.steer(func(s *snapshot.Rollout) { s.Watched, s.Include = 50, []string{"alice"} })
	if got := r.service.Status(context.Background()).Rollout; got == nil || got.Percent != 50 || !got.Started.Equal(start) {
		t.Fatalf("%+v", got)
	}
	a := r.login("alice", canary)
	r.want(a, http.StatusOK, "")
	want := &snapshot.RolloutCounts{Started: start, Percent: 50}
	if diff := cmp.Diff(want, r.service.Status(context.Background()).Rollout); diff != "" {
		t.Errorf("a user who is included is counted: %s", diff)
	}
	r.want(r.login("alice", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials) // nobody's
	r.steer(func(s *snapshot.Rollout) { s.Include, s.Watched, s.Percent = nil, 0, 0 })
	for range 3 {
		r.want(r.login("alice", canary), http.StatusOK, "")
	}
	r.app.issuerDown = true
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	want = &snapshot.RolloutCounts{Started: start, Control: snapshot.EventCounts{Events: 4, Failures: 1}}
	want.Logins.Control = snapshot.EventCounts{Events: 2, Failures: 1}
	// It is kept; who is in the cohort would get tokens.
	r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusOK, "")
	r.app.down = true
	r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	r.app.down, r.app.issuerDown = false, false
	if diff := cmp.Diff(want, r.service.Status(context.Background()).Rollout); diff != "" {
		t.Errorf("beside the cohort: %s", diff)
	}
	r.steer(func(s *snapshot.Rollout) { s.Watched, s.Percent = 100, 100 })
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
	r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusOK, "")
	r.want(r.exchangeSession("gone"), http.StatusUnauthorized, CodeLegacyInvalid)        // nobody's fault
	r.want(r.refresh("ktr_x"), http.StatusUnauthorized, CodeRefreshInvalid)              // anybody can
	r.want(r.do(http.MethodPost, exchangePath, ""), http.StatusForbidden, CodeCrossSite) // likewise
	r.app.down = true
	r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusServiceUnavailable, CodeLegacyUnavailable) // anybody's
	r.app.down = false
	var more []string
	for range 3 {
		more = append(more, r.login("alice", canary).text("refresh_token"))
		r.want(r.refresh(more[len(more)-1]), http.StatusOK, "")
	}
	r.clock.advance(time.Minute)
	for _, token := range append(more, a.text("refresh_token")) {
		r.want(r.refresh(token), http.StatusUnauthorized, CodeRefreshReused) // came back too late: a forced login, of one user
	}
	if got, want := r.service.Status(context.Background()).Rollout.Endpoints, (snapshot.EventCounts{Events: 6, Failures: 1}); got != want {
		t.Errorf("refreshes and exchanges of the cohort: %+v, want %+v", got, want)
	}
}

// TestForcedLogins counts logins by users who should not have needed one.
func TestForcedLogins(t *testing.T) {
	r := newLegacyRig(t, 100)
	r.inBodies()
	forced := func(what string, want bool) {
		t.Helper()
		before := r.service.Status(context.Background()).Rollout.Logins.Cohort
		r.want(r.login("alice", canary), http.StatusOK, "")
		now := r.service.Status(context.Background()).Rollout.Logins.Cohort
		if got := now.Failures - before.Failures; now.Events != before.Events+1 || (got == 1) != want || got > 1 {
			t.Errorf("a login after %s: %+v, before %+v, forced: want %t", what, now, before, want)
		}
	}
	within := r.issuer.Access.TTL.Std() * 4 / 3
	nextDay := func() { r.clock.advance(24*time.Hour + time.Second) } // a user counts once a day
	forced("nothing", false)
	r.clock.advance(within)
	forced("another, as long as it counts", true)
	nextDay()
	forced("another, long ago", false)
	nextDay()
	r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusOK, "")
	forced("an exchange", true)
	nextDay()
	sid := r.app.session("alice", time.Hour)
	if answer, err := r.service.Ask(t.Context(), secret.NewText(sid)); err != nil || !answer.Valid {
		t.Fatal(answer, err)
	}
	forced("a session at an edge", true)
	nextDay()
	a := r.login("alice", canary)
	r.clock.advance(within + time.Second)
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
	forced("a refresh", true)
	nextDay()
	r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusOK, "")
	a = r.login("alice", canary) // counts as forced
	r.want(r.logout("refresh_token", a.text("refresh_token")), http.StatusOK, "")
	forced("a logout", false)
	r.want(r.login("alice", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
	nextDay()
	nextDay()
	r.want(r.exchangeSession(r.app.session("alice", 3*time.Hour)), http.StatusOK, "")
	r.clock.advance(-time.Hour)
	forced("a clock that went back", false)
	r.steer(func(s *snapshot.Rollout) { s.Percent, s.Watched = 0, 100 })
	nextDay()
	r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusOK, "") // it is kept
	forced("a session that was kept", true)
}

func TestRolloutOfADocument(t *testing.T) {
	r := newLegacyRig(t, 0)
	for name, spoil := range map[string]func(*snapshot.Issuer){
		"no legacy":   func(d *snapshot.Issuer) { d.Legacy = nil },
		"bad rollout": func(d *snapshot.Issuer) { d.Rollout.Cookie = "" },
	} {
		doc := r.issuer
		copied := *doc.Rollout
		doc.Rollout = &copied
		spoil(&doc)
		if built, err := build(doc, nil); err == nil || built != nil || !strings.Contains(err.Error(), "Incomplete") && !strings.Contains(err.Error(), "rollout") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A process that reaches no sessions takes the document all the same, and says so when it is asked.
	built, err := build(r.issuer, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.document.Store(built)
	r.want(r.exchangeSession(r.app.session("alice", 0)), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	doc := r.issuer
	doc.Identity = []snapshot.IdentitySource{{Name: legacySource, Htpasswd: &snapshot.Htpasswd{Users: secret.NewText("x:y")}}}
	if _, err := build(doc, nil); err == nil {
		t.Error("a source can take the reserved name")
	}
}
