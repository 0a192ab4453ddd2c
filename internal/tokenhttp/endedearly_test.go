package tokenhttp

import (
	"net/http"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// From the deprecation on a session that runs out ends no login; one that the application ended early does, when it would have
// run out, as far as was known.
func TestSessionEndedEarlyAfterTheDeprecation(t *testing.T) {
	for _, early := range []bool{true, false} {
		r := newLegacyRig(t, 100)
		r.steer(func(s *snapshot.Rollout) { s.Deprecation = r.clock.Now().Add(-time.Hour) })
		sid := r.app.session("alice", time.Hour)
		a := r.exchangeSession(sid)
		r.want(a, http.StatusOK, "")
		if early {
			_ = r.app.RevokeUser(t.Context(), "alice") // the application's own, of an account that was closed
		}
		var after time.Duration
		for range 8 {
			r.clock.advance(20 * time.Minute)
			after += 20 * time.Minute
			a = r.do(http.MethodPost, "/auth/refresh", "{}", browse(refreshCookie, given(a)[refreshCookie], sessionCookie, sid)...)
			if a.status != http.StatusOK {
				break
			}
		}
		switch {
		case !early && a.status != http.StatusOK:
			t.Errorf("a session that ran out ended the login after %s: %s", after, a.raw)
		case early && (a.status != http.StatusUnauthorized || after != time.Hour):
			t.Errorf("a session that ended early: after %s %d %s", after, a.status, a.raw)
		}
	}
}
