package tokenhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// placeRevoked notes a session that a document revokes. A login also ends in ways that say nothing against the legacy session
// beside it, such as a refresh token that came too late.
const placeRevoked = "session revoked"

// noteRevoked remembers that a document revokes a session.
func (s *Service) noteRevoked(ctx context.Context, doc *Document, sid string) error {
	if doc.steer == nil {
		return nil
	}
	return s.Acquaintances.Acquaint(ctx, "session "+sid, placeRevoked, s.Now(), s.kept(doc))
}

// distrusted tells whether a login that is revoked was so by a document: it, everybody, or its user where the application
// cannot end that user's sessions. Then no session helps it to another login. Where the application ends them, one that it
// still has is younger.
func (s *Service) distrusted(ctx context.Context, doc *Document, now time.Time, family store.Family) (bool, *Problem) {
	if s.Revocations != nil {
		numbered := revocation.Credential{SessionID: revocation.SessionID(family.Number)}
		if !doc.endsUsers() {
			numbered.User = family.Subject
		}
		if s.Revocations.Revoked(numbered) {
			return true, nil
		}
	}
	noted, err := s.Acquaintances.Acquainted(ctx, "session "+family.SessionID, placeRevoked, now)
	if err != nil {
		return false, s.storeFailed("acquainted", err)
	}
	return noted, nil
}

// endsUsers tells whether somebody ends all sessions of a user.
func (d *Document) endsUsers() bool {
	if d.Legacy == nil || d.Legacy.Revoker == nil {
		return false
	}
	return d.Legacy.Revoker.Redis == nil || d.Legacy.Revoker.Redis.UserIndex != ""
}

// revokedBeside answers a refresh token of a login that is revoked. The session beside it heals the login, unless a document
// revoked that: then the session ends, too.
func (s *Service) revokedBeside(w http.ResponseWriter, r *http.Request, m mint, shown shownRefresh, family store.Family) (string, *Problem) {
	result, refused := refreshRefused(store.Revoked)
	if shown.session.Empty() || m.doc.steer == nil {
		return result, refused
	}
	bad, p := s.distrusted(r.Context(), m.doc, m.now, family)
	switch {
	case p != nil:
		return "unavailable", p
	case !bad:
		return s.orSession(w, r, m, shown.session, result, refused)
	}
	beside := s.besideRefresh(r, m, shown.session)
	if beside.live() && beside.User == family.Subject {
		if p := s.endDistrusted(w, r, m, beside); p != nil {
			return "unavailable", p
		}
	}
	return result, refused
}

// endDistrusted ends a session whose login a document revoked.
func (s *Service) endDistrusted(w http.ResponseWriter, r *http.Request, m mint, shown shownSession) *Problem {
	if _, p := s.endLegacy(r.Context(), m.doc, m.now, shown); p != nil {
		return p
	}
	s.Log.Info("session_distrusted", "user", shown.User, "session", shown.hash()[:12])
	clearSession(w, m.doc)
	return nil
}
