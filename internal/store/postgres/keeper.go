package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// How often the keeper looks at a good database, and at one that is not usable.
const (
	lookEvery  = 2 * time.Second
	retryEvery = 300 * time.Millisecond
	// migrationTimeout bounds a migration.
	migrationTimeout = 10 * time.Minute
)

// keep looks after the database until ctx ends: at first, then every moment, and at once when an operation failed.
func (s *Store) keep(ctx context.Context) {
	for {
		err := s.lookOnce(ctx)
		if ctx.Err() != nil {
			s.health.verdict(string(errClosed))
			return
		}
		if reason := explain(err); s.health.verdict(reason) {
			if reason == "" {
				s.log.Info("store_available", "id", s.ID())
			} else {
				s.log.Error("store_unavailable", "reason", reason)
			}
		}
		wait := lookEvery
		if err != nil {
			wait = retryEvery + rand.N(retryEvery/2) //nolint:gosec // only spreads the attempts
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
			if err != nil { // it is known already: the timer bounds the attempts
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
		}
		timer.Stop()
	}
}

func (s *Store) lookOnce(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, migrationTimeout)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, s.lookTimeout())
	defer stop()
	return s.prepare(ctx, patience)
}

// lookTimeout leaves time for several hosts of which all but the last are silent.
func (s *Store) lookTimeout() time.Duration {
	return time.Duration(len(s.target.hosts))*connectTimeout + operationTimeout/2
}

// listen hears of the entries that other processes write, on a connection of its own, until ctx ends.
func (s *Store) listen(ctx context.Context) {
	for again := false; ctx.Err() == nil; {
		if err := s.health.usable(ctx); err == nil {
			again = s.listenOnce(ctx, again) || again
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}

// listenOnce listens until the connection ends and tells whether it began to. again says that it did before: what
// was written in between is not known.
func (s *Store) listenOnce(ctx context.Context, again bool) bool {
	conn, err := s.connect(ctx)
	if err != nil {
		return false
	}
	defer func() {
		beforeClose(conn)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	var last uint64
	err = bounded(ctx, func(ctx context.Context) error {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.channel}.Sanitize()); err != nil {
			return err
		}
		return conn.QueryRow(ctx, "SELECT last_revocation FROM meta").Scan(&last)
	})
	if err != nil {
		return false
	}
	if again {
		s.watchers.Notify()
	}
	s.watchers.Heard(last)
	for {
		n, err := waitForNotification(ctx, conn)
		switch {
		case err != nil:
			s.poke()
			return true
		case n != nil:
			s.watchers.Rumour(parseNumber(n.Payload))
		}
	}
}

// connect opens a connection that is not of the pool.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	config := s.pool.Config().ConnConfig
	if err := s.beforeConnect(ctx, config); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.lookTimeout())
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := s.afterConnect(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// poke has the keeper look at once.
func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func bounded(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	return do(ctx)
}
