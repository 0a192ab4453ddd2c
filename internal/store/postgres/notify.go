package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// silence is how long the listener waits before it asks the server for a sign of life: a connection that a firewall
// has forgotten never ends by itself.
const silence = 10 * time.Second

// channelOf is the channel of a schema, which keeps two in one database apart. No name in PostgreSQL is longer than 63
// bytes, and notifying under a longer one is an error.
func channelOf(schema string) string {
	const prefix = "keyturn_"
	if len(prefix)+len(schema) <= 63 {
		return prefix + schema
	}
	return prefix + hex.EncodeToString(hash("channel", schema))
}

// waitForNotification returns nil without an error when the server was silent but is alive.
func waitForNotification(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	if err == nil || ctx.Err() != nil || !errors.Is(waiting.Err(), context.DeadlineExceeded) || conn.IsClosed() {
		return n, err
	}
	return nil, bounded(ctx, conn.Ping)
}

// queueNotify tells the other processes of the newest entry when the transaction commits.
func (s *Store) queueNotify(b *pgx.Batch) {
	b.Queue("SELECT pg_notify($1, (SELECT last_revocation::text FROM meta))", s.channel)
}

// parseNumber reads what queueNotify sent; anything else is 0.
func parseNumber(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64) // see [store.Watchers.Rumour]
	return n
}

// Subscribe implements [store.Log].
func (s *Store) Subscribe() (<-chan struct{}, func()) { return s.watchers.Subscribe() }
