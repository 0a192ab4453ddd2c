package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/postgres"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

// With a synchronous standby that is not there nothing is acknowledged: not the first logout, and not a second one that
// finds the first in the database.
func TestNoAcknowledgementWithoutTheStandby(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{}))
	s := d.open()
	created, other, third := d.login(s, "alice"), d.login(s, "bob"), d.login(s, "carol")
	d.exec("ALTER SYSTEM SET synchronous_standby_names = 'ghost'", "SELECT pg_reload_conf()")
	d.unavailable(s, "the wait for the synchronous standby was cut short")
	for try := range 3 {
		seq, err := s.RevokeSession(t.Context(), store.Revoke{SessionID: created.Family.SessionID, Now: storetest.Start, Retention: limits.Retention})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("logout %d was acknowledged as %d, %v", try, seq, err)
		}
		if r, err := s.Rotate(t.Context(), store.RotateRequest{Token: other.Token, Now: storetest.Start, Limits: limits}); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("rotation %d was acknowledged: %q, %v", try, r.Outcome, err)
		}
	}
	// An administrator who cancels the wait makes the server answer COMMIT, with a warning.
	admin, err := d.server.Connect(t.Context(), d.name)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background()) //nolint:errcheck // a test
	ended := make(chan error, 1)
	go func() {
		_, err := s.Rotate(t.Context(), store.RotateRequest{Token: third.Token, Now: storetest.Start, Limits: limits})
		ended <- err
	}()
	d.eventually(patience, func() error {
		if _, err := admin.Exec(t.Context(), "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); err != nil {
			return err
		}
		select {
		case err = <-ended:
			return nil
		default:
			return errors.New("it has not ended")
		}
	})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "the wait for the synchronous standby was cut short") {
		t.Errorf("a rotation whose wait for the standby was cancelled: %v", err)
	}
	d.exec("SET synchronous_commit = local", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	d.recovers(s, 8*time.Second)
	d.logout(s, created.Family.SessionID)
	d.inspect(s, created.Token, store.Revoked)
}

func TestDurabilityOfTheServer(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{Settings: map[string]string{"fsync": "off", "synchronous_commit": "off"}}))
	d.unavailable(d.open(), "durability=relaxed")
	d.query = "&durability=relaxed"
	s := d.open()
	d.login(s, "alice")
	var level string
	if err := s.pool.QueryRow(t.Context(), "SELECT current_setting('synchronous_commit')").Scan(&level); err != nil || level != "on" {
		t.Errorf("synchronous_commit is %q, %v", level, err)
	}
}

// Entries of other processes are heard of again after the connection that listens was cut.
func TestTheListenerComesBack(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	writer, listener := d.open(), d.open()
	told, cancel := listener.Subscribe()
	defer cancel()
	hear := func() {
		t.Helper()
		for len(told) > 0 {
			<-told
		}
		d.logout(writer, d.login(writer, "alice").Family.SessionID)
		select {
		case <-told:
		case <-time.After(silence - time.Second): // later the listener would ask by itself
			t.Fatal("the listener did not hear of an entry")
		}
	}
	hear()
	for range 3 {
		d.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR datname = current_database() AND pid <> pg_backend_pid()")
		hear()
	}
}

// Whoever may connect to the database may notify: nonsense on the channel hides no entry of the other processes.
func TestNonsenseOnTheChannel(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	writer, listener := d.open(), d.open()
	d.login(listener, "alice")
	told, cancel := listener.Subscribe()
	defer cancel()
	heard := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(silence - time.Second): // later the listener would ask by itself
			t.Fatalf("the listener did not hear of %s", what)
		}
	}
	d.logout(writer, d.login(writer, "alice").Family.SessionID)
	heard("an entry")
	d.exec("NOTIFY keyturn_keyturn, '9223372036854775807'", "NOTIFY keyturn_keyturn, 'nonsense'")
	heard("a number that nobody gave")
	d.logout(writer, d.login(writer, "alice").Family.SessionID)
	heard("an entry after it")
}

// A transaction of somebody else that holds what is needed costs a bounded time, and its end mends it.
func TestALockHeldByOthers(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	s := d.open()
	created := d.login(s, "alice")
	conn, err := d.server.Connect(t.Context(), d.name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT * FROM keyturn.meta FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := s.RevokeSession(t.Context(), store.Revoke{SessionID: created.Family.SessionID, Now: storetest.Start, Retention: limits.Retention}); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a logout while the counter is locked: %v", err)
	}
	if took := time.Since(begun); took > operationTimeout+time.Second {
		t.Errorf("it took %s", took)
	}
	if r, err := s.Rotate(t.Context(), store.RotateRequest{Token: created.Token, Now: storetest.Start, Limits: limits}); err != nil || r.Outcome != store.Rotated {
		t.Errorf("a refresh needs no number: %q, %v", r.Outcome, err)
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	d.logout(s, created.Family.SessionID)
}

// A server that was restarted, killed or not, or that began anew, may have lost leases: what it kept counts from then on.
func TestLeasesOfARestartedServer(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{}))
	s := d.open()
	d.login(s, "alice")
	const enough = 300 * time.Millisecond
	kept := func(more time.Duration) (table store.LeaseTable) {
		t.Helper()
		d.eventually(20*time.Second, func() (err error) {
			if table, err = s.Leases(t.Context()); err == nil && table.Kept < more {
				err = fmt.Errorf("kept for %s", table.Kept)
			}
			return err
		})
		return table
	}
	if err := s.PutLease(t.Context(), "edge", 7, time.Hour); err != nil {
		t.Fatal(err)
	}
	kept(enough)
	for name, disturb := range map[string]func(){
		"kill": func() { d.server.Kill(); d.run() },
		"halt": func() { d.server.Halt(); d.run() },
		"lost": func() { d.exec("DROP SCHEMA keyturn CASCADE") },
	} {
		at := time.Now()
		disturb()
		table := kept(0)
		if limit := time.Since(at); table.Kept >= limit {
			t.Errorf("%s: leases kept for %s, and the server changed %s ago", name, table.Kept, limit)
		}
		if name != "lost" && (len(table.Leases) != 1 || table.Leases[0].Applied != 7 || table.Leases[0].Left < 50*time.Minute) {
			t.Errorf("%s: the lease is gone: %+v", name, table)
		}
		kept(enough)
		if err := s.PutLease(t.Context(), "edge", 7, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *database) run() {
	d.Helper()
	if err := d.server.Run(d.Context()); err != nil {
		d.Fatal(err)
	}
}
