package tokenhttp

import (
	"context"
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/store"
)

// From the deprecation on a login outlives the session that it came of. One that the application ended before its time, such
// as at a logout there or because the account was closed, still bounds its login, as before: by the end that it was known to
// have. That is told from one that ran out by what was noted when it was last seen alive.
const (
	placeAlive = "session alive"
	placeEarly = "session ended early"
	// earlyBy is how much earlier at least: what is known of a session, and clocks, may be off by so much.
	earlyBy = time.Minute
)

// unbounded tells whether sessions do not bound their logins any more, and can still be looked at.
func (m mint) unbounded() bool {
	rules := m.doc.steer.Rules()
	return m.doc.steer != nil && rules.EndsSession(m.now) && rules.Schedule.Stage(m.now) != rollout.Migrating
}

// noteAlive remembers until when a live session is known to live.
func (s *Service) noteAlive(ctx context.Context, m mint, shown shownSession) error {
	if !m.unbounded() || !shown.live() {
		return nil
	}
	end := shown.Expires
	if end.IsZero() {
		end = m.now.Add(m.doc.steer.SessionLife())
	}
	if end = end.Add(-earlyBy); !end.After(m.now) {
		return nil
	}
	return s.Acquaintances.Acquaint(ctx, "session "+shown.hash(), placeAlive, m.now, end)
}

// endedEarly tells whether the time is over of a login whose session, shown beside it, the application ended early.
func (s *Service) endedEarly(ctx context.Context, m mint, family store.Family, shown shownSession) (bool, error) {
	if family.Source != legacySource || !m.unbounded() {
		return false, nil
	}
	if shown.live() && shown.User == family.Subject {
		return false, s.noteAlive(ctx, m, shown)
	}
	if !errors.Is(shown.err, legacy.ErrInvalid) {
		return false, nil
	}
	account := "session " + shown.hash()
	alive, err := s.Acquaintances.Acquainted(ctx, account, placeAlive, m.now)
	if err != nil {
		return false, err
	}
	if alive {
		return false, s.Acquaintances.Acquaint(ctx, account, placeEarly, m.now, family.AbsoluteExpiry.Add(earlyBy))
	}
	return s.Acquaintances.Acquainted(ctx, account, placeEarly, m.now)
}
