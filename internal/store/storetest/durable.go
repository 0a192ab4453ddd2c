package storetest

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// Reopen opens the store that was opened before in the same test, or an empty one the first time.
type Reopen func(t *testing.T) store.Store

// RunDurable checks what must survive that a store is closed and opened.
func RunDurable(t *testing.T, reopen func(t *testing.T) Reopen) {
	t.Run("SessionsAndRevocationsSurvive", func(t *testing.T) {
		open := reopen(t)
		s := on(t, open(t))
		base := s.base
		kept, ended := s.login("alice", Start), s.login("alice", Start)
		replaced := kept.Token
		kept.Token = s.refresh(kept.Token, Start, store.Rotated).Successor
		seq := s.logout(ended.Family.SessionID, Start)
		all, err := s.Append(s.ctx, "uid", revocation.Entry{Kind: revocation.User, Value: "bob", Expires: Start.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Acquaint(s.ctx, "alice", "192.0.2.1", Start, Start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		id := s.ID()
		closeStore(t, s.Store)

		s = on(t, open(t))
		if s.ID() != id || id == "" {
			t.Errorf("id %q, before it was %q", s.ID(), id)
		}
		if known, err := s.Acquainted(s.ctx, "alice", "192.0.2.1", Start); err != nil || !known {
			t.Errorf("the place is known: %t, %v", known, err)
		}
		if s.last() != all {
			t.Errorf("last number %d, want %d", s.last(), all)
		}
		s.refresh(ended.Token, Start, store.Revoked)
		if again := s.logout(ended.Family.SessionID, Start); again != seq {
			t.Errorf("the same logout has number %d, want %d", again, seq)
		}
		if again, err := s.Append(s.ctx, "uid", revocation.Entry{Kind: revocation.User, Value: "bob", Expires: Start.Add(time.Hour)}); err != nil || again != all {
			t.Errorf("the same id has number %d, %v; want %d", again, err, all)
		}
		if retried := s.refresh(replaced, Start.Add(time.Second), store.Retried); !same(retried.Successor, kept.Token) {
			t.Error("a retry after the restart returned another successor")
		}
		s.refresh(kept.Token, Start, store.Rotated)
		if entries := s.newer(base, 10); len(entries) != 2 || entries[0].Seq != seq || entries[1].Seq != all {
			t.Errorf("entries %+v", entries)
		}
	})
	t.Run("NumbersAreNeverUsedAgain", func(t *testing.T) {
		open := reopen(t)
		highest := uint64(0)
		for round := range 4 {
			s := on(t, open(t))
			at := Start.Add(time.Duration(round) * 24 * time.Hour)
			created := s.login("alice", at)
			seq := s.logout(created.Family.SessionID, at)
			if created.Family.Number <= highest || seq <= created.Family.Number {
				t.Fatalf("numbers %d and %d after %d", created.Family.Number, seq, highest)
			}
			highest = seq
			if _, err := s.Compact(s.ctx, at.Add(12*time.Hour)); err != nil { // an empty store must not begin again
				t.Fatal(err)
			}
			closeStore(t, s.Store)
		}
	})
}

func closeStore(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}
