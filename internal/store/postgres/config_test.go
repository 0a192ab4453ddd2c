package postgres

import (
	"bytes"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/postgres"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://db.example":                              "names no database",
		"redis://db.example/x":                               "must begin with postgres://",
		"postgres://me:hunter2@db.example/x":                 "holds credentials",
		"postgres://db.example/x?password=hunter2":           "holds credentials",
		"postgres://me@db.example/x":                         "holds credentials",
		"postgres:///x":                                      "needs host or host:port",
		"postgres://a,,b/x":                                  "needs host or host:port",
		"postgres://db.example:port/x":                       "needs host or host:port",
		"postgres://db.example:99999/x":                      "needs host or host:port",
		"postgres://db.example/x?sslmode=prefer":             "sslmode must be one of verify-full",
		"postgres://db.example/x?schema=Bad-Name":            "schema must be a name",
		"postgres://db.example/x?schema=a&schema=b":          "more than once",
		"postgres://db.example/x?durability=none":            "durability must be full or relaxed",
		"postgres://db.example/x?target_session_attrs=any":   "can only be read-write",
		"postgres://db.example/x?options=-c%20fsync%3Doff":   "unknown parameter",
		"postgres://db.example/x'%20host=evil":               "names no database",
		"postgres://db.example/x?sslmode=verify-full;a=%zz":  "malformed query",
		"postgres://one:1,two:2,[::1]:3,four/x?schema=a_b_1": "",
		"postgresql://db.example/x-y.z?sslmode=verify-ca&target_session_attrs=read-write&durability=relaxed": "",
	} {
		got, err := parseURL(text)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v; want %q", text, err, want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("the error quotes a password: %v", err)
		case err == nil:
			if _, err := got.poolConfig(); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	got, err := parseURL("postgres://one:1,[::1]:3,four/x")
	if err != nil || strings.Join(got.hosts, " ") != "one ::1 four" || strings.Join(got.ports, " ") != "1 3 5432" || got.sslmode != "verify-full" || got.schema != "keyturn" || got.relaxed {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"postgres://h/x", "postgres://a:1,b:2/x?schema=s&sslmode=require", "postgres://u:hunter2@h/x", "postgres://h/x?%zz", "postgres://[::1]/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseURL(text)
		if err != nil {
			return
		}
		config, err := got.poolConfig()
		if err != nil {
			return
		}
		c := config.ConnConfig
		if c.Database != got.database || c.Host != got.hosts[0] || c.Password != "" || len(c.Fallbacks) != len(got.hosts)-1 || c.RuntimeParams["search_path"] != got.schema {
			t.Errorf("%q became another target: %q %q", text, c.Host, c.Database)
		}
	})
}

func TestOpenChecksTheDirectory(t *testing.T) {
	for name, want := range map[string]string{"ca.crt": "holds no certificate", "tls.crt": "do not go together"} {
		d := &database{T: t, dir: t.TempDir()}
		d.file(name, "hunter2")
		if _, err := Open(Config{URL: "postgres://localhost/x", Dir: d.dir}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server with TLS and SCRAM: what is wrong is said, what is mended counts for the next connection, and no password is
// ever in a log.
func TestTLSAndPassword(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{TLS: true}))
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	open := func(sslmode string) *Store {
		t.Helper()
		d.sslmode = sslmode
		s, err := Open(Config{URL: d.url(), Dir: d.dir, Log: logger})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	fails := func(s *Store, reason string) {
		t.Helper()
		d.unavailable(s, reason)
		_ = s.Close()
	}
	fails(open("verify-full"), "the server's certificate is not trusted: put its CA into the file ca.crt")
	fails(open("verify-ca"), "the server's certificate is not trusted")
	fails(open("disable"), "pg_hba.conf")
	d.recovers(open("require"), 5*time.Second)
	d.file("ca.crt", string(d.server.CA))
	d.recovers(open("verify-ca"), 5*time.Second)
	d.recovers(open("require"), 5*time.Second)
	d.file("ca.crt", string(startServer(t, postgres.Options{TLS: true}).CA))
	fails(open("require"), "the server's certificate is not trusted")
	d.file("ca.crt", string(d.server.CA))
	s := open("verify-full")
	created := d.login(s, "alice")

	d.file("password", "wrong-hunter2")
	fails(open("verify-full"), "check the files username and password")
	d.inspect(s, created.Token, store.Rotated) // what is connected stays

	// Rotated: the server, then the file. Connections made from now on use the new one.
	d.exec("ALTER ROLE " + d.name + " PASSWORD 'hunter2-next'")
	d.file("password", "hunter2-next\n")
	s.pool.Reset()
	d.recovers(s, 5*time.Second)
	d.inspect(s, created.Token, store.Rotated)
	_ = s.Close()
	if log.Len() == 0 || strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log is empty or holds a password: %s", log.String())
	}
}

// Of several hosts the one that takes writes is used.
func TestSeveralHosts(t *testing.T) {
	d := newDatabase(t, sharedServer(t))
	other := startServer(t, postgres.Options{Settings: map[string]string{"default_transaction_read_only": "on"}})
	if err := other.Exec(t.Context(), postgres.Superuser, "SET default_transaction_read_only = off", "CREATE ROLE "+d.name+" LOGIN PASSWORD '"+d.name+"'", "CREATE DATABASE "+d.name+" OWNER "+d.name); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Config{URL: "postgres://127.0.0.1:1," + other.Address() + "," + d.server.Address() + "/" + d.name + "?sslmode=disable&target_session_attrs=read-write", Dir: d.dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	created := d.login(s, "alice")
	d.inspect(d.open(), created.Token, store.Rotated)
}

// late tells whether operations failed for nothing but their time, as a busy machine makes them.
func late(err error) bool {
	for line := range strings.Lines(err.Error()) {
		if !strings.Contains(line, "does not answer within") {
			return false
		}
	}
	return true
}

// A server that stops to take writes without cutting its connections, as one that was replaced may, is left for another
// host that takes them.
func TestAHostThatTurnsReadOnly(t *testing.T) {
	d := newDatabase(t, startServer(t, postgres.Options{}))
	d.name = "moved"
	d.file("username", d.name)
	d.file("password", d.name)
	other := sharedServer(t)
	for _, server := range []*postgres.Server{d.server, other} {
		if err := server.Exec(t.Context(), postgres.Superuser, "CREATE ROLE moved LOGIN PASSWORD 'moved'", "CREATE DATABASE moved OWNER moved"); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Config{URL: "postgres://" + d.server.Address() + "," + other.Address() + "/" + d.name + "?sslmode=disable", Dir: d.dir, Log: slog.New(slog.NewTextHandler(d.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	crowd := func() error {
		failed := make(chan error, 2*maxConnections)
		for range cap(failed) {
			go func() {
				_, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: rand.Text()}, Now: storetest.Start, Limits: limits})
				failed <- err
			}()
		}
		var all error
		for range cap(failed) {
			all = errors.Join(all, <-failed)
		}
		return all
	}
	d.eventually(patience, crowd) // the pool is full of connections
	d.exec("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	id := s.ID()
	d.eventually(patience, func() error {
		if err := crowd(); err != nil {
			return err
		}
		if s.ID() == id {
			return errors.New("it is on the first host still")
		}
		return nil
	})
	id = s.ID()
	for range 20 {
		if err := crowd(); err != nil && !late(err) {
			t.Fatalf("after it worked again: %v", err)
		}
	}
	if s.ID() != id {
		t.Error("the store began again")
	}
}
