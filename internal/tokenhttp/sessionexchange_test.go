package tokenhttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func (r *rig) exchangeSession(sid string) answer {
	r.Helper()
	return r.do(http.MethodPost, exchangePath, "", browse(sessionCookie, sid)...)
}

// inBodies lets tokens travel in bodies only.
func (r *rig) inBodies() {
	r.Helper()
	doc := r.issuer
	doc.Browser = snapshot.Browser{}
	r.use(doc)
}

func TestExchangeGivesTheSameInTheWindow(t *testing.T) {
	r := newLegacyRig(t, 100)
	r.inBodies()
	sid := r.app.session("alice", 8*time.Hour)
	answers := make([]answer, 50)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = r.exchangeSession(sid) })
	}
	all.Wait()
	first := answers[0].text("refresh_token")
	for _, a := range answers {
		if a.status != http.StatusOK || a.text("refresh_token") != first {
			t.Fatalf("another answer: %d %s", a.status, a.raw)
		}
	}
	claims := r.claims(answers[0].text("access_token"))
	if claims.Subject != "alice" || claims.Custom["role"] != "member" || claims.Custom["user_id"] != "alice" || claims.ClientID != webClient {
		t.Errorf("%+v", claims)
	}
	// Nothing was revoked, and the pair goes on.
	next := r.refresh(first)
	r.want(next, http.StatusOK, "")
	if got := r.claims(next.text("access_token")); got.SessionID != claims.SessionID || got.Custom["role"] != "member" {
		t.Errorf("after a refresh: %+v", got)
	}
	// Later: another login, and the one before has ended.
	r.clock.advance(time.Minute)
	later := r.exchangeSession(sid)
	r.want(later, http.StatusOK, "")
	if got := r.claims(later.text("access_token")); got.SessionID == claims.SessionID {
		t.Error("a later exchange gave the same login")
	}
	if got := r.refresh(next.text("refresh_token")); got.status != http.StatusUnauthorized {
		t.Errorf("the replaced login is good: %d", got.status)
	}
}

// No token outlives the session that it comes of, whatever the policy says.
func TestExchangeEndsWithTheSession(t *testing.T) {
	r := newLegacyRig(t, 100)
	r.inBodies()
	sid := r.app.session("alice", 10*time.Minute)
	a := r.exchangeSession(sid)
	r.want(a, http.StatusOK, "")
	if a.body["expires_in"] != float64(600) || a.body["refresh_expires_in"] != float64(600) {
		t.Errorf("%s", a.raw)
	}
	end := start.Add(10 * time.Minute)
	if got := r.claims(a.text("access_token")); got.ExpiresAt.After(end) {
		t.Errorf("the access token ends at %s, the session at %s", got.ExpiresAt, end)
	}
	r.clock.advance(4 * time.Minute)
	next := r.refresh(a.text("refresh_token"))
	r.want(next, http.StatusOK, "")
	if got := r.claims(next.text("access_token")); got.ExpiresAt.After(end) || next.body["expires_in"] != float64(360) {
		t.Errorf("after a refresh the access token ends at %s, the session at %s: %s", got.ExpiresAt, end, next.raw)
	}
	r.clock.advance(6 * time.Minute)
	r.want(r.refresh(next.text("refresh_token")), http.StatusUnauthorized, CodeRefreshExpired)
	// A session without a known end is bounded by the policy.
	a = r.exchangeSession(r.app.session("alice", 0))
	if a.body["refresh_expires_in"] != float64(7*24*3600) {
		t.Errorf("%s", a.raw)
	}
}

// Who was moved by an exchange is asked about again whenever the session is shown.
func TestExchangedRoleFollowsTheSession(t *testing.T) {
	r := newLegacyRig(t, 100)
	doc := r.issuer
	doc.Access.Claims = append(doc.Access.Claims, "team")
	r.use(doc)
	sid := r.app.session("alice", 8*time.Hour)
	cookies := given(r.exchangeSession(sid))
	r.app.mu.Lock()
	s := r.app.sessions[sid]
	s.Role = "auditor"
	r.app.sessions[sid] = s
	r.app.mu.Unlock()
	a := r.do(http.MethodPost, "/auth/refresh", "", browse(refreshCookie, cookies[refreshCookie], sessionCookie, sid)...)
	r.want(a, http.StatusOK, "")
	if got := r.claims(given(a)[snapshot.AccessCookie]); got.Custom["role"] != "auditor" || got.Custom["team"] != "blue" {
		t.Errorf("%+v", got.Custom)
	}
}

// An application that gives a session to another user and keeps its cookie gives nobody tokens of somebody else.
func TestExchangeAfterTheSessionChangedHands(t *testing.T) {
	r := newLegacyRig(t, 100)
	r.inBodies()
	sid := r.app.session("alice", 8*time.Hour)
	a := r.exchangeSession(sid)
	r.app.mu.Lock()
	s := r.app.sessions[sid]
	s.User = "bob"
	r.app.sessions[sid] = s
	r.app.mu.Unlock()
	b := r.exchangeSession(sid)
	r.want(b, http.StatusOK, "")
	if got := r.claims(b.text("access_token")); got.Subject != "bob" {
		t.Errorf("the session is bob's, the token %s's", got.Subject)
	}
	if got := r.refresh(a.text("refresh_token")); got.status != http.StatusUnauthorized {
		t.Errorf("alice's login goes on: %d", got.status)
	}
}

// A page of another site cannot exchange, also where tokens travel in bodies.
func TestExchangeFromElsewhere(t *testing.T) {
	for _, bodies := range []bool{false, true} {
		r := newLegacyRig(t, 100)
		if bodies {
			r.inBodies()
		}
		sid := r.app.session("alice", 8*time.Hour)
		for _, headers := range [][]string{{}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
			a := r.do(http.MethodPost, exchangePath, "", append(headers, "Cookie", sessionCookie+"="+sid)...)
			r.want(a, http.StatusForbidden, CodeCrossSite)
			if a := r.do(http.MethodPost, "/auth/logout", "", append(headers, "Cookie", sessionCookie+"="+sid)...); a.status != http.StatusForbidden {
				t.Errorf("logout %v: %d", headers, a.status)
			}
		}
		if r.app.validated > 0 || !r.app.lives(sid) {
			t.Error("the application was asked")
		}
	}
}

func TestAsk(t *testing.T) {
	r := newLegacyRig(t, 0)
	ask := func(sid string) (feed.SessionAnswer, error) { return r.service.Ask(t.Context(), secret.NewText(sid)) }
	sid := r.app.session("alice", time.Hour)
	got, err := ask(sid)
	if err != nil || !got.Valid || got.User != "alice" || got.Role != "member" || len(got.Claims) != 0 || !got.Expires.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ask("gone"); err != nil || got.Valid {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := r.service.Ask(feed.WithFresh(t.Context()), secret.NewText(sid)); err != nil || r.app.forgotten != 1 {
		t.Errorf("a fresh question: %v, %d", err, r.app.forgotten)
	}
	r.app.down = true
	if _, err := ask(sid); !errors.Is(err, legacy.ErrUnavailable) {
		t.Errorf("with the application down: %v", err)
	}
	r.app.down = false
	r.service.Revocations = listed{rig: r, unloaded: true}
	// The store is down: the edge has the revocations and decides by its own rule for old ones. Here nothing is exchanged.
	if got, err := ask(sid); err != nil || !got.Valid {
		t.Errorf("while the store is down: %+v, %v", got, err)
	}
	r.want(r.exchangeSession(sid), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	r.steer(func(s *snapshot.Rollout) { s.SunsetReached = true })
	if _, err := ask(sid); !errors.Is(err, feed.ErrNoSessions) {
		t.Errorf("after the sunset: %v", err)
	}
	r.document.Store(nil)
	if _, err := ask(sid); !errors.Is(err, feed.ErrNoSessions) {
		t.Errorf("without a document: %v", err)
	}
}

func TestLogoutOfASession(t *testing.T) {
	r := newLegacyRig(t, 100)
	sid := r.app.session("alice", 8*time.Hour)
	tokens := given(r.exchangeSession(sid)) // somebody's, who shows the session alone later
	logout := func() answer { return r.do(http.MethodPost, "/auth/logout", "", browse(sessionCookie, sid)...) }
	r.app.revokerDown = true
	r.want(logout(), http.StatusServiceUnavailable, CodeLegacyUnavailable)
	if answer, err := r.service.Ask(t.Context(), secret.NewText(sid)); err != nil || answer.Valid {
		t.Errorf("the edges would take the session: %+v, %v", answer, err)
	}
	r.app.revokerDown = false
	for range 2 { // again: its answer was lost
		a := logout()
		r.want(a, http.StatusOK, "")
		if given(a)[sessionCookie] != "-" || a.header.Get("Clear-Site-Data") != clearSiteData {
			t.Errorf("%v", a.header)
		}
	}
	if r.app.lives(sid) || r.app.revoked != 1 {
		t.Errorf("revoked %d times", r.app.revoked)
	}
	r.want(r.refresh(tokens[refreshCookie]), http.StatusUnauthorized, CodeSessionRevoked)
	entries, _, err := r.store.Revocations(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		if e.Kind == revocation.Legacy {
			found++
			if e.Value != revocation.LegacyHash(sid) || !e.Expires.Equal(start.Add(48*time.Hour)) {
				t.Errorf("%+v", e)
			}
		}
	}
	if found != 1 {
		t.Errorf("%d entries", found)
	}
	// Invented sessions fill no list.
	before := len(entries)
	for i := range 5 {
		r.want(r.do(http.MethodPost, "/auth/logout", "", browse(sessionCookie, fmt.Sprint("invented", i))...), http.StatusOK, "")
	}
	if entries, _, _ = r.store.Revocations(t.Context(), 0, 100); len(entries) != before {
		t.Errorf("%d entries, before %d", len(entries), before)
	}
	if out := r.log.String(); strings.Contains(out, sid) || strings.Contains(out, tokens[refreshCookie]) {
		t.Error("the log has a credential")
	}
}

// A program that shows a token in the body says nothing about its origin; its session ends too.
func TestLogoutOfAProgramWithASession(t *testing.T) {
	r := newLegacyRig(t, 100)
	a, sid := r.loggedIn("203.0.113.1"), r.app.session("alice", time.Hour)
	body := object("refresh_token", a.text("refresh_token"))
	r.want(r.do(http.MethodPost, "/auth/logout", body, "Cookie", sessionCookie+"="+sid, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, CodeCrossSite)
	r.want(r.do(http.MethodPost, "/auth/logout", body, "Cookie", sessionCookie+"="+sid), http.StatusOK, "")
	if r.app.lives(sid) {
		t.Error("the session lives")
	}
}
