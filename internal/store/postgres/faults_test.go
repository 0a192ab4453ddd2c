package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/postgres"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

// patience is what a busy machine may need for what takes a moment. A pool that keeps dead connections takes half an hour.
const patience = 20 * time.Second

// unavailable waits until a login fails for the reason.
func (d *database) unavailable(s *Store, reason string) {
	d.Helper()
	d.eventually(patience, func() error {
		_, err := s.Create(d.Context(), store.NewFamily{Owner: store.Owner{Subject: "x"}, Now: storetest.Start, Limits: limits})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), reason) {
			return fmt.Errorf("Create: %w; want %q", or(err), reason)
		}
		if !strings.Contains(s.Reason(), reason) {
			return fmt.Errorf("Reason() = %q, want %q", s.Reason(), reason)
		}
		return nil
	})
}

// recovers waits until a login works and returns how long that took.
func (d *database) recovers(s *Store, within time.Duration) time.Duration {
	d.Helper()
	begun := time.Now()
	d.eventually(within, func() error {
		_, err := s.Create(d.Context(), store.NewFamily{Owner: store.Owner{Subject: "x"}, Now: storetest.Start, Limits: limits})
		if err == nil && s.Reason() != "" {
			return fmt.Errorf("a login worked, and Reason() = %q", s.Reason())
		}
		return err
	})
	d.Logf("recovered after %s", time.Since(begun).Round(time.Millisecond))
	return time.Since(begun)
}

func (d *database) eventually(within time.Duration, try func() error) {
	d.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.Fatalf("after %s: %v", within, err)
		}
		<-tick.C
	}
}

// missing makes the absence of an error one.
func missing(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return nil
}

// or returns err, or something to print for none.
func or(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func rounds(few, many int) int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return many
	}
	return few
}

// The server is killed the moment after it acknowledged; what was acknowledged is there when it is back, with writers at
// work all the time.
func TestKilledServer(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{}))
	s := d.open()
	slowest := time.Duration(0)
	for round := range rounds(3, 50) {
		var mu sync.Mutex
		var ended []store.Created
		var workers sync.WaitGroup
		enough, killed := make(chan struct{}), make(chan struct{})
		for range 4 {
			workers.Go(func() {
				for {
					created, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: "x"}, Now: storetest.Start, Limits: limits})
					if err == nil {
						_, err = s.RevokeSession(t.Context(), store.Revoke{SessionID: created.Family.SessionID, Now: storetest.Start, Retention: limits.Retention})
					}
					if err != nil {
						select {
						case <-killed:
							return
						default:
							continue
						}
					}
					mu.Lock()
					ended = append(ended, created)
					if len(ended) == 20 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		d.server.Kill()
		close(killed)
		workers.Wait()
		d.unavailable(s, "")
		if err := d.server.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, d.recovers(s, 5*time.Second))
		for _, created := range ended {
			d.inspect(s, created.Token, store.Revoked)
		}
		last, err := s.Last(t.Context())
		if err != nil || last < ended[len(ended)-1].Family.Number {
			t.Fatalf("round %d: the newest entry is %d, %v", round, last, err)
		}
	}
	t.Logf("slowest recovery: %s after the server was", slowest)
}

// A server that is there and says nothing costs each operation its bound at most, and is usable the moment it goes on.
func TestPausedServer(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{}))
	s := d.open()
	created := d.login(s, "alice")
	if err := d.server.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.server.Continue() })
	var all sync.WaitGroup
	for range 30 { // more than there are connections
		all.Go(func() {
			begun := time.Now()
			_, err := s.Rotate(t.Context(), store.RotateRequest{Token: created.Token, Now: storetest.Start, Limits: limits})
			if took := time.Since(begun); !errors.Is(err, store.ErrUnavailable) || took > operationTimeout+time.Second {
				t.Errorf("Rotate: %v after %s", err, took)
			}
		})
	}
	all.Wait()
	d.eventually(patience, func() error { return missing(s.health.usable(t.Context())) })
	begun := time.Now()
	for range 20 {
		d.unavailable(s, "the server does not answer within 2s")
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("20 operations took %s though it is known that the server is silent", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Last(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Last: %v", err)
	}
	if err := d.server.Continue(); err != nil {
		t.Fatal(err)
	}
	d.recovers(s, 5*time.Second)
	d.inspect(s, created.Token, store.Rotated)
}

func TestCloseOfASilentServer(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{}))
	s := d.open()
	d.login(s, "alice")
	if err := d.server.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.server.Continue() })
	begun := time.Now()
	_ = s.Close()
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func TestReadOnly(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{}))
	s := d.open()
	created := d.login(s, "alice")
	d.exec("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	d.unavailable(s, "the server takes no writes")
	d.unavailable(d.open(), "the server takes no writes")
	d.exec("SET default_transaction_read_only = off", "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
	d.recovers(s, 5*time.Second)
	d.inspect(s, created.Token, store.Rotated)
}

func TestTooManyConnections(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{Settings: map[string]string{"max_connections": "10", "superuser_reserved_connections": "4"}}))
	blocker, err := d.server.Connect(t.Context(), d.name)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close(t.Context()) //nolint:errcheck // a test
	d.exec(fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT 0", d.name))
	s := d.open()
	d.unavailable(s, "the server has too many connections")
	d.exec(fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT 4", d.name))
	d.recovers(s, 5*time.Second)
	// Fewer than the pool would like: some operations may fail, those that work are right, and later all work again.
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			_, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: fmt.Sprint(i)}, Now: storetest.Start, Limits: limits})
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("Create: %v", err)
			}
		})
	}
	all.Wait()
	d.recovers(s, 5*time.Second)
}
