package tokenhttp

import (
	"net/http"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// What a document revokes is not healed by the session beside it, which ends: as the refresh shows it, or alone.
func TestRevocationBesideALiveSession(t *testing.T) {
	for _, kind := range []string{"session", "all", "user"} {
		for _, alone := range []bool{true, false} {
			r := newLegacyRig(t, 100)
			r.app.unfindable = true
			sid := r.app.session("alice", 40*time.Hour)
			pair := r.exchangeSession(sid)
			r.want(pair, http.StatusOK, "")
			wanted := snapshot.Revocation{UID: "u1", Kind: kind}
			switch kind {
			case "session":
				wanted.Value = r.claims(given(pair)[snapshot.AccessCookie]).SessionID
			case "user":
				wanted.Value = "alice"
			}
			if !r.distrust(wanted) || !r.app.lives(sid) {
				t.Fatal("not done, or nothing is tried")
			}
			r.clock.advance(30 * time.Hour)
			if _, err := r.store.Compact(t.Context(), r.clock.Now()); err != nil {
				t.Fatal(err)
			}
			if alone {
				r.want(r.exchangeSession(sid), http.StatusUnauthorized, CodeLegacyInvalid)
			} else {
				a := r.do(http.MethodPost, "/auth/refresh", "{}", browse(refreshCookie, given(pair)[refreshCookie], sessionCookie, sid)...)
				r.want(a, http.StatusUnauthorized, CodeSessionRevoked)
				if got := given(a); got[sessionCookie] != "-" || got[refreshCookie] != "-" {
					t.Errorf("%s: cookies %v", kind, got)
				}
			}
			if !(listed{rig: r}).Revoked(revocation.Credential{Legacy: revocation.LegacyHash(sid)}) || r.app.lives(sid) {
				t.Errorf("%s, alone %t: the session has not ended", kind, alone)
			}
			r.want(r.exchangeSession(sid), http.StatusUnauthorized, CodeLegacyInvalid)
			r.want(r.exchangeSession(r.app.session("alice", time.Hour)), http.StatusOK, "")
		}
	}
}

// A login that ended in another way says nothing against the session: too many logins, a logout of the tokens alone.
func TestSessionHealsWhatNoDocumentRevoked(t *testing.T) {
	r := newLegacyRig(t, 100)
	doc := r.issuer
	doc.Refresh.MaxFamiliesPerUser = 1
	r.use(doc)
	sid := r.app.session("alice", 8*time.Hour)
	pair := r.exchangeSession(sid)
	r.clock.advance(time.Minute)
	r.want(r.login("alice", canary), http.StatusOK, "") // evicts
	a := r.do(http.MethodPost, "/auth/refresh", "{}", browse(refreshCookie, given(pair)[refreshCookie], sessionCookie, sid)...)
	r.want(a, http.StatusOK, "")
	if given(a)[refreshCookie] == "" || !r.app.lives(sid) {
		t.Errorf("%s %v", a.raw, given(a))
	}
}

// Where the application ends the sessions of a user, one that it has after that is younger: a stale refresh token beside it
// does not end it.
func TestYoungSessionOfARevokedUser(t *testing.T) {
	r := newLegacyRig(t, 100)
	doc := r.issuer
	known := *doc.Legacy
	known.Revoker = &snapshot.LegacyRevoker{HTTP: &snapshot.LegacyWebhook{URL: "https://app.example.com/revoke"}}
	doc.Legacy = &known
	r.use(doc)
	pair := r.exchangeSession(r.app.session("alice", 8*time.Hour))
	if !r.distrust(snapshot.Revocation{UID: "u1", Kind: "user", Value: "alice"}) {
		t.Fatal("not done")
	}
	a := r.do(http.MethodPost, "/auth/refresh", "{}", browse(refreshCookie, given(pair)[refreshCookie], sessionCookie, r.app.session("alice", 8*time.Hour))...)
	r.want(a, http.StatusOK, "")
}
