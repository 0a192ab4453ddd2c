package postgres_test

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/postgres"
)

func TestServer(t *testing.T) {
	begun := time.Now()
	s, err := postgres.Start(t.Context(), postgres.Options{TLS: true, Settings: map[string]string{"max_connections": "12"}, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	t.Logf("started after %s", time.Since(begun))
	database, err := s.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Exec(t.Context(), database, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(){"kill": s.Kill, "halt": s.Halt} {
		end()
		if err := s.Exec(t.Context(), database, "SELECT 1"); err == nil {
			t.Fatalf("%s: it still answers", name)
		}
		begun := time.Now()
		if err := s.Run(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("back %s after %s", time.Since(begun), name)
		conn, err := s.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		var limit string
		if err := conn.QueryRow(t.Context(), "SELECT n, current_setting('max_connections') FROM kept").Scan(&n, &limit); err != nil || n != 7 || limit != "12" {
			t.Errorf("%s: %d, %s, %v", name, n, limit, err)
		}
		_ = conn.Close(t.Context())
	}
}
