package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keyturn/keyturn/internal/store"
)

// Store is a [store.Shared] in a PostgreSQL database. It is safe for concurrent use; make it with [Open].
type Store struct {
	target  target
	dir     string
	channel string
	log     *slog.Logger
	now     func() time.Time
	pool    *pgxpool.Pool

	id       atomic.Pointer[string]
	floor    atomic.Uint64 // the highest number that was seen
	health   *health
	watchers store.Watchers
	server   server

	preparing chan struct{} // held by who looks at the database's identity
	wake      chan struct{} // wakes the keeper
	stop      context.CancelFunc
	ended     sync.WaitGroup // keeper and listener

	gate       sync.Mutex
	closed     bool
	operations sync.WaitGroup
}

var (
	_ store.Shared  = (*Store)(nil)
	_ store.Clocked = (*Store)(nil)
)

// Open checks the configuration, which includes the files of its directory, and begins to connect. It does not wait:
// operations do, for a moment, and fail while the database is not usable; see [Store.Reason].
func Open(config Config) (*Store, error) {
	t, err := parseURL(config.URL)
	if err != nil {
		return nil, err
	}
	if config.within > 0 {
		t.within = config.within
	}
	if _, err := readCredentials(config.Dir); err != nil {
		return nil, err
	}
	s := &Store{
		target: t, dir: config.Dir, channel: channelOf(t.schema), log: config.Log, now: config.Now,
		health: newHealth(), preparing: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	pool, err := t.poolConfig()
	if err != nil {
		return nil, err
	}
	pool.BeforeConnect, pool.AfterConnect, pool.BeforeClose = s.beforeConnect, s.afterConnect, beforeClose
	pool.ConnConfig.OnNotice = onNotice
	ctx, cancel := context.WithCancel(context.Background())
	if s.pool, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
		cancel()
		return nil, err
	}
	s.stop = cancel
	s.ended.Go(func() { s.keep(ctx) })
	s.ended.Go(func() { s.listen(ctx) })
	return s, nil
}

// Reason says why the store is not usable at present and how to mend it; empty if it is.
func (s *Store) Reason() string { return s.health.current() }

// ID implements [store.Keeper].
func (s *Store) ID() string {
	if id := s.id.Load(); id != nil {
		return *id
	}
	return ""
}

// closePatience bounds how long Close waits for connections that a silent server keeps.
const closePatience = 3 * time.Second

// Close waits for the operations under way. Later ones fail with [store.ErrUnavailable].
func (s *Store) Close() error {
	s.gate.Lock()
	already := s.closed
	s.closed = true
	s.gate.Unlock()
	if already {
		return nil
	}
	s.operations.Wait()
	s.stop()
	s.ended.Wait()
	closed := make(chan struct{})
	go func() { s.pool.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(closePatience):
	}
	return nil
}

// enter counts an operation in, unless the store is closed.
func (s *Store) enter() error {
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closed {
		return errClosed
	}
	s.operations.Add(1)
	return nil
}

func (s *Store) beforeConnect(_ context.Context, config *pgx.ConnConfig) error {
	c, err := readCredentials(s.dir)
	if err != nil {
		return reasonError(err.Error())
	}
	c.fill(config, s.target.sslmode)
	return nil
}

// afterConnect refuses a server that would not keep what it acknowledges.
func (s *Store) afterConnect(ctx context.Context, conn *pgx.Conn) error {
	const look = `SELECT pg_is_in_recovery(), current_setting('fsync'), current_setting('transaction_read_only'),
		CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN current_setting('synchronous_commit')
		ELSE set_config('synchronous_commit', 'on', false) END`
	var standby bool
	var fsync, readOnly, commit string
	if err := conn.QueryRow(ctx, look).Scan(&standby, &fsync, &readOnly, &commit); err != nil {
		return err
	}
	switch {
	case standby:
		return errStandby
	case readOnly != "off":
		return errReadOnly
	case fsync != "on" && !s.target.relaxed:
		return errNoFlush
	default:
		return nil
	}
}

// beforeClose keeps a silent server from holding up the end of a connection.
func beforeClose(conn *pgx.Conn) {
	if !conn.IsClosed() {
		_ = conn.PgConn().Conn().SetDeadline(time.Now().Add(time.Second))
	}
}

// warned is where a connection keeps that the server warned of something; see [call.commit].
const warned = "keyturn.warned"

func onNotice(conn *pgconn.PgConn, notice *pgconn.Notice) {
	if notice.SeverityUnlocalized == "WARNING" {
		conn.CustomData()[warned] = true
	}
}

// hash is half a SHA-256 of what kind and text say: what comes from outside may be long, and is not kept in the clear.
func hash(kind, text string) []byte {
	sum := sha256.Sum256([]byte(kind + "\x00" + text))
	return sum[:16]
}

// lockKey is the advisory lock for something of this schema.
func (s *Store) lockKey(kind, text string) int64 {
	sum := hash(s.target.schema+"\x00"+kind, text)
	return int64(binary.BigEndian.Uint64(sum)) //nolint:gosec // any 64 bits
}
