package redis

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func limits() store.Limits {
	return store.Limits{
		Idle: time.Hour, Absolute: 10 * time.Hour, RetryWindow: 10 * time.Second, MaxFamilies: 5,
		Retention: store.Retention{AccessTTL: 15 * time.Minute, Slack: 2 * time.Minute},
	}
}

func login(t *testing.T, s *Store, user string) store.Created {
	t.Helper()
	created, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: user}, Now: now, Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func logout(t *testing.T, s *Store, session string) (uint64, error) {
	t.Helper()
	return s.RevokeSession(t.Context(), store.Revoke{SessionID: session, Now: now, Retention: limits().Retention})
}

func refresh(t *testing.T, s *Store, token store.Token) (store.RotateResult, error) {
	t.Helper()
	return s.Rotate(t.Context(), store.RotateRequest{Token: token, Now: now, Limits: limits()})
}

// all returns the entries that distrust everybody.
func all(t *testing.T, s *Store) (entries []revocation.Entry) {
	t.Helper()
	list, _, err := s.Revocations(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == revocation.All {
			entries = append(entries, e)
		}
	}
	return entries
}

// A flushed server is another store: everybody is distrusted, numbers go on growing, every replica takes the same new id.
func TestFlushed(t *testing.T) {
	server := durable(t)
	a, b := open(t, at(server)), open(t, at(server))
	before := login(t, a, "alice")
	if _, err := logout(t, a, login(t, a, "bob").Family.SessionID); err != nil {
		t.Fatal(err)
	}
	if err := a.PutLease(t.Context(), "edge", 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	last, _ := a.Last(t.Context())
	id := a.ID()
	changed, cancel := b.Subscribe()
	defer cancel()
	command(t, server, "FLUSHALL")
	if r, err := refresh(t, a, before.Token); err != nil || r.Outcome != store.Unknown {
		t.Errorf("a session of the lost store: %q, %v", r.Outcome, err)
	}
	after := login(t, a, "alice")
	if after.Family.Number <= last || after.Family.Number <= before.Family.Number {
		t.Errorf("number %d after %d", after.Family.Number, last)
	}
	if a.ID() == id || a.ID() == "" {
		t.Errorf("the id is %q, as before", a.ID())
	}
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Error("the other replica's watchers were not told")
	}
	entries := all(t, b)
	if len(entries) != 1 || entries[0].Before <= before.Family.Number || entries[0].Before >= after.Family.Number {
		t.Errorf("entries for all: %+v; want one between %d and %d", entries, before.Family.Number, after.Family.Number)
	}
	if b.ID() != a.ID() {
		t.Errorf("two ids for one store: %q and %q", a.ID(), b.ID())
	}
	if r, err := refresh(t, b, after.Token); err != nil || r.Outcome != store.Rotated {
		t.Errorf("a new session: %q, %v", r.Outcome, err)
	}
	table, err := a.Leases(t.Context())
	if err != nil || len(table.Leases) != 0 || table.Kept > 20*time.Second {
		t.Errorf("leases after the loss: %+v, %v", table, err)
	}
}

// A server that went back in time lacks a revocation that was acknowledged: nobody knows which, so all are distrusted.
func TestWentBack(t *testing.T) {
	server := durable(t)
	s := open(t, at(server))
	victim, other := login(t, s, "alice"), login(t, s, "bob")
	id := s.ID()
	backup := filepath.Join(t.TempDir(), "backup")
	data := filepath.Join(server.Dir, "appendonlydir")
	server.Stop()
	if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	usable(t, s)
	seq, err := logout(t, s, victim.Family.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := errors.Join(os.RemoveAll(data), os.CopyFS(data, os.DirFS(backup)), server.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server answers", func() error { _, err := s.Last(t.Context()); return err })
	for _, c := range []store.Created{victim, other} {
		if r, err := refresh(t, s, c.Token); err != nil || r.Outcome != store.Revoked {
			t.Errorf("a session of before: %q, %v", r.Outcome, err)
		}
	}
	if s.ID() == id {
		t.Error("the id is as before")
	}
	entries := all(t, s)
	if len(entries) == 0 || entries[len(entries)-1].Before <= seq {
		t.Errorf("entries for all: %+v; want one above %d", entries, seq)
	}
	if next := login(t, s, "carol"); next.Family.Number <= seq {
		t.Errorf("number %d after %d", next.Family.Number, seq)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		directives []string
		change     func(*Config)
		says       string
	}{
		"evicting":      {[]string{"appendonly yes", "appendfsync always", "maxmemory 50mb", "maxmemory-policy allkeys-lru"}, nil, "maxmemory-policy noeviction"},
		"no file":       {nil, nil, "appendonly yes"},
		"file, lazily":  {[]string{"appendonly yes", "appendfsync everysec"}, nil, "appendfsync always"},
		"but rewriting": {[]string{"appendonly yes", "appendfsync always", "no-appendfsync-on-rewrite yes"}, nil, "no-appendfsync-on-rewrite no"},
		"no file, WAIT": {nil, func(c *Config) { c.Replicas = 1 }, "appendonly yes"},
		"hidden":        {[]string{"appendonly yes", "appendfsync always", "rename-command CONFIG \"\""}, nil, "allow the user CONFIG GET"},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, test.directives...)
			config := at(server)
			if test.change != nil {
				test.change(&config)
			}
			s := start(t, config)
			eventually(t, "the reason is told", func() error {
				if reason := s.Reason(); !strings.Contains(reason, test.says) || !strings.Contains(reason, "durability=relaxed") {
					return fmt.Errorf("reason %q, want %q", reason, test.says)
				}
				return nil
			})
			if _, err := s.Last(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("an operation: %v", err)
			}
			if name == "evicting" { // mended while it runs
				command(t, server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
				begun := time.Now()
				usable(t, s)
				t.Logf("usable %s after it was mended", time.Since(begun).Round(time.Millisecond))
				command(t, server, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
				eventually(t, "it is refused again", func() error {
					_, err := s.Create(t.Context(), store.NewFamily{Now: now, Limits: limits()})
					if !errors.Is(err, errRefused) {
						return fmt.Errorf("error %w", errors.Join(err, errors.New("want a refusal")))
					}
					return nil
				})
			}
			config.Relaxed, config.Replicas = true, 0
			login(t, open(t, fresh(config)), "alice")
		})
	}
	t.Run("replica", func(t *testing.T) {
		primary := durable(t)
		s := start(t, at(durable(t, fmt.Sprint("replicaof 127.0.0.1 ", primary.Port))))
		eventually(t, "the reason is told", func() error {
			if !strings.Contains(s.Reason(), "name the primary") {
				return fmt.Errorf("reason %q", s.Reason())
			}
			return nil
		})
		if _, err := logout(t, s, "x"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a logout at a replica: %v", err)
		}
	})
}

// A full server refuses quickly and says so; what was acknowledged stays; reading goes on; it works again when there is room.
func TestFull(t *testing.T) {
	server := durable(t, "maxmemory 8mb", "maxmemory-policy noeviction")
	s := open(t, at(server))
	kept := login(t, s, "kept")
	command(t, server, "CONFIG", "SET", "maxmemory", "500mb")
	command(t, server, "SETRANGE", "ballast", 9<<20, "x")
	command(t, server, "CONFIG", "SET", "maxmemory", "8mb")
	begun := time.Now()
	_, err := s.Create(t.Context(), store.NewFamily{Now: now, Limits: limits()})
	if took := time.Since(begun); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "memory is full") || took > time.Second { // it does not wait
		t.Errorf("a login after %s: %v", took, err)
	}
	if seq, err := logout(t, s, kept.Family.SessionID); !errors.Is(err, store.ErrUnavailable) || seq != 0 {
		t.Errorf("a logout: %d, %v", seq, err)
	}
	eventually(t, "the reason is told", func() error {
		if !strings.Contains(s.Reason(), "memory is full") {
			return fmt.Errorf("reason %q", s.Reason())
		}
		return nil
	})
	if seen, err := s.Inspect(t.Context(), kept.Token, now, 0); err != nil || seen.Outcome != store.Rotated {
		t.Errorf("reading: %q, %v", seen.Outcome, err)
	}
	if _, err := s.Compact(t.Context(), now); err != nil {
		t.Errorf("making room: %v", err)
	}
	command(t, server, "DEL", "ballast")
	if _, err := logout(t, s, kept.Family.SessionID); err != nil {
		t.Errorf("a logout when there is room: %v", err)
	}
	if r, err := refresh(t, s, kept.Token); err != nil || r.Outcome != store.Revoked {
		t.Errorf("after the logout: %q, %v", r.Outcome, err)
	}
}
