package tokenhttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

// endedSession is the legacy session that a logout shows, while such sessions are worth something. A damaged or doubled
// cookie keeps nobody from logging out.
func (d *Document) endedSession(r *http.Request, now time.Time) (secret.Text, *Problem) {
	if !d.steer.Rules().EndsSession(now) {
		return secret.Text{}, nil
	}
	cookie, err := d.steer.Session(r.Header["Cookie"])
	if err != nil || cookie.Empty() {
		return secret.Text{}, nil //nolint:nilerr // see above
	}
	return cookie, d.checkOrigin(r, false)
}

// checkAlone wants a request with no other credential than cookies to say where it comes from. Beside a token, which a
// page of somebody else's does not know, a program may be silent.
func (d *Document) checkAlone(r *http.Request, others int) *Problem {
	if others > 0 {
		return nil
	}
	if p := d.checkOrigin(r, true); p != nil {
		return p
	}
	return checkNoForm(r.Header)
}

// endSession is the logout of a legacy session and of what is shown beside it. The family that the session has become
// ends too. A session that has ended is no error; where nobody can tell, the tokens end, and the logout must be repeated.
func (s *Service) endSession(w http.ResponseWriter, r *http.Request, doc *Document, now time.Time, cookie secret.Text, found credentials, byCookie bool) (string, *Problem) {
	shown := s.validated(r.Context(), doc, cookie)
	if shown.live() {
		if other := found.otherThan(shown.User); other != "" {
			s.auditConflict(r, doc, "logout", other, shown.User)
			return "conflict", conflicting()
		}
		doc.steer.Announce(w.Header(), now)
	}
	if p := s.resolveRefresh(r.Context(), store.DeriveToken(cookie, doc.Header.Issuer).Text(), now, &found); p != nil {
		return "unavailable", p
	}
	if shown.err != nil && !errors.Is(shown.err, legacy.ErrInvalid) {
		if _, p := s.revokeAll(r.Context(), doc, now, found.sessions); p != nil {
			return "unavailable", p
		}
		return "unavailable", errLegacy
	}
	return s.end(w, r, doc, now, ended{sessions: found.sessions, users: found.users, byCookie: byCookie, legacy: shown})
}

// revokeAll returns the number of the newest revocation.
func (s *Service) revokeAll(ctx context.Context, doc *Document, now time.Time, sessions []session) (highest uint64, p *Problem) {
	for _, ended := range sessions {
		number, err := s.Sessions.RevokeSession(ctx, store.Revoke{SessionID: ended.id, Now: now, Retention: doc.retention(), LatestExpiry: ended.expires})
		if err != nil {
			return 0, s.storeFailed("revoke", err)
		}
		highest = max(highest, number)
	}
	return highest, nil
}

// endLegacy ends a live legacy session: first for the edges, which refuse its cookie's hash for as long as any such
// session may live, then at the application. Only live ones are noted, so that nobody fills the list with invented ones.
func (s *Service) endLegacy(ctx context.Context, doc *Document, now time.Time, shown shownSession) (uint64, *Problem) {
	expires := now.Add(doc.steer.SessionLife())
	if shown.Expires.After(expires) {
		expires = shown.Expires
	}
	hash := shown.hash()
	number, err := s.Sessions.Append(ctx, "legacy "+hash, revocation.Entry{Kind: revocation.Legacy, Value: hash, Expires: expires})
	if err != nil {
		return 0, s.storeFailed("append", err)
	}
	// An exchange that was under way may have made a login since the first look.
	login, p := s.endFamilyOf(ctx, doc, now, shown)
	if p != nil {
		return 0, p
	}
	err = doc.legacy.Revoke(ctx, shown.cookie)
	s.legacyDone("revoke", err)
	if err != nil {
		return 0, errLegacy
	}
	return max(number, login), nil
}
