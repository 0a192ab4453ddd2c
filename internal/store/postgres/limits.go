package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/internal/store"
)

// takeSQL counts one event: $1 key, $2 limit, $3 window, $4 now. A clock set back must not free the past, so no event
// is before the newest. One that is refused changes nothing but that the aged ones go.
const takeSQL = `
INSERT INTO counters AS c (key, events, allowed, until) VALUES ($1, ARRAY[$4::bigint], true, $4::bigint + $3::bigint)
ON CONFLICT (key) DO UPDATE SET (events, allowed, until) = (
	SELECT CASE WHEN free THEN kept || newest ELSE kept END, free, greatest(c.until, newest + $3::bigint)
	FROM (
		SELECT kept, cardinality(kept) < $2::int AS free, greatest($4::bigint, kept[cardinality(kept)]) AS newest
		FROM (SELECT ARRAY(SELECT e FROM unnest(c.events) AS e WHERE $4::bigint < e + $3::bigint ORDER BY e) AS kept) AS k
	) AS j)
RETURNING events, allowed`

// Take implements [store.Limiter]. A refusal is read without a lock, so that who knocks on one key again and again
// holds up nobody. Counters are not flushed: see the package's comment.
func (s *Store) Take(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (store.Counted, error) {
	if limit <= 0 || window <= 0 {
		return store.Counted{Reset: window}, nil
	}
	k, at := hash("counter", key), nanoseconds(now)
	var counted store.Counted
	err := s.do(ctx, false, func(ctx context.Context, c *call) error {
		var events []int64
		err := c.conn.QueryRow(ctx, "SELECT events FROM counters WHERE key = $1", k).Scan(&events)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if events = live(events, window, at); len(events) >= limit {
			counted = refusal(events, limit, window, at)
			return nil
		}
		allowed := false
		err = c.commit(ctx, func(b *pgx.Batch) {
			b.Queue("BEGIN")
			b.Queue("SET LOCAL synchronous_commit = off")
			b.Queue(takeSQL, k, limit, int64(window), at).QueryRow(func(row pgx.Row) error { return row.Scan(&events, &allowed) })
		})
		if err != nil {
			return err
		}
		if !allowed {
			counted = refusal(events, limit, window, at)
			return nil
		}
		counted = store.Counted{Allowed: true, Remaining: limit - len(events)}
		if counted.Remaining == 0 {
			counted.Reset = window - time.Duration(events[len(events)-1]-events[0])
		}
		return nil
	})
	return counted, err
}

// live are the events that have not aged.
func live(events []int64, window time.Duration, now int64) []int64 {
	for len(events) > 0 && now >= events[0]+int64(window) {
		events = events[1:]
	}
	return events
}

// refusal answers for a key with at least limit events: the limit may have been lowered, so the event that must age is
// not always the first.
func refusal(events []int64, limit int, window time.Duration, now int64) store.Counted {
	return store.Counted{Reset: time.Duration(events[len(events)-limit] + int64(window) - now)}
}

// Refund implements [store.Limiter].
func (s *Store) Refund(ctx context.Context, key string) error {
	return s.do(ctx, false, func(ctx context.Context, c *call) error {
		return c.commit(ctx, func(b *pgx.Batch) {
			b.Queue("BEGIN")
			b.Queue("SET LOCAL synchronous_commit = off")
			b.Queue("UPDATE counters SET events = events[1:cardinality(events) - 1] WHERE key = $1 AND cardinality(events) > 0", hash("counter", key))
		})
	})
}
