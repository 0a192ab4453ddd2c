package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

func testRevokeSession(t *testing.T, s scene) {
	a, b := s.login("alice", Start), s.login("alice", Start)
	changed, cancel := s.Subscribe()
	defer cancel()
	seq := s.logout(a.Family.SessionID, Start)
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("the subscriber was not told")
	}
	if seq <= b.Family.Number {
		t.Errorf("number %d of the revocation is not above %d of the session", seq, b.Family.Number)
	}
	if again := s.logout(a.Family.SessionID, Start.Add(time.Minute)); again != seq {
		t.Errorf("again: number %d, want the same %d", again, seq)
	}
	s.refresh(a.Token, Start.Add(time.Minute), store.Revoked)
	s.refresh(b.Token, Start.Add(time.Minute), store.Rotated)
	stranger := s.stranger()
	exp := Start.Add(5 * time.Hour) // of a token from a longer TTL than today's
	first, err := s.RevokeSession(s.ctx, store.Revoke{SessionID: stranger, Now: Start, Retention: limits().Retention, LatestExpiry: exp})
	if err != nil {
		t.Fatal(err)
	}
	if entries, _, err := s.Revocations(s.ctx, seq, 1); err != nil || len(entries) != 1 || !entries[0].Expires.Equal(exp.Add(limits().Retention.Slack)) {
		t.Errorf("the entry of an unknown session: %+v, %v; want it kept until %s and the slack", entries, err, exp)
	}
	if again := s.logout(stranger, Start); first <= seq || again != first {
		t.Errorf("an unknown session: numbers %d and %d", first, again)
	}
}

func testRevokeUserAndAll(t *testing.T, s scene) {
	expires := Start.Add(time.Hour)
	a, b := s.login("alice", Start), s.login("bob", Start)
	seq, err := s.Append(s.ctx, "", revocation.Entry{Kind: revocation.User, Value: "alice", Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
	s.refresh(a.Token, Start, store.Revoked)
	after := s.login("alice", Start)
	s.refresh(after.Token, Start, store.Rotated)
	b1 := s.refresh(b.Token, Start, store.Rotated).Successor
	all, err := s.Append(s.ctx, "", revocation.Entry{Kind: revocation.All, Expires: expires})
	if err != nil || all <= seq {
		t.Fatalf("number %d after %d, %v", all, seq, err)
	}
	s.refresh(b1, Start, store.Revoked)
	young := s.login("bob", Start)
	s.refresh(young.Token, Start, store.Rotated)

	list := revocation.NewList()
	entries, _, err := s.Revocations(s.ctx, s.base, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Replace(entries[:1], seq); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		f    store.Family
		want bool
	}{{a.Family, true}, {after.Family, false}, {b.Family, false}} {
		if got := list.Revoked(revocation.Credential{SessionID: test.f.SessionID, User: test.f.Subject}); got != test.want {
			t.Errorf("session %d of %s: revoked %t, want %t", test.f.Number, test.f.Subject, got, test.want)
		}
	}
	// A session revoked by its own entry ends its family too.
	if _, err := s.Append(s.ctx, "", revocation.Entry{Kind: revocation.Session, Value: young.Family.SessionID, Expires: expires}); err != nil {
		t.Fatal(err)
	}
	s.refresh(young.Token, Start, store.Revoked)
}

func testAppendOnce(t *testing.T, s scene) {
	entry := revocation.Entry{Kind: revocation.Key, Value: "kid-1", Expires: Start.Add(time.Hour)}
	first, err1 := s.Append(s.ctx, "uid-1", entry)
	again, err2 := s.Append(s.ctx, "uid-1", entry)
	other, err3 := s.Append(s.ctx, "uid-2", entry)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if first == 0 || again != first || other <= first {
		t.Errorf("numbers %d, %d, %d", first, again, other)
	}
	if _, err := s.Append(s.ctx, "", revocation.Entry{Kind: "nonsense", Value: "x", Expires: Start}); !errors.Is(err, revocation.ErrMalformed) {
		t.Errorf("a malformed entry: %v", err)
	}
}

func testLog(t *testing.T, s scene) {
	var want []uint64
	for i := range 25 {
		s.login("alice", Start) // sessions take numbers between
		want = append(want, s.logout(s.login(fmt.Sprint("u", i), Start).Family.SessionID, Start))
	}
	// The eviction of alice's old sessions put more entries in between.
	var got []uint64
	after, own := s.base, 0
	for {
		entries, more, err := s.Revocations(s.ctx, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Seq <= after {
				t.Fatalf("number %d after %d", e.Seq, after)
			}
			if err := e.Check(); err != nil {
				t.Fatal(err)
			}
			after = e.Seq
			got = append(got, e.Seq)
			if own < len(want) && e.Seq == want[own] {
				own++
			}
		}
		if !more {
			break
		}
		if len(entries) != 7 {
			t.Fatalf("a page of %d with more to come", len(entries))
		}
	}
	if own != len(want) || len(got) != 25+20 {
		t.Errorf("%d of %d own entries among %d, want all among 45", own, len(want), len(got))
	}
	if after != s.last() {
		t.Errorf("last number %d, Last says %d", after, s.last())
	}
}

func testCompact(t *testing.T, s scene) {
	gone, logged, live := s.login("alice", Start), s.login("alice", Start), s.login("bob", Start)
	seq := s.logout(logged.Family.SessionID, Start)
	live.Token = s.refresh(live.Token, Start.Add(50*time.Minute), store.Rotated).Successor
	if n, err := s.Compact(s.ctx, Start.Add(time.Minute)); err != nil || n != 0 {
		t.Fatalf("Compact removed %d, %v; want nothing yet", n, err)
	}
	at := Start.Add(90 * time.Minute)
	if n, err := s.Compact(s.ctx, at); err != nil || n < 3 {
		t.Fatalf("Compact removed %d, %v; want two families and an entry at least", n, err)
	}
	s.refresh(gone.Token, at, store.Unknown)
	s.refresh(logged.Token, at, store.Unknown)
	s.refresh(live.Token, at, store.Rotated)
	entries, _, err := s.Revocations(s.ctx, s.base, 10)
	if err != nil || len(entries) != 0 || s.last() != seq {
		t.Errorf("entries %v, last %d, %v; want none, and the last number %d", entries, s.last(), err, seq)
	}
	if again := s.logout(logged.Family.SessionID, at); again <= seq {
		t.Errorf("number %d is used again", again)
	}
}

func testCancelled(t *testing.T, s scene) {
	token := s.login("alice", Start).Token
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Inspect(ctx, token, Start, 0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Inspect with a cancelled context: %v", err)
	}
	s.refresh(token, Start, store.Rotated)
}

func testClosed(t *testing.T, s scene) {
	token := s.login("alice", Start).Token
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err1 := s.Create(s.ctx, store.NewFamily{Now: Start, Limits: limits()})
	_, err2 := s.Rotate(s.ctx, store.RotateRequest{Token: token, Now: Start, Limits: limits()})
	_, err3 := s.RevokeSession(s.ctx, store.Revoke{SessionID: "x", Now: Start})
	_, err4 := s.Last(s.ctx)
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("operation %d on a closed store: %v", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
