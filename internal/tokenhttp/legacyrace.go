package tokenhttp

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/store"
)

// A session has no number to compare with a revocation, so what ends it and what makes a login of it meet in the store:
//
//	logout, revocation │ the entry is written ─▶ the login that the session has become is looked for, and ended
//	exchange           │ the login is written ─▶ the entries before it are looked at, and the login ended if one hits
//
// Whichever writes second sees what the other wrote. A revocation of a user ends the application's sessions before its last
// entry, so a session that the application still has after that entry is younger than it.

// catchUpWithin is how long an exchange waits for its replica to have read the revocations from before the login.
const catchUpWithin = time.Second

// freshFor asks the application again, whatever is remembered, where the user of a session was revoked: another replica may
// have ended the user's sessions there. Edges do the same.
func (s *Service) freshFor(ctx context.Context, doc *Document, shown shownSession) shownSession {
	if shown.err != nil || s.Revocations == nil {
		return shown
	}
	before := s.Revocations.UserBefore(shown.User)
	if before == 0 {
		return shown
	}
	doc.legacy.Forget(shown.cookie)
	shown = s.validated(ctx, doc, shown.cookie)
	shown.before = before
	return shown
}

// outlived looks at a session again after it has become a login: one that was ended meanwhile, or of which this replica
// cannot tell, has become none.
func (s *Service) outlived(r *http.Request, m mint, shown shownSession, family store.Family) error {
	if s.Revocations == nil {
		return nil
	}
	err := s.lookAgain(r.Context(), m.doc, shown)
	if err != nil {
		s.abandon(r, m, store.Created{Family: family})
	}
	return err
}

func (s *Service) lookAgain(ctx context.Context, doc *Document, shown shownSession) error {
	last, err := s.Sessions.Last(ctx)
	if err != nil || !s.caughtUp(ctx, last) {
		return fmt.Errorf("%w: the revocations are not read", legacy.ErrUnavailable)
	}
	again := s.notEnded(shown)
	if again.err == nil && s.Revocations.UserBefore(shown.User) != shown.before {
		again = s.lookAt(ctx, doc, shown.cookie)
	}
	if again.err == nil && again.User != shown.User {
		return legacy.ErrInvalid
	}
	return again.err
}

// caughtUp waits until this replica knows every revocation up to a number.
func (s *Service) caughtUp(ctx context.Context, number uint64) bool {
	if s.Revocations.Applied() >= number {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.Revocations.Applied() < number {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// endFamilyOf ends the login that a session has become, if any.
func (s *Service) endFamilyOf(ctx context.Context, doc *Document, now time.Time, shown shownSession) (uint64, *Problem) {
	var found credentials
	if p := s.resolveRefresh(ctx, store.DeriveToken(shown.cookie, doc.Header.Issuer).Text(), now, &found); p != nil {
		return 0, p
	}
	return s.revokeAll(ctx, doc, now, found.sessions)
}
