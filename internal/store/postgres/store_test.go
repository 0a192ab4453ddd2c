package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/postgres"
	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

// shared is one server for all tests that do it no harm.
var shared struct {
	sync.Once
	server *postgres.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Stop()
	}
	os.Exit(code)
}

func sharedServer(t *testing.T) *postgres.Server {
	t.Helper()
	shared.Do(func() {
		shared.server, shared.err = postgres.Start(context.Background(), postgres.Options{Log: os.Stderr}) //nolint:usetesting // it outlives the test
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

func startServer(t *testing.T, options postgres.Options) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// database is an empty database with a role of its own.
type database struct {
	*testing.T
	server         *postgres.Server
	name           string
	dir            string
	sslmode, query string
}

func newDatabase(t *testing.T, server *postgres.Server) *database {
	t.Helper()
	name, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &database{T: t, server: server, name: name, dir: t.TempDir(), sslmode: "disable"}
	d.file("username", name+"\n")
	d.file("password", name+"\n")
	return d
}

func (d *database) file(name, content string) { d.write(d.T, name, content) }

func (d *database) write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *database) exec(statements ...string) {
	d.Helper()
	if err := d.server.Exec(d.Context(), d.name, statements...); err != nil {
		d.Fatal(err)
	}
}

func (d *database) url() string {
	return fmt.Sprintf("postgres://%s/%s?sslmode=%s%s", d.server.Address(), url.PathEscape(d.name), d.sslmode, d.query)
}

func (d *database) open() *Store { d.Helper(); return d.openWithin(operationTimeout) }

// patient is open where many ask for one thing at once, which a busy machine answers late; what is late is not the question.
func (d *database) patient() *Store { d.Helper(); return d.openWithin(10 * operationTimeout) }

func (d *database) openWithin(within time.Duration) *Store {
	d.Helper()
	s, err := Open(Config{URL: d.url(), Dir: d.dir, Log: slog.New(slog.NewTextHandler(d.Output(), nil)), within: within})
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return newDatabase(t, sharedServer(t)).patient() })
	storetest.RunDurable(t, func(t *testing.T) storetest.Reopen {
		d := newDatabase(t, sharedServer(t))
		return func(*testing.T) store.Store { return d.patient() }
	})
}

func TestConformanceShared(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T) []store.Shared {
		d := newDatabase(t, sharedServer(t))
		return []store.Shared{d.patient(), d.patient(), d.patient()}
	})
}

var limits = store.Limits{Idle: time.Hour, Absolute: time.Hour, RetryWindow: time.Minute, Retention: store.Retention{AccessTTL: time.Hour}}

func (d *database) login(s *Store, user string) store.Created {
	d.Helper()
	created, err := s.Create(d.Context(), store.NewFamily{Owner: store.Owner{Subject: user}, Now: storetest.Start, Limits: limits})
	if err != nil {
		d.Fatal(err)
	}
	return created
}

func (d *database) logout(s *Store, sid string) uint64 {
	d.Helper()
	seq, err := s.RevokeSession(d.Context(), store.Revoke{SessionID: sid, Now: storetest.Start, Retention: limits.Retention})
	if err != nil {
		d.Fatal(err)
	}
	return seq
}

func (d *database) inspect(s *Store, token store.Token, want store.Outcome) {
	d.Helper()
	seen, err := s.Inspect(d.Context(), token, storetest.Start, 0)
	if err != nil || seen.Outcome != want {
		d.Fatalf("Inspect: %q, %v; want %q", seen.Outcome, err, want)
	}
}

func (d *database) entries(s *Store) []revocation.Entry {
	d.Helper()
	entries, more, err := s.Revocations(d.Context(), 0, 1000)
	if err != nil || more {
		d.Fatal(more, err)
	}
	return entries
}
