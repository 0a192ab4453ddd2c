package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/internal/store"
)

// leaseKept is how long a lease that ran out is kept.
const leaseKept = "interval '1 minute'"

// PutLease implements [store.Leases]. It waits for the standbys that revocations wait for: a primary that is cut off from
// them would go on granting leases to edges that hear of no revocation any more.
func (s *Store) PutLease(ctx context.Context, edge string, applied uint64, length time.Duration) error {
	return s.do(ctx, false, func(ctx context.Context, c *call) error {
		c.repeatable = true
		return c.commit(ctx, func(b *pgx.Batch) {
			b.Queue("BEGIN")
			b.Queue(`INSERT INTO leases (edge, applied, until) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
				ON CONFLICT (edge) DO UPDATE SET applied = excluded.applied, until = excluded.until`,
				[]byte(edge), signed(applied), length.Microseconds())
		})
	})
}

// DropLease implements [store.Leases].
func (s *Store) DropLease(ctx context.Context, edge string) error {
	return s.do(ctx, false, func(ctx context.Context, c *call) error {
		_, err := c.conn.Exec(ctx, "DELETE FROM leases WHERE edge = $1", []byte(edge))
		return err
	})
}

// Leases implements [store.Leases].
func (s *Store) Leases(ctx context.Context) (store.LeaseTable, error) {
	var table store.LeaseTable
	err := s.do(ctx, false, func(ctx context.Context, c *call) error {
		table = store.LeaseTable{}
		begun, id := time.Now(), identity{}
		err := c.read(ctx, func(b *pgx.Batch) {
			id.queue(b)
			b.Queue(`SELECT edge, applied, (extract(epoch FROM until - clock_timestamp()) * 1000000)::bigint FROM leases
				WHERE until > clock_timestamp() - ` + leaseKept).Query(func(rows pgx.Rows) error {
				var edge []byte
				var applied uint64
				var left int64
				_, err := pgx.ForEachRow(rows, []any{&edge, &applied, &left}, func() error {
					table.Leases = append(table.Leases, store.Lease{Edge: string(edge), Applied: applied, Left: time.Duration(left) * time.Microsecond})
					return nil
				})
				return err
			})
		})
		if err == nil {
			table.Kept = s.server.observe(id.text, begun)
		}
		return err
	})
	return table, err
}

// identity tells servers apart that might hold different leases: a restart, a promotion and another machine have
// different ones, and so has a database that began anew.
type identity struct{ text string }

func (i *identity) queue(b *pgx.Batch) {
	b.Queue(`SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), extract(epoch FROM pg_postmaster_start_time()),
		CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END, (SELECT id FROM meta))`,
	).QueryRow(func(row pgx.Row) error { return row.Scan(&i.text) })
}

// server is which server this process talks to, and since when it knows. The zero value knows none.
type server struct {
	mu    sync.Mutex
	id    string
	since time.Time // with a monotonic reading
}

// observe notes the server that a question which was sent at the time at was answered by, and returns how long it was
// known then.
func (s *server) observe(id string, at time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id != id {
		s.id, s.since = id, time.Now()
	}
	return max(at.Sub(s.since), 0)
}
