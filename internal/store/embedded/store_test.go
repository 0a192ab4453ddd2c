package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

func open(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
	storetest.RunDurable(t, func(t *testing.T) storetest.Reopen {
		dir := t.TempDir()
		return func(t *testing.T) store.Store { return open(t, dir) }
	})
}

func TestTheFileHoldsNoToken(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	created, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: "alice"}, Now: storetest.Start, Limits: store.Limits{Idle: time.Hour, Absolute: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := s.Rotate(t.Context(), store.RotateRequest{Token: created.Token, Now: storetest.Start, Limits: store.Limits{Idle: time.Hour}})
	if err != nil || rotated.Outcome != store.Rotated {
		t.Fatal(rotated.Outcome, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), created.Family.SessionID) {
		t.Fatal("the file does not even hold the session id: the test reads the wrong bytes")
	}
	for _, token := range []store.Token{created.Token, rotated.Successor} {
		text := strings.TrimPrefix(token.Text().Reveal(), store.TokenPrefix)
		for _, part := range []string{text, text[:20], text[24:]} {
			if strings.Contains(string(raw), part) {
				t.Error("the file holds a token, or a part of it")
			}
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("another format", func(t *testing.T) {
		dir := t.TempDir()
		if err := open(t, dir).Close(); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(filepath.Join(dir, FileName), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte("later")) }); err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), `has format "later"`) {
			t.Errorf("error %v", err)
		}
	})
	// A file with content, then damaged in different ways.
	whole := filepath.Join(t.TempDir(), "whole")
	s := open(t, whole)
	for i := range 200 {
		if _, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: fmt.Sprint(i)}, Now: storetest.Start}); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	raw, err := os.ReadFile(filepath.Join(whole, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"garbage":      func([]byte) []byte { return []byte(strings.Repeat("garbage ", 4096)) },
		"cut short":    func(b []byte) []byte { return b[:3*4096] },
		"first page":   func(b []byte) []byte { return append(make([]byte, 2*4096), b[2*4096:]...) },
		"inner pages":  func(b []byte) []byte { return overwrite(b, 4*4096, len(b)/2) },
		"not a number": func(b []byte) []byte { return overwrite(b, 2*4096, len(b)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, FileName), damage([]byte(string(raw))), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(dir); err == nil {
				_ = s.Close()
				t.Error("opened")
			} else if !strings.Contains(err.Error(), "backup") {
				t.Errorf("the error does not help: %v", err)
			}
		})
	}
}

func overwrite(b []byte, from, to int) []byte {
	for i := from; i < to; i++ {
		b[i] = 0xff
	}
	return b
}

// TestKill writes from a process that is killed in the middle, and opens what it left.
func TestKill(t *testing.T) {
	if dir := os.Getenv("KEYTURN_TEST_KILL_DIR"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	rounds := 3
	if os.Getenv("KEYTURN_SOAK") == "1" {
		rounds = 50
	}
	highest := uint64(0)
	for round := range rounds {
		acknowledged := runAndKill(t, dir, 150+37*round)
		s := open(t, dir)
		for _, a := range acknowledged {
			if a.Number <= highest {
				t.Fatalf("number %d was used before", a.Number)
			}
			token, err := store.ParseToken(secret.NewText(a.Token))
			if err != nil {
				t.Fatal(err)
			}
			seen, err := s.Inspect(t.Context(), token, storetest.Start, 0)
			if err != nil || seen.Outcome != a.Want {
				t.Fatalf("session %d after the kill: %q, %v; want %q", a.Number, seen.Outcome, err, a.Want)
			}
		}
		last, err := s.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		next, err := s.Create(t.Context(), store.NewFamily{Owner: store.Owner{Subject: "x"}, Now: storetest.Start})
		if err != nil || next.Family.Number <= last {
			t.Fatalf("number %d after %d, %v", next.Family.Number, last, err)
		}
		highest = next.Family.Number
		_ = s.Close()
	}
}

type acknowledgement struct {
	Token  string
	Number uint64
	Want   store.Outcome
}

// writeUntilKilled prints one line for every operation that the store acknowledged.
func writeUntilKilled(t *testing.T, dir string) {
	s := open(t, dir)
	limits := store.Limits{Idle: time.Hour, Absolute: time.Hour}
	var out sync.Mutex
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			for n := 0; ; n++ {
				a, err := s.Create(context.Background(), store.NewFamily{Owner: store.Owner{Subject: fmt.Sprint("u", i)}, Now: storetest.Start, Limits: limits})
				if err != nil {
					return
				}
				token, want := a.Token, store.Rotated
				if n%2 == 0 {
					if r, err := s.Rotate(context.Background(), store.RotateRequest{Token: token, Now: storetest.Start, Limits: limits}); err == nil {
						token = r.Successor
					}
				}
				if n%3 == 0 {
					if _, err := s.RevokeSession(context.Background(), store.Revoke{SessionID: a.Family.SessionID, Now: storetest.Start, Retention: store.Retention{AccessTTL: time.Hour}}); err != nil {
						return
					}
					want = store.Revoked
				}
				line, _ := json.Marshal(acknowledgement{token.Text().Reveal(), a.Family.Number, want})
				out.Lock()
				fmt.Fprintf(os.Stdout, "ACK %s\n", line)
				out.Unlock()
			}
		})
	}
	workers.Wait()
}

func runAndKill(t *testing.T, dir string, after int) []acknowledgement {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "KEYTURN_TEST_KILL_DIR="+dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []acknowledgement
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "ACK ")
		var a acknowledgement
		if !ok || json.Unmarshal([]byte(text), &a) != nil {
			continue
		}
		all = append(all, a)
		if len(all) == after {
			_ = cmd.Process.Kill() // what was written to the pipe before is still read
		}
	}
	_ = cmd.Wait()
	if len(all) < after {
		t.Fatalf("the writer ended after %d operations", len(all))
	}
	return all
}

// A kill of the process does not show a missing flush, because the kernel still writes; a power cut would.
func TestEveryCommitIsFlushed(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test
	if s.db.NoSync || s.db.NoGrowSync {
		t.Error("the database is open without fsync")
	}
}

func TestCountersAreBounded(t *testing.T) {
	l := newLimits(100)
	for i := range 1000 {
		l.take(fmt.Sprint(i), 10, time.Minute, storetest.Start)
	}
	if n := l.keys.Len(); n != 100 {
		t.Errorf("%d keys are kept, want 100", n)
	}
}

func BenchmarkRotate(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a benchmark
	limits := store.Limits{Idle: time.Hour, Absolute: time.Hour, RetryWindow: time.Second}
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		created, err := s.Create(context.Background(), store.NewFamily{Owner: store.Owner{Subject: "alice"}, Now: storetest.Start, Limits: limits})
		if err != nil {
			b.Error(err)
		}
		token := created.Token
		for pb.Next() {
			r, err := s.Rotate(context.Background(), store.RotateRequest{Token: token, Now: storetest.Start, Limits: limits})
			if err != nil || r.Outcome != store.Rotated {
				b.Error(r.Outcome, err)
				return
			}
			token = r.Successor
		}
	})
}
