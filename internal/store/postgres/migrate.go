package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"sort"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations are the steps in order; step n makes version n+1. A released one is never changed.
var migrations = readMigrations()

func readMigrations() []string {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		panic(err) // only for a malformed pattern
	}
	sort.Strings(names)
	var steps []string
	for n, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		if want := fmt.Sprintf("migrations/%04d_", n+1); name[:len(want)] != want {
			panic(name + " is out of order")
		}
		steps = append(steps, string(text))
	}
	return steps
}

// migrate makes the schema and brings it to the version of this build. Several processes may do so at once.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn) error {
	for {
		done, err := s.migrateOnce(ctx, conn)
		if err != nil || done {
			return err
		}
	}
}

// migrateOnce does one step in a transaction and tells whether none is left.
func (s *Store) migrateOnce(ctx context.Context, conn *pgx.Conn) (done bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer rollback(tx)
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '10min'; SET LOCAL idle_in_transaction_session_timeout = '1min'"); err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", s.lockKey("migrate", "")); err != nil {
		return false, err
	}
	schema := pgx.Identifier{s.target.schema}.Sanitize()
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL", schema).Scan(&exists); err != nil {
		return false, err
	}
	if !exists { // CREATE … IF NOT EXISTS asks for the right to create, though it is there
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
			return false, err
		}
	}
	if _, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT clock_timestamp())"); err != nil {
		return false, err
	}
	var version int
	if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM migrations").Scan(&version); err != nil {
		return false, err
	}
	if err := s.checkVersion(version); err != nil {
		return false, err
	}
	if version < len(migrations) {
		if _, err := tx.Exec(ctx, migrations[version]); err != nil {
			return false, fmt.Errorf("migration %d: %w", version+1, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO migrations (version) VALUES ($1)", version+1); err != nil {
			return false, err
		}
		s.log.Info("store_migrated", "schema", s.target.schema, "version", version+1)
	}
	return version+1 >= len(migrations), tx.Commit(ctx)
}

// checkVersion refuses a schema that a later build made: what it means is not known here.
func (s *Store) checkVersion(version int) error {
	if version > len(migrations) {
		return reasonError(fmt.Sprintf("the schema %s has version %d, and this build knows %d: run the version that made it, or a later one", s.target.schema, version, len(migrations)))
	}
	return nil
}

// rollback ends a transaction that was not committed.
func rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_ = tx.Rollback(ctx) // after a commit there is nothing; else the connection is dropped
}
