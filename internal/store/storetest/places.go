package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

func (s scene) acquaint(account, place string, now, expires time.Time) {
	s.Helper()
	if err := s.Acquaint(s.ctx, account, place, now, expires); err != nil {
		s.Fatalf("Acquaint(%.40q, %.40q): %v", account, place, err)
	}
}

func (s scene) acquainted(account, place string, now time.Time, want bool) {
	s.Helper()
	if got, err := s.Acquainted(s.ctx, account, place, now); err != nil || got != want {
		s.Errorf("Acquainted(%.40q, %.40q) %s after the start = %t, %v; want %t", account, place, now.Sub(Start), got, err, want)
	}
}

func testAcquaintances(t *testing.T, s scene) {
	const here, there = "192.0.2.1", "2001:db8::/64"
	end := Start.Add(time.Hour)
	s.acquainted("alice", here, Start, false)
	s.acquaint("alice", here, Start, end)
	s.acquainted("alice", here, Start, true)
	s.acquainted("alice", here, end.Add(-time.Millisecond), true)
	s.acquainted("alice", here, end, false)
	s.acquainted("alice", there, Start, false)
	s.acquainted("bob", here, Start, false)
	s.acquainted(here, "alice", Start, false)
	// Again: the expiry moves, and others stay as they were.
	s.acquaint("alice", there, Start, end)
	s.acquaint("alice", here, Start.Add(30*time.Minute), end.Add(30*time.Minute))
	s.acquainted("alice", here, end.Add(29*time.Minute), true)
	s.acquainted("alice", here, end.Add(30*time.Minute), false)
	s.acquainted("alice", there, end, false)
	// After it has run out it can be noted anew.
	s.acquaint("alice", there, end.Add(time.Hour), end.Add(2*time.Hour))
	s.acquainted("alice", there, end.Add(time.Hour), true)

	// Names are any bytes, and none is another.
	strange := []string{"", " ", "a", "A", "a:b", "a\x00b", "a\nb", "\xff\xfe", "é", "e\u0301", "{a}", "*", "%", "'; drop table", `"`, strings.Repeat("x", 5000), strings.Repeat("x", 5001)}
	for i, account := range strange {
		s.acquaint(account, strange[(i+1)%len(strange)], Start, end)
	}
	for i, account := range strange {
		for k, place := range strange {
			s.acquainted(account, place, Start, k == (i+1)%len(strange))
		}
	}
	s.acquaint("ab", "c", Start, end)
	s.acquainted("a", "bc", Start, false)
}

func testPlacesBound(t *testing.T, s scene) {
	place := func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }
	end := Start.Add(24 * time.Hour)
	s.acquaint("bob", place(1), Start, end)
	for i := range store.MaxPlaces {
		s.acquaint("alice", place(i), Start.Add(time.Duration(i)*time.Second), end)
	}
	s.acquaint("alice", place(0), Start.Add(time.Hour), end) // the first is the most recent now
	for i := range store.MaxPlaces {
		s.acquainted("alice", place(i), Start.Add(time.Hour), true)
	}
	s.acquaint("alice", "one more", Start.Add(2*time.Hour), end)
	at := Start.Add(2 * time.Hour)
	s.acquainted("alice", "one more", at, true)
	s.acquainted("alice", place(1), at, false)
	s.acquainted("bob", place(1), at, true)
	for i := range store.MaxPlaces {
		if i != 1 {
			s.acquainted("alice", place(i), at, true)
		}
	}
	if t.Failed() {
		return
	}
	// Those that ran out take no place, however recently they were used.
	s.acquaint("carol", "old", Start, end)
	for i := range store.MaxPlaces - 1 {
		s.acquaint("carol", place(i), Start.Add(time.Minute), Start.Add(2*time.Minute))
	}
	s.acquaint("carol", "new", Start.Add(time.Hour), end)
	s.acquainted("carol", "old", Start.Add(time.Hour), true)
	s.acquainted("carol", "new", Start.Add(time.Hour), true)
}

// Notes made at the same moment do not overwrite each other.
func testPlacesParallel(t *testing.T, s scene) {
	end := Start.Add(time.Hour)
	atOnce(store.MaxPlaces, func(i int) {
		if err := s.replica(i).Acquaint(s.ctx, "alice", fmt.Sprint(i), Start, end); err != nil {
			t.Errorf("Acquaint: %v", err)
		}
	})
	for i := range store.MaxPlaces {
		s.acquainted("alice", fmt.Sprint(i), Start, true)
	}
}

func testID(t *testing.T, s scene) {
	id := s.ID() // the store has answered: see on
	if id == "" {
		t.Fatal("the store has answered, but has no id")
	}
	s.logout(s.login("alice", Start).Family.SessionID, Start)
	if _, err := s.Compact(s.ctx, Start.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for i, replica := range s.replicas {
		if _, err := replica.Last(s.ctx); err != nil || replica.ID() != id {
			t.Errorf("replica %d has id %q, %v; want %q", i, replica.ID(), err, id)
		}
	}
}
