package tokenhttp

import (
	"context"
	"errors"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/secret"
)

// Ask tells an edge what a legacy session is worth. It implements [feed.Sessions].
func (s *Service) Ask(ctx context.Context, cookie secret.Text) (feed.SessionAnswer, error) {
	doc := s.Document()
	if doc == nil || !doc.steer.Rules().EndsSession(s.Now()) {
		return feed.SessionAnswer{}, feed.ErrNoSessions
	}
	if feed.Fresh(ctx) {
		doc.legacy.Forget(cookie)
	}
	// An edge has the revocations itself, complete, and its own rule for when they are out of date: while the store is down,
	// sessions are accepted for as long as tokens are.
	shown := s.notEnded(s.validated(ctx, doc, cookie))
	switch {
	case errors.Is(shown.err, legacy.ErrInvalid):
		return feed.SessionAnswer{}, nil
	case shown.err != nil:
		return feed.SessionAnswer{}, shown.err
	}
	// Who works with a session shows it as often as others refresh their tokens: without this, only their logins were forced.
	s.counter.Given(doc.steer, s.Now(), shown.User)
	claims := known(doc.Access.Claims, shown.Claims)
	return feed.SessionAnswer{Valid: true, User: shown.User, Role: shown.Role, Claims: claims, Expires: shown.Expires}, nil
}
