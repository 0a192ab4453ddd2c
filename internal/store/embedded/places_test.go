package embedded

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func accounts(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.db.View(func(tx *bbolt.Tx) error { n = tx.Bucket(bucketPlaces).Stats().KeyN; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCompactForgetsPlaces(t *testing.T) {
	s := openHere(t)
	at := storetest.Start
	for i := range compactStep + 10 {
		if err := s.Acquaint(t.Context(), fmt.Sprint("gone", i), "here", at, at.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for place, until := range map[string]time.Duration{"short": time.Minute, "long": time.Hour} {
		if err := s.Acquaint(t.Context(), "alice", place, at, at.Add(until)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Compact(t.Context(), at.Add(30*time.Second)); err != nil || n != 0 {
		t.Fatalf("removed %d, %v; want nothing yet", n, err)
	}
	if n, err := s.Compact(t.Context(), at.Add(time.Minute)); err != nil || n != compactStep+10 || accounts(t, s) != 1 {
		t.Errorf("removed %d, %v, %d accounts are left; want all but alice", n, err, accounts(t, s))
	}
	if known, err := s.Acquainted(t.Context(), "alice", "long", at.Add(time.Minute)); err != nil || !known {
		t.Errorf("alice's long place is known: %t, %v", known, err)
	}
	if n, err := s.Compact(t.Context(), at.Add(time.Hour)); err != nil || n != 1 || accounts(t, s) != 0 {
		t.Errorf("removed %d, %v, %d accounts are left", n, err, accounts(t, s))
	}
}

// With a clock that was set back, the place of now is the oldest by its time, and must be learned all the same.
func TestANewPlaceIsNeverTheOneThatGoes(t *testing.T) {
	s := openHere(t)
	end := storetest.Start.Add(24 * time.Hour)
	for i := range store.MaxPlaces {
		if err := s.Acquaint(t.Context(), "alice", fmt.Sprint(i), storetest.Start, end); err != nil {
			t.Fatal(err)
		}
	}
	back := storetest.Start.Add(-time.Hour)
	if err := s.Acquaint(t.Context(), "alice", "new", back, end); err != nil {
		t.Fatal(err)
	}
	if known, err := s.Acquainted(t.Context(), "alice", "new", back); err != nil || !known {
		t.Errorf("known: %t, %v", known, err)
	}
}

func TestTheFileHoldsNoPlace(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Acquaint(t.Context(), "alice@shop.example", "192.0.2.77", storetest.Start, storetest.Start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte(shortHash("192.0.2.77"))) {
		t.Fatal("the file does not hold the hash: the test reads the wrong bytes")
	}
	if bytes.Contains(raw, []byte("192.0.2.77")) || bytes.Contains(raw, []byte("alice@shop")) {
		t.Error("the file holds an address or a name")
	}
}

// A file of a build that knew neither places nor the id.
func TestAnOlderFile(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	created := family(t, s, "alice")
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(bucketPlaces); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Delete(keyID)
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var id string
	for range 2 {
		again, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := again.Inspect(t.Context(), created.Token, storetest.Start, 0); err != nil || seen.Outcome != store.Rotated {
			t.Errorf("the family of the older file: %q, %v", seen.Outcome, err)
		}
		if err := again.Acquaint(t.Context(), "alice", "here", storetest.Start, storetest.Start.Add(time.Hour)); err != nil {
			t.Error(err)
		}
		if again.ID() == "" || id != "" && again.ID() != id {
			t.Errorf("id %q, before %q", again.ID(), id)
		}
		id = again.ID()
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARefundedKeyTakesNoRoom(t *testing.T) {
	l := newLimits(10)
	l.take("a", 2, time.Minute, storetest.Start)
	l.take("a", 2, time.Minute, storetest.Start)
	l.refund("a")
	if l.keys.Len() != 1 {
		t.Error("a counter is gone with its newest event")
	}
	l.refund("a")
	l.refund("a")
	if l.keys.Len() != 0 {
		t.Error("a counter of nothing is kept")
	}
}
