package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

func TestANewDatabaseDistrustsWhatWasBefore(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	before := uint64(time.Now().Unix()) << numberShift
	s := d.open()
	entries := d.entries(s)
	if len(entries) != 1 || entries[0].Kind != revocation.All || entries[0].Before < before || entries[0].Seq != entries[0].Before || time.Until(entries[0].Expires) < 24*time.Hour {
		t.Fatalf("a new database begins with %+v, want one that distrusts all below %d", entries, before)
	}
	if created := d.login(s, "alice"); created.Family.Number <= entries[0].Before {
		t.Errorf("session %d is revoked from the start", created.Family.Number)
	}
	if again := d.open(); len(d.entries(again)) != 1 || again.ID() != s.ID() {
		t.Error("a second process began anew")
	}
}

// Whatever is lost, it is noticed while processes run: all sessions end, by an entry above everything they saw, the id
// changes, the watchers are told, and processes agree.
func TestALostDatabaseRevokesAll(t *testing.T) {
	for name, lose := range map[string]func(d *database){
		"schema dropped": func(d *database) { d.exec("DROP SCHEMA keyturn CASCADE") },
		"tables emptied": func(d *database) { d.exec("TRUNCATE keyturn.meta, keyturn.families, keyturn.entries, keyturn.known") },
		"counter lost":   func(d *database) { d.exec("DELETE FROM keyturn.meta") },
		"set back": func(d *database) {
			d.exec("UPDATE keyturn.meta SET last = last - 3, last_revocation = last - 3, all_before = all_before")
		},
		"another database": func(d *database) { d.exec("UPDATE keyturn.meta SET id = 'other', last = last + 1000") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t, sharedServer(t))
			one, two := d.open(), d.open()
			created := d.login(one, "alice")
			d.logout(one, d.login(one, "bob").Family.SessionID)
			highest := d.logout(two, d.login(two, "bob").Family.SessionID)
			d.inspect(two, created.Token, store.Rotated)
			old := one.ID()
			told, cancel := two.Subscribe()
			defer cancel()
			for len(told) > 0 {
				<-told
			}
			lose(d)
			var seen store.Inspection
			var err error
			if seen, err = one.Inspect(t.Context(), created.Token, time.Now(), 0); err != nil || seen.Outcome == store.Rotated {
				t.Errorf("the session is %q after the loss, %v", seen.Outcome, err)
			}
			last, err := two.Last(t.Context())
			if err != nil || last <= highest {
				t.Fatalf("the newest entry is %d, not above %d: %v", last, highest, err)
			}
			entries := d.entries(one)
			e := entries[len(entries)-1]
			if e.Kind != revocation.All || e.Before <= highest || e.Seq != last {
				t.Errorf("the newest entry is %+v, want one that distrusts all up to %d", e, highest)
			}
			if one.ID() == old || one.ID() != two.ID() || one.ID() == "other" {
				t.Errorf("ids %q and %q after %q", one.ID(), two.ID(), old)
			}
			select {
			case <-told:
			case <-time.After(patience):
				t.Error("the watchers were not told")
			}
			d.inspect(one, d.login(two, "alice").Token, store.Rotated)
		})
	}
}

func TestBase36(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	s := d.open()
	d.login(s, "alice")
	for _, n := range []int64{0, 1, 35, 36, 37, 1295, 1296, 1882507629821952, 1<<63 - 1, 4738381338321616896, 4738381338321616895} {
		var got string
		if err := s.pool.QueryRow(t.Context(), "SELECT base36($1)", n).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if read, ok := revocation.SessionNumber(got + revocation.SessionID(0)[1:]); !ok || read != uint64(n) {
			t.Errorf("base36(%d) = %q", n, got)
		}
	}
}

func TestSeveralSchemas(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	a := d.open()
	d.query = "&schema=second"
	b := d.open()
	created := d.login(a, "alice")
	d.inspect(b, created.Token, store.Unknown)
	if a.ID() == b.ID() {
		t.Error("two schemas are one store")
	}
}

// A store that a process with a clock far behind begins distrusts for as long as any, and above what others had.
func TestBegunByAClockBehind(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	s, err := Open(Config{URL: d.url(), Dir: d.dir, Now: func() time.Time { return time.Unix(1000, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	entries := d.entries(s)
	if len(entries) != 1 || time.Until(entries[0].Expires) < distrust-time.Minute || entries[0].Seq < uint64(time.Now().Unix()-60)<<numberShift { //nolint:gosec // not negative
		t.Errorf("begun with %+v", entries)
	}
}

// The longest name that PostgreSQL takes is as good as any: also for the channel, whose name is made of it.
func TestLongestSchema(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	d.query = "&schema=" + strings.Repeat("s", 63)
	s := d.open()
	d.logout(s, d.login(s, "alice").Family.SessionID)
	if channel := channelOf("shop"); channel != "keyturn_shop" {
		t.Errorf("channel %s", channel)
	}
}

func TestConcurrentStarts(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	stores := make([]*Store, 8)
	for i := range stores {
		stores[i] = d.open()
	}
	for i, s := range stores {
		if len(d.entries(s)) != 1 || s.ID() == "" || s.ID() != stores[0].ID() {
			t.Errorf("process %d has id %q of %q, or another beginning", i, s.ID(), stores[0].ID())
		}
	}
	var applied int
	if err := stores[0].pool.QueryRow(t.Context(), "SELECT count(*) FROM migrations").Scan(&applied); err != nil || applied != len(migrations) {
		t.Errorf("%d migrations, %v; want %d", applied, err, len(migrations))
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	running := d.open()
	d.login(running, "alice")
	d.exec(fmt.Sprintf("INSERT INTO keyturn.migrations (version) VALUES (%d)", len(migrations)+1))
	const want = "the schema keyturn has version 2, and this build knows 1: run the version that made it, or a later one"
	late := d.open()
	d.unavailable(late, want)
	if late.Reason() != want {
		t.Errorf("Reason() = %q", late.Reason())
	}
	d.unavailable(running, want)
}

// The role needs no more than the schema; without it, it is told what it lacks.
func TestLeastRights(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	if err := d.server.Exec(t.Context(), d.name, "ALTER DATABASE "+d.name+" OWNER TO postgres", "REVOKE ALL ON DATABASE "+d.name+" FROM public",
		"GRANT CONNECT ON DATABASE "+d.name+" TO "+d.name); err != nil {
		t.Fatal(err)
	}
	s := d.open()
	d.unavailable(s, "the role lacks a right: it must own the schema")
	d.exec("CREATE SCHEMA keyturn AUTHORIZATION " + d.name)
	d.recovers(s, 5*time.Second)
	created := d.login(s, "alice")
	d.logout(s, created.Family.SessionID)
	if err := s.PutLease(t.Context(), "edge", 1, time.Second); err != nil {
		t.Error(err)
	}
	if _, err := s.Leases(t.Context()); err != nil {
		t.Error(err)
	}
}
