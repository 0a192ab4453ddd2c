package tokenhttp

import (
	"net/http"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// slide is a request that the old application sees: a sliding session lives for as long as it did at first from now on.
func (a *legacyApp) slide(cookie string, life time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[cookie]
	s.Expires = a.now().Add(life)
	a.sessions[cookie] = s
}

// Whoever is moved off a sliding session and goes on using the application stays logged in, in one login, for as long as the
// session would have lasted: browsers and who keeps tokens itself.
func TestSlidingSession(t *testing.T) {
	const life = 30 * time.Minute
	for _, byCookie := range []bool{true, false} {
		r := newLegacyRig(t, 100)
		if !byCookie {
			r.inBodies()
		}
		sid := r.app.session("alice", life)
		taken := func(a answer) (refresh, access string) {
			t.Helper()
			r.want(a, http.StatusOK, "")
			if byCookie {
				return given(a)[refreshCookie], given(a)[snapshot.AccessCookie]
			}
			return a.text("refresh_token"), a.text("access_token")
		}
		shows := func(refresh string, cookies ...string) answer {
			t.Helper()
			if byCookie {
				return r.do(http.MethodPost, "/auth/refresh", "", browse(append(cookies, refreshCookie, refresh)...)...)
			}
			return r.do(http.MethodPost, "/auth/refresh", object("refresh_token", refresh), browse(cookies...)...)
		}
		refresh, access := taken(r.exchangeSession(sid))
		login := r.claims(access).SessionID
		for i := range 20 { // five hours
			r.clock.advance(10 * time.Minute)
			r.app.slide(sid, life)
			r.clock.advance(4 * time.Minute)
			refresh, access = taken(shows(refresh, sessionCookie, sid))
			c := r.claims(access)
			if c.SessionID != login || c.ExpiresAt.Sub(r.clock.Now()) < 14*time.Minute {
				t.Fatalf("cookies %t, round %d: login %s, was %s; the access token lives for %s", byCookie, i, c.SessionID, login, c.ExpiresAt.Sub(r.clock.Now()))
			}
		}
		// Idle: no token lives longer than the session did.
		end := r.clock.Now().Add(life - 4*time.Minute)
		r.clock.advance(20 * time.Minute)
		refresh, access = taken(shows(refresh, sessionCookie, sid))
		if c := r.claims(access); c.ExpiresAt.After(end) {
			t.Errorf("the access token ends at %s, the session at %s", c.ExpiresAt, end)
		}
		r.clock.advance(7 * time.Minute)
		r.want(shows(refresh, sessionCookie, sid), http.StatusUnauthorized, CodeRefreshExpired)
	}
}

// Nothing but the session itself makes a login of it longer: it must be shown, live, and be the same user's, and the policy's
// absolute end stays.
func TestWhatProlongsNothing(t *testing.T) {
	exchanged := func(r *rig) (refresh, sid string) {
		r.inBodies()
		sid = r.app.session("alice", 30*time.Minute)
		return r.exchangeSession(sid).text("refresh_token"), sid
	}
	for name, show := range map[string]func(r *rig, sid string) []string{
		"it is not shown":      func(*rig, string) []string { return nil },
		"nobody can tell":      func(r *rig, sid string) []string { r.app.down = true; return browse(sessionCookie, sid) },
		"another that is over": func(*rig, string) []string { return browse(sessionCookie, "gone") },
		"it ends earlier":      func(r *rig, sid string) []string { r.app.slide(sid, 10*time.Minute); return browse(sessionCookie, sid) },
		"sessions have ended": func(r *rig, sid string) []string {
			r.steer(func(s *snapshot.Rollout) { s.SunsetReached = true })
			return browse(sessionCookie, sid)
		},
		"a logout has ended it": func(r *rig, sid string) []string {
			kept := r.app.sessions[sid]
			other := r.app.session("alice", 8*time.Hour)
			r.want(r.do(http.MethodPost, "/auth/logout", "", browse(sessionCookie, other)...), http.StatusOK, "")
			r.app.sessions[other] = kept
			return browse(sessionCookie, other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newLegacyRig(t, 100)
			refresh, sid := exchanged(r)
			r.clock.advance(15 * time.Minute)
			r.app.slide(sid, 8*time.Hour)
			a := r.do(http.MethodPost, "/auth/refresh", object("refresh_token", refresh), show(r, sid)...)
			r.want(a, http.StatusOK, "")
			if left := a.body["refresh_expires_in"]; left != float64(15*60) {
				t.Errorf("the login ends after %v s, want 900", left)
			}
		})
	}
	r := newLegacyRig(t, 100)
	doc := r.issuer
	doc.Refresh.AbsoluteTTL, doc.Refresh.IdleTTL = snapshot.Duration(time.Hour), snapshot.Duration(time.Hour)
	r.use(doc)
	refresh, sid := exchanged(r)
	for _, life := range []time.Duration{8 * time.Hour, 0} { // an end beyond the policy's, and none that is known
		r.clock.advance(10 * time.Minute)
		r.app.slide(sid, life)
		if life == 0 {
			s := r.app.sessions[sid]
			s.Expires = time.Time{}
			r.app.sessions[sid] = s
		}
		a := r.do(http.MethodPost, "/auth/refresh", object("refresh_token", refresh), browse(sessionCookie, sid)...)
		r.want(a, http.StatusOK, "")
		refresh = a.text("refresh_token")
		if want := start.Add(time.Hour).Sub(r.clock.Now()).Seconds(); a.body["refresh_expires_in"] != want {
			t.Errorf("the login ends after %v s, want %v", a.body["refresh_expires_in"], want)
		}
	}
	// A login with a password is not a session's: it stays as it is.
	b := r.login("alice", canary)
	again := r.do(http.MethodPost, "/auth/refresh", object("refresh_token", b.text("refresh_token")), browse(sessionCookie, sid)...)
	if again.body["refresh_expires_in"] != b.body["refresh_expires_in"] {
		t.Errorf("%s, then %s", b.raw, again.raw)
	}
}

// At the last moment of a login that the policy ends, the live session beside it makes the next one.
func TestLastMomentBesideASession(t *testing.T) {
	r := newLegacyRig(t, 100)
	doc := r.issuer
	doc.Refresh.AbsoluteTTL, doc.Refresh.IdleTTL = snapshot.Duration(time.Hour), snapshot.Duration(time.Hour)
	r.use(doc)
	sid := r.app.session("alice", 8*time.Hour)
	first := given(r.exchangeSession(sid))
	login := r.claims(first[snapshot.AccessCookie]).SessionID
	r.clock.advance(time.Hour - 500*time.Millisecond)
	a := r.do(http.MethodPost, "/auth/refresh", "", browse(refreshCookie, first[refreshCookie], sessionCookie, sid)...)
	r.want(a, http.StatusOK, "")
	if c := r.claims(given(a)[snapshot.AccessCookie]); c.SessionID == login || c.ExpiresAt.Sub(r.clock.Now()) < 14*time.Minute {
		t.Errorf("%+v", c)
	}
}

// From the deprecation on a live session makes a login like any other, and one of before becomes one: the sunset logs nobody
// out who was active before it.
func TestNoSessionBoundsALoginAfterTheDeprecation(t *testing.T) {
	for _, again := range []bool{true, false} { // an exchange, or a refresh that shows the session
		r := newLegacyRig(t, 100)
		r.inBodies()
		sid := r.app.session("alice", 30*time.Minute)
		refresh := r.exchangeSession(sid).text("refresh_token")
		r.steer(func(s *snapshot.Rollout) { s.Deprecation = r.clock.Now() })
		r.clock.advance(20 * time.Minute)
		if again {
			refresh = r.exchangeSession(sid).text("refresh_token")
		} else {
			a := r.do(http.MethodPost, "/auth/refresh", object("refresh_token", refresh), browse(sessionCookie, sid)...)
			r.want(a, http.StatusOK, "")
			refresh = a.text("refresh_token")
		}
		r.steer(func(s *snapshot.Rollout) { s.SunsetReached = true })
		r.clock.advance(24 * time.Hour)
		r.want(r.do(http.MethodPost, "/auth/refresh", object("refresh_token", refresh)), http.StatusOK, "")
	}
}
