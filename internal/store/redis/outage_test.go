package redis

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// A server that hangs costs each operation a bounded time, however many there are.
func TestPaused(t *testing.T) {
	server := durable(t)
	s := open(t, at(server))
	created := login(t, s, "alice")
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range 200 {
		waiting.Go(func() {
			begun := time.Now()
			_, err := s.Rotate(t.Context(), store.RotateRequest{Token: created.Token, Now: now, Limits: limits()})
			if took := time.Since(begun); !errors.Is(err, store.ErrUnavailable) || took > opTimeout+time.Second {
				t.Errorf("after %s: %v", took, err)
			}
		})
	}
	waiting.Wait()
	eventually(t, "the reason is told", func() error {
		if s.Reason() == "" {
			return errors.New("no reason")
		}
		return nil
	})
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	recovered(t, s, created.Token)
}

// recovered measures how long it takes until a token can be presented again.
func recovered(t *testing.T, s *Store, token store.Token) {
	t.Helper()
	begun := time.Now()
	eventually(t, "it works again", func() error { _, err := refresh(t, s, token); return err })
	took := time.Since(begun)
	t.Logf("worked again after %s", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("took %s to work again, want less than 5s", took)
	}
}

// A killed server: errors while it is away, the same store when it is back, nothing lost.
func TestKilledAndBack(t *testing.T) {
	server := durable(t)
	s := open(t, at(server))
	id, ended, kept := s.ID(), login(t, s, "alice"), login(t, s, "bob")
	for round := range rounds(3, 20) {
		seq, err := logout(t, s, ended.Family.SessionID)
		if err != nil {
			t.Fatal(err)
		}
		server.Kill()
		begun := time.Now()
		if _, err := logout(t, s, "x"); !errors.Is(err, store.ErrUnavailable) || time.Since(begun) > opTimeout+time.Second {
			t.Fatalf("without a server, after %s: %v", time.Since(begun), err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		recovered(t, s, kept.Token)
		if r, err := refresh(t, s, ended.Token); err != nil || r.Outcome != store.Revoked || s.ID() != id {
			t.Fatalf("round %d: %q, %v, id %q", round, r.Outcome, err, s.ID())
		}
		if again, err := logout(t, s, ended.Family.SessionID); err != nil || again != seq {
			t.Fatalf("number %d, %v; was %d", again, err, seq)
		}
		usable(t, s)
		ended, kept = login(t, s, "alice"), login(t, s, "bob")
		if ended.Family.Number < seq+leap {
			t.Errorf("number %d after %d: a server that was restarted may have lost numbers", ended.Family.Number, seq)
		}
	}
}

// With a script that was forgotten, e.g. by SCRIPT FLUSH, nobody notices anything.
func TestScriptsForgotten(t *testing.T) {
	server := durable(t)
	s := open(t, at(server))
	command(t, server, "SCRIPT", "FLUSH")
	created := login(t, s, "alice")
	command(t, server, "SCRIPT", "FLUSH")
	if _, err := logout(t, s, created.Family.SessionID); err != nil {
		t.Error(err)
	}
}

// A revocation that is gone from a server that never went away, e.g. by somebody's RESTORE, is noticed by the next operation.
func TestWentBackInPlace(t *testing.T) {
	server := durable(t)
	s := open(t, at(server))
	created := login(t, s, "alice")
	last, err := logout(t, s, login(t, s, "bob").Family.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	id := s.ID()
	command(t, server, "HSET", s.meta, "last", last-1)
	if r, err := refresh(t, s, created.Token); err != nil || r.Outcome != store.Revoked || s.ID() == id {
		t.Errorf("outcome %q, %v, id %q as before: %t", r.Outcome, err, s.ID(), s.ID() == id)
	}
}

// Another store under the same prefix, e.g. of a server restored from elsewhere, does not know whom the one before
// distrusted, also where its numbers are higher.
func TestAnotherStoreInPlace(t *testing.T) {
	server := durable(t)
	s := open(t, at(server))
	ended, kept := login(t, s, "alice"), login(t, s, "bob")
	seq, err := logout(t, s, ended.Family.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	command(t, server, "HSET", s.meta, "id", "another", "last", seq+5, "seq", seq+9)
	if r, err := refresh(t, s, kept.Token); err != nil || r.Outcome != store.Revoked {
		t.Errorf("outcome %q, %v", r.Outcome, err)
	}
	entries, _, err := s.Revocations(t.Context(), seq, 10)
	if err != nil || len(entries) != 1 || entries[0].Kind != revocation.All || entries[0].Before <= seq+9 {
		t.Errorf("entries %+v, %v", entries, err)
	}
	id := s.ID()
	next := login(t, s, "bob")
	if other := open(t, at(server)); other.ID() != id {
		t.Error("a second process began anew")
	}
	if r, err := refresh(t, s, next.Token); err != nil || r.Outcome != store.Rotated || s.ID() != id {
		t.Errorf("a login after that: %q, %v", r.Outcome, err)
	}
}

// A store that a process with a clock far behind begins distrusts for as long as any, and above what others had.
func TestBegunByAClockBehind(t *testing.T) {
	server := durable(t)
	config := at(server)
	config.Now = func() time.Time { return time.Unix(1000, 0) }
	s := open(t, config)
	entries, _, err := s.Revocations(t.Context(), 0, 10)
	if err != nil || len(entries) != 1 || time.Until(entries[0].Expires) < beginLife-time.Minute || entries[0].Seq < uint64(time.Now().Unix()-60)<<20 { //nolint:gosec // not negative
		t.Errorf("begun with %+v, %v", entries, err)
	}
}
