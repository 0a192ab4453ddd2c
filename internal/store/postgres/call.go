package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// attempts is how often an operation is tried that certainly changed nothing.
const attempts = 3

// state is the row meta.
type state struct {
	id                              string
	last, lastRevocation, allBefore uint64
}

// call is one attempt at an operation: a transaction on one connection.
type call struct {
	conn *pgx.Conn
	// id and floor are what was known before the transaction began.
	id    string
	floor uint64
	// state is the row meta as [call.begin] or [call.read] found it.
	state state
	// standby tells whether commits wait for a standby.
	standby bool
	// committing is set when the COMMIT may have reached the server.
	committing bool
	// repeatable is set by operations that may be done twice.
	repeatable bool
	// wrote is the newest number that was written, entry the newest of an entry; 0 for none.
	wrote, entry uint64
}

// do runs an operation: bounded in time, again after what certainly changed nothing, and with [store.ErrUnavailable]
// around every error. write tells whether its end says something about writing.
func (s *Store) do(ctx context.Context, write bool, work func(ctx context.Context, c *call) error) error {
	if err := s.enter(); err != nil {
		return unavailable(err)
	}
	defer s.operations.Done()
	caller := ctx
	ctx, cancel := context.WithTimeout(caller, s.target.within)
	defer cancel()
	err := s.health.usable(ctx)
	for n := 0; err == nil && n < attempts; n++ {
		var again bool
		if again, err = s.attempt(ctx, work); err == nil {
			if write {
				s.health.outcome("")
			}
			return nil
		}
		if !again || n == attempts-1 || ctx.Err() != nil {
			break
		}
		if errors.Is(err, errReplaced) || gone(err) {
			err = s.prepare(ctx, ctx)
		} else {
			err = nil
		}
	}
	s.trouble(caller, err)
	return unavailable(err)
}

// attempt tells with an error whether the operation may be tried again.
func (s *Store) attempt(ctx context.Context, work func(ctx context.Context, c *call) error) (again bool, err error) {
	c := &call{id: s.ID(), floor: s.floor.Load()}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return true, err
	}
	defer conn.Release()
	c.conn = conn.Conn()
	err = work(ctx, c)
	c.end()
	if err == nil {
		s.saw(max(c.state.last, c.wrote))
		if c.entry != 0 {
			s.watchers.Heard(c.entry)
		}
		return false, nil
	}
	switch {
	case errors.Is(err, errReplaced), readOnly(err):
		// The connection may be to a server that was the primary once: what it says must not count again.
		s.pool.Reset()
		return true, err
	case aborted(err), gone(err):
		return true, err
	case c.committing && c.standby && !answered(err):
		return false, errors.Join(errDoubt, err)
	}
	if again = (!c.committing || c.repeatable) && c.conn.IsClosed() && ctx.Err() == nil; again {
		s.pool.Reset() // as it turned out, this connection had died, and others may have
	}
	return again, err // a connection that had died, as it turned out
}

// trouble notes a failed operation and has the keeper look at once, unless the caller gave up.
func (s *Store) trouble(caller context.Context, err error) {
	if caller.Err() != nil {
		return
	}
	s.health.outcome(explain(err))
	s.poke()
}

// saw raises the highest number known.
func (s *Store) saw(number uint64) {
	for {
		old := s.floor.Load()
		if number <= old || s.floor.CompareAndSwap(old, number) {
			return
		}
	}
}

// begin begins the transaction with queries and looks at the row meta after them, in one round trip.
func (c *call) begin(ctx context.Context, queue func(b *pgx.Batch)) error {
	var b pgx.Batch
	b.Queue("BEGIN")
	if queue != nil {
		queue(&b)
	}
	c.lookAtState(&b)
	if err := c.conn.SendBatch(ctx, &b).Close(); err != nil {
		return absent(err)
	}
	return c.same()
}

// read runs queries and a look at the row meta, each by itself, in one round trip.
func (c *call) read(ctx context.Context, queue func(b *pgx.Batch)) error {
	var b pgx.Batch
	queue(&b)
	c.lookAtState(&b)
	if err := c.conn.SendBatch(ctx, &b).Close(); err != nil {
		return absent(err)
	}
	return c.same()
}

func (c *call) lookAtState(b *pgx.Batch) {
	b.Queue("SELECT id, last, last_revocation, all_before, current_setting('synchronous_standby_names') <> '' FROM meta").QueryRow(func(row pgx.Row) error {
		return row.Scan(&c.state.id, &c.state.last, &c.state.lastRevocation, &c.state.allBefore, &c.standby)
	})
}

// same checks that the database is the one that this process knows, and no earlier state of it.
func (c *call) same() error {
	if c.state.id != c.id || c.state.last < c.floor {
		return errReplaced
	}
	return nil
}

// commit runs queries and the COMMIT in one round trip, so that locks taken here wait for no client.
func (c *call) commit(ctx context.Context, queue func(b *pgx.Batch)) error {
	tag := ""
	err := c.write(ctx, func(b *pgx.Batch) {
		queue(b)
		b.Queue("COMMIT").Exec(func(t pgconn.CommandTag) error { tag = t.String(); return nil })
	})
	if err == nil && tag != "COMMIT" {
		return reasonError("the server rolled back")
	}
	return err
}

// write runs queries that commit, or a single one outside of a transaction, which commits by itself.
func (c *call) write(ctx context.Context, queue func(b *pgx.Batch)) error {
	var b pgx.Batch
	queue(&b)
	delete(c.conn.PgConn().CustomData(), warned)
	c.committing = true
	if err := c.conn.SendBatch(ctx, &b).Close(); err != nil {
		return absent(err)
	}
	// A wait for the standby that was cut short is no error to the server: it warns, and answers COMMIT.
	if c.conn.PgConn().CustomData()[warned] != nil {
		return errDoubt
	}
	return nil
}

// known ends an operation that found its work done by an earlier one. That one may still be on its way to the standby;
// a commit behind it waits for both.
func (c *call) known(ctx context.Context) error {
	if !c.standby {
		return nil
	}
	c.end()
	return c.write(ctx, func(b *pgx.Batch) { b.Queue("SELECT pg_logical_emit_message(true, 'keyturn', '')::text") })
}

// endTimeout bounds a rollback. Where it fails the pool drops the connection, and the server rolls back.
const endTimeout = 500 * time.Millisecond

// end rolls back what was not committed.
func (c *call) end() {
	if c.conn.IsClosed() || c.conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_, _ = c.conn.Exec(ctx, "ROLLBACK")
}

// absent makes a row meta that is not there a sign of a replaced database.
func absent(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errReplaced
	}
	return err
}
