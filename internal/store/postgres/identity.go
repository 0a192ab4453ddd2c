package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyturn/keyturn/internal/revocation"
)

// numberShift makes room for a million numbers a second, so that a database made later begins above.
const numberShift = 20

// distrust is how long the entry that a new database begins with is kept: longer than any access token lives.
const distrust = 25 * time.Hour

// prepare finds out whether the database is the one that this process knows, makes and migrates what is missing, and
// begins anew where it was emptied, replaced or set back. A migration may take until patience ends.
func (s *Store) prepare(ctx, patience context.Context) error {
	select {
	case s.preparing <- struct{}{}:
		defer func() { <-s.preparing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.prepareOnce(ctx, patience)
	if err != nil && (errors.Is(err, errReadOnly) || !answered(err) && !isReason(err)) {
		s.pool.Reset() // the connections made before are of no use either; another host may be the primary now
		if ctx.Err() == nil {
			err = s.prepareOnce(ctx, patience)
		}
	}
	return err
}

func (s *Store) prepareOnce(ctx, patience context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = s.look(ctx, conn.Conn())
	if !gone(err) && !errors.Is(err, errReplaced) {
		return err
	}
	if err := s.migrate(patience, conn.Conn()); err != nil {
		return err
	}
	if err := s.begin(ctx, conn.Conn()); err != nil {
		return err
	}
	return s.look(ctx, conn.Conn())
}

func isReason(err error) bool {
	var own reasonError
	return errors.As(err, &own)
}

// look checks version, identity and numbers.
func (s *Store) look(ctx context.Context, conn *pgx.Conn) error {
	c := &call{conn: conn, id: s.ID(), floor: s.floor.Load()}
	version, readOnly, id := 0, "", identity{}
	err := c.read(ctx, func(b *pgx.Batch) {
		b.Queue("SELECT coalesce(max(version), 0), current_setting('transaction_read_only') FROM migrations").QueryRow(func(row pgx.Row) error {
			return row.Scan(&version, &readOnly)
		})
		id.queue(b)
	})
	if err != nil && !errors.Is(err, errReplaced) {
		return err
	}
	if err := s.checkVersion(version); err != nil {
		return err
	}
	if readOnly == "on" {
		return errReadOnly
	}
	if version < len(migrations) {
		return errReplaced
	}
	if err == nil {
		s.server.observe(id.text, time.Now())
		s.adopt(c.state)
	}
	return err
}

// begin gives the database an id and numbers above all that was seen, unless another process has done so.
func (s *Store) begin(ctx context.Context, conn *pgx.Conn) error {
	id, floor := s.ID(), s.floor.Load()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer rollback(tx)
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", s.lockKey("begin", "")); err != nil {
		return err
	}
	var now state
	const read = "SELECT id, last, last_revocation, all_before FROM meta FOR UPDATE"
	err = tx.QueryRow(ctx, read).Scan(&now.id, &now.last, &now.lastRevocation, &now.allBefore)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	found := err == nil
	// Another id is fine if it was begun above all that this process knows of; else it is another store, which does
	// not know whom this one distrusted.
	if found && now.last >= floor && (id == "" || now.id == id || now.allBefore > floor) {
		s.adopt(now)
		return nil
	}
	next, err := s.beginAnew(ctx, tx, max(floor, now.last))
	if err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	s.log.Warn("store_begun", "schema", s.target.schema, "id", next.id, "found", found, "first_number", next.last)
	s.adopt(next)
	return nil
}

// beginAnew writes the row meta and the entry that distrusts every session before.
func (s *Store) beginAnew(ctx context.Context, tx pgx.Tx, above uint64) (state, error) {
	var stored uint64
	var server time.Time
	const highest = "SELECT greatest((SELECT max(seq) FROM entries), (SELECT max(number) FROM families), 0), clock_timestamp()"
	if err := tx.QueryRow(ctx, highest).Scan(&stored, &server); err != nil {
		return state{}, err
	}
	now := s.now()
	if server.After(now) { // a clock far behind would begin below what others had, and distrust for no time
		now = server
	}
	start := uint64(max(now.Unix(), 0)) << numberShift //nolint:gosec // not negative
	if above = max(above, stored); above > 0 {
		start = max(start, above+1<<numberShift)
	}
	next := state{id: rand.Text(), last: start, lastRevocation: start, allBefore: start}
	var b pgx.Batch
	b.Queue(`INSERT INTO meta (id, last, last_revocation, all_before) VALUES ($1, $2, $2, $2)
		ON CONFLICT (one) DO UPDATE SET id = excluded.id, last = excluded.last, last_revocation = excluded.last, all_before = excluded.last`,
		next.id, signed(start))
	b.Queue("INSERT INTO entries (seq, kind, value, before, expires) VALUES ($1, $2, '', $1, $3)",
		signed(start), string(revocation.All), nanoseconds(now.Add(distrust)))
	s.queueNotify(&b)
	return next, tx.SendBatch(ctx, &b).Close()
}

// adopt takes what the database says as what this process knows.
func (s *Store) adopt(now state) {
	s.saw(now.last)
	if old := s.id.Swap(&now.id); old != nil && *old != now.id {
		s.log.Warn("store_replaced", "schema", s.target.schema, "id", now.id, "before", *old)
		s.watchers.Notify()
	}
	s.watchers.Heard(now.lastRevocation)
}
