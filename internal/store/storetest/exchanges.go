package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/store"
)

// derived is the first token of the family of a cookie.
func derived(cookie string) store.Token {
	return store.DeriveToken(secret.NewText(cookie), "https://auth.example.com")
}

// createAs asks for a family with a token of the caller's.
func (s scene) createAs(user string, token store.Token, at time.Time, l store.Limits) (store.Created, error) {
	return s.Create(s.ctx, store.NewFamily{Owner: owner(user), Now: at, Limits: l, AccessExpiry: at.Add(15 * time.Minute), Token: token})
}

func (s scene) mustCreateAs(user string, token store.Token, at time.Time) store.Created {
	s.Helper()
	created, err := s.createAs(user, token, at, limits())
	if err != nil || !same(created.Token, token) {
		s.Fatalf("Create with a token: %v", err)
	}
	return created
}

func testChosenToken(t *testing.T, s scene) {
	token := derived("cookie")
	s.refresh(token, Start, store.Unknown)
	a := s.mustCreateAs("alice", token, Start)
	for _, user := range []string{"alice", "bob"} {
		if _, err := s.createAs(user, token, Start, limits()); !errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("a second family with the token, of %s: %v", user, err)
		}
	}
	next := s.refresh(token, Start.Add(time.Second), store.Rotated)
	if next.Family.SessionID != a.Family.SessionID {
		t.Errorf("session %q, want %q", next.Family.SessionID, a.Family.SessionID)
	}
	if _, err := s.createAs("alice", token, Start.Add(2*time.Second), limits()); !errors.Is(err, store.ErrExists) {
		t.Fatalf("after a rotation: %v", err)
	}
	if retried := s.refresh(token, Start.Add(2*time.Second), store.Retried); !same(retried.Successor, next.Successor) {
		t.Error("a retry gave another successor")
	}
	if s.last() != s.base {
		t.Error("a refused creation revoked something")
	}
}

// A family that is over, however it ended, makes way, and its session stays ended.
func testChosenReplaces(t *testing.T, s scene) {
	at := Start
	for name, end := range map[string]func(store.Created, store.Token){
		"reused": func(_ store.Created, token store.Token) {
			s.refresh(token, at, store.Rotated)
			s.refresh(token, at.Add(time.Minute), store.Reused)
		},
		"revoked": func(c store.Created, _ store.Token) { s.logout(c.Family.SessionID, at) },
		"expired": func(_ store.Created, token store.Token) {
			at = at.Add(2 * time.Hour)
			s.refresh(token, at, store.Expired)
		},
		"user": func(c store.Created, _ store.Token) {
			if _, err := s.Append(s.ctx, "", revocation.Entry{Kind: revocation.User, Value: c.Family.Subject, Expires: at.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		},
		"all": func(store.Created, store.Token) {
			if _, err := s.Append(s.ctx, "", revocation.Entry{Kind: revocation.All, Expires: at.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		token := derived(name)
		first := s.mustCreateAs("user-"+name, token, at)
		end(first, token)
		at = at.Add(2 * time.Minute)
		second := s.mustCreateAs("user-"+name, token, at)
		if second.Family.SessionID == first.Family.SessionID || second.Family.Number <= first.Family.Number {
			t.Fatalf("%s: the family was not replaced: %+v", name, second.Family)
		}
		live := s.refresh(token, at, store.Rotated).Successor
		s.logout(first.Family.SessionID, at) // the old session leads nowhere
		live = s.refresh(live, at, store.Rotated).Successor
		s.logout(second.Family.SessionID, at)
		s.refresh(live, at, store.Revoked)
		if _, err := s.Compact(s.ctx, at.Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		s.refresh(live, at, store.Unknown)
	}
}

// A cookie whose session has become another user's: the family goes over to that user, in every index.
func testChosenOwner(t *testing.T, s scene) {
	token := derived("cookie")
	s.mustCreateAs("alice", token, Start)
	at := Start.Add(2 * time.Hour)
	s.refresh(token, at, store.Expired)
	s.mustCreateAs("bob", token, at)
	if _, err := s.Append(s.ctx, "", revocation.Entry{Kind: revocation.User, Value: "alice", Expires: at.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	token = s.refresh(token, at, store.Rotated).Successor
	if _, err := s.Append(s.ctx, "", revocation.Entry{Kind: revocation.User, Value: "bob", Expires: at.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	s.refresh(token, at, store.Revoked)
}

func testUntil(t *testing.T, s scene) {
	for _, row := range []struct{ until, want time.Time }{
		{time.Time{}, Start.Add(10 * time.Hour)},
		{Start.Add(20 * time.Hour), Start.Add(10 * time.Hour)},
		{Start.Add(90 * time.Minute), Start.Add(90 * time.Minute)},
	} {
		created, err := s.Create(s.ctx, store.NewFamily{Owner: owner("alice"), Now: Start, Limits: limits(), Until: row.until})
		if err != nil || !created.Family.AbsoluteExpiry.Equal(row.want) || !created.Family.IdleExpiry.Equal(Start.Add(time.Hour)) {
			t.Errorf("until %s: %+v, %v", row.until, created.Family, err)
		}
	}
	created, err := s.Create(s.ctx, store.NewFamily{Owner: owner("bob"), Now: Start, Limits: limits(), Until: Start.Add(90 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	token := s.refresh(created.Token, Start.Add(50*time.Minute), store.Rotated).Successor
	s.refresh(token, Start.Add(90*time.Minute), store.Expired)
	s.refresh(token, Start.Add(90*time.Minute-1), store.Rotated)
}

// A family whose legacy session was prolonged lives on with it; nothing makes it shorter, and what is over stays over.
func testProlonged(t *testing.T, s scene) {
	rotate := func(token store.Token, at, until time.Time, want store.Outcome) store.RotateResult {
		t.Helper()
		r, err := s.Rotate(s.ctx, store.RotateRequest{Token: token, Now: at, Limits: limits(), AccessExpiry: at.Add(15 * time.Minute), Until: until})
		if err != nil || r.Outcome != want {
			t.Fatalf("Rotate at %s: %q, %v, want %q", at.Sub(Start), r.Outcome, err, want)
		}
		return r
	}
	ends := func(what string, f store.Family, after time.Duration) {
		t.Helper()
		if !f.AbsoluteExpiry.Equal(Start.Add(after)) {
			t.Errorf("%s the family ends after %s, want %s", what, f.AbsoluteExpiry.Sub(Start), after)
		}
	}
	created, err := s.Create(s.ctx, store.NewFamily{Owner: owner("alice"), Now: Start, Limits: limits(), Until: Start.Add(30 * time.Minute), Token: derived("cookie")})
	if err != nil {
		t.Fatal(err)
	}
	ends("at first", created.Family, 30*time.Minute)
	at := Start.Add(20 * time.Minute)
	a := rotate(created.Token, at, at.Add(30*time.Minute), store.Rotated)
	ends("prolonged", a.Family, 50*time.Minute)
	retried := rotate(created.Token, at.Add(time.Second), at.Add(40*time.Minute), store.Retried)
	ends("at a retry", retried.Family, time.Hour)
	retried = rotate(created.Token, at.Add(2*time.Second), at, store.Retried)
	ends("at a retry that says less", retried.Family, time.Hour)
	if seen, err := s.Inspect(s.ctx, a.Successor, at, 0); err != nil || seen.Outcome != store.Rotated {
		t.Errorf("after it: %q, %v", seen.Outcome, err)
	} else {
		ends("stored,", seen.Family, time.Hour)
	}
	at = Start.Add(55 * time.Minute) // past its first ends
	b := rotate(a.Successor, at, Start.Add(10*time.Minute), store.Rotated)
	ends("by an earlier end", b.Family, time.Hour)
	b = rotate(b.Successor, at, time.Time{}, store.Rotated)
	ends("by none", b.Family, time.Hour)
	if _, err := s.Compact(s.ctx, Start.Add(59*time.Minute)); err != nil {
		t.Fatal(err)
	}
	rotate(b.Successor, Start.Add(time.Hour), Start.Add(3*time.Hour), store.Expired)
	c := rotate(b.Successor, Start.Add(time.Hour-1), Start.Add(3*time.Hour), store.Rotated)
	ends("at the last moment", c.Family, 3*time.Hour)
	s.logout(created.Family.SessionID, Start.Add(time.Hour))
	rotate(c.Successor, Start.Add(time.Hour), Start.Add(5*time.Hour), store.Revoked)
}

// exchange does what the token service does with the cookie of a legacy session.
func (s scene) exchange(i int, user string, token store.Token, at time.Time) (store.Token, error) {
	on := s.replica(i)
	for range 4 {
		r, err := on.Rotate(s.ctx, store.RotateRequest{Token: token, Now: at, Limits: limits()})
		if err != nil {
			return store.Token{}, err
		}
		if r.Outcome == store.Rotated || r.Outcome == store.Retried {
			return r.Successor, nil
		}
		_, err = on.Create(s.ctx, store.NewFamily{Owner: owner(user), Now: at, Limits: limits(), Token: token})
		if err != nil && !errors.Is(err, store.ErrExists) {
			return store.Token{}, err
		}
	}
	return store.Token{}, errors.New("no end")
}

// parallelExchanges wants one successor of n exchanges at once.
func (s scene) parallelExchanges(user string, token store.Token, at time.Time) store.Token {
	s.Helper()
	got := make([]store.Token, 50)
	atOnce(len(got), func(i int) {
		var err error
		if got[i], err = s.exchange(i, user, token, at); err != nil {
			s.Errorf("exchange: %v", err)
		}
	})
	for _, token := range got {
		if !same(token, got[0]) {
			s.Fatal("two chains: the successors differ")
		}
	}
	return got[0]
}

func testParallelExchanges(t *testing.T, s scene) {
	for round := range repeat(500) {
		user := fmt.Sprint("user", round)
		s.refresh(s.parallelExchanges(user, derived(user), Start), Start, store.Rotated)
	}
	if s.last() != s.base {
		t.Error("exchanges at once revoked something")
	}
}

// Later, when the window has passed, all of them replace the old family by one.
func testParallelExchangesAgain(t *testing.T, s scene) {
	for round := range repeat(500) {
		user := fmt.Sprint("user", round)
		old := s.parallelExchanges(user, derived(user), Start)
		old = s.refresh(old, Start.Add(time.Second), store.Rotated).Successor
		at := Start.Add(time.Minute)
		fresh := s.parallelExchanges(user, derived(user), at)
		s.refresh(fresh, at, store.Rotated)
		if r, err := s.Inspect(s.ctx, old, at, 0); err != nil || r.Outcome == store.Rotated || r.Outcome == store.Retried {
			t.Fatalf("the replaced family lives: %q, %v", r.Outcome, err)
		}
	}
	if entries := s.newer(s.base, 1000); len(entries) != repeat(500) {
		t.Errorf("%d revocations for %d replaced families", len(entries), repeat(500))
	}
}
