package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/internal/store"
)

// Acquaint implements [store.Acquaintances].
func (s *Store) Acquaint(ctx context.Context, account, place string, now, expires time.Time) error {
	a, p := hash("account", account), hash("place", place)
	return s.do(ctx, true, func(ctx context.Context, c *call) error {
		c.repeatable = true
		return c.commit(ctx, func(b *pgx.Batch) {
			b.Queue("BEGIN")
			b.Queue("SELECT pg_advisory_xact_lock($1)", s.lockKey("account", account))
			b.Queue("DELETE FROM places WHERE account = $1 AND (place = $2 OR expires <= $3)", a, p, nanoseconds(now))
			// Before the new one is in: a clock set back must not make it the oldest.
			b.Queue(`DELETE FROM places WHERE account = $1 AND place IN
				(SELECT place FROM places WHERE account = $1 ORDER BY used DESC, place OFFSET $2)`, a, store.MaxPlaces-1)
			b.Queue("INSERT INTO places (account, place, used, expires) VALUES ($1, $2, $3, $4)", a, p, nanoseconds(now), nanoseconds(expires))
		})
	})
}

// Acquainted implements [store.Acquaintances].
func (s *Store) Acquainted(ctx context.Context, account, place string, now time.Time) (bool, error) {
	found := false
	err := s.do(ctx, false, func(ctx context.Context, c *call) error {
		return c.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM places WHERE account = $1 AND place = $2 AND expires > $3)",
			hash("account", account), hash("place", place), nanoseconds(now)).Scan(&found)
	})
	return found, err
}
