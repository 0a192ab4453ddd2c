package postgres

import (
	"context"
	"time"
)

// compactStep is how many records one statement looks at, so that nobody waits long behind a compaction.
const compactStep = 1000

// pageSQL forgets the families of one page that are over: $1 the key to begin above, $2 now. Those in use are left for the
// next time.
const pageSQL = `
WITH page AS (SELECT key FROM families WHERE key > $1 ORDER BY key LIMIT $3),
over AS (SELECT key FROM families WHERE key IN (SELECT key FROM page)
	AND CASE WHEN revoked <> 0 THEN forget_after < $2 ELSE ends < $2 END FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM families WHERE key IN (SELECT key FROM over) RETURNING 1)
SELECT (SELECT key FROM page ORDER BY key DESC LIMIT 1), (SELECT count(*) FROM gone)`

// sweeps are the other tables: a statement each, with $1 now and $2 how many rows at most, and whether they count.
var sweeps = []struct {
	sql   string
	count bool
}{
	{sweepSQL("entries", "seq", "expires < $1"), true},
	{sweepSQL("known", "key", "expires < $1"), false},
	{sweepSQL("counters", "key", "until < $1"), false},
	{sweepSQL("places", "ctid", "expires < $1"), false},
	{sweepSQL("leases", "edge", "until < clock_timestamp() - "+leaseKept+" AND $1::bigint IS NOT NULL"), false},
}

func sweepSQL(table, key, over string) string {
	return "DELETE FROM " + table + " WHERE " + key + " = ANY(ARRAY(SELECT " + key + " FROM " + table + " WHERE " + over + " LIMIT $2 FOR UPDATE SKIP LOCKED))"
}

// Compact implements [store.Keeper]. It walks the whole store in small transactions.
func (s *Store) Compact(ctx context.Context, now time.Time) (int, error) {
	at := nanoseconds(now)
	removed := 0
	for from := []byte{}; from != nil; {
		count := 0
		err := s.do(ctx, false, func(ctx context.Context, c *call) error {
			var next []byte
			var n int
			err := c.conn.QueryRow(ctx, pageSQL, from, at, compactStep).Scan(&next, &n)
			if err == nil {
				from, count = next, n
			}
			return err
		})
		removed += count
		if err != nil {
			return removed, err
		}
	}
	for _, sweep := range sweeps {
		for count := int64(compactStep); count == compactStep; {
			err := s.do(ctx, false, func(ctx context.Context, c *call) error {
				tag, err := c.conn.Exec(ctx, sweep.sql, at, compactStep)
				count = tag.RowsAffected()
				return err
			})
			if err != nil {
				return removed, err
			}
			if sweep.count {
				removed += int(count)
			}
		}
	}
	return removed, nil
}

// Clock implements [store.Clocked].
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	var at time.Time
	err := s.do(ctx, false, func(ctx context.Context, c *call) error {
		return c.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at)
	})
	return at, err
}
