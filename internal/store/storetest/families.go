package storetest

import (
	"reflect"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

func testRotate(t *testing.T, s scene) {
	a := s.login("alice", Start)
	if n, ok := revocation.SessionNumber(a.Family.SessionID); !ok || n != a.Family.Number || n == 0 {
		t.Fatalf("session id %q does not begin with number %d", a.Family.SessionID, a.Family.Number)
	}
	if b := s.login("bob", Start); b.Family.Number <= a.Family.Number {
		t.Errorf("numbers do not grow: %d, then %d", a.Family.Number, b.Family.Number)
	}
	token, at := a.Token, Start
	for generation := uint64(1); generation <= 5; generation++ {
		at = at.Add(50 * time.Minute)
		seen, err := s.Inspect(s.ctx, token, at, limits().RetryWindow)
		if err != nil || seen.Outcome != store.Rotated || !reflect.DeepEqual(seen.Family.Owner, owner("alice")) {
			t.Fatalf("Inspect: %+v, %v", seen, err)
		}
		result := s.refresh(token, at, store.Rotated)
		if same(result.Successor, token) || result.Successor.Family() != token.Family() {
			t.Fatal("the successor is the same token, or of another family")
		}
		if f := result.Family; f.Generation != generation || f.SessionID != a.Family.SessionID || !f.LastUsed.Equal(at) {
			t.Fatalf("family after rotation: %+v", f)
		}
		token = result.Successor
	}
	if s.last() != s.base {
		t.Error("rotations made revocations")
	}
}

func testRetryWindow(t *testing.T, s scene) {
	first := s.login("alice", Start).Token
	at := Start.Add(time.Minute)
	second := s.refresh(first, at, store.Rotated).Successor
	for _, after := range []time.Duration{0, time.Second, 10*time.Second - 1} {
		if retried := s.refresh(first, at.Add(after), store.Retried); !same(retried.Successor, second) {
			t.Fatalf("a retry after %s returned another successor", after)
		}
	}
	// Once the successor was used, its predecessor's predecessor is a reuse, also inside the window.
	third := s.refresh(second, at.Add(time.Second), store.Rotated).Successor
	if retried := s.refresh(second, at.Add(2*time.Second), store.Retried); !same(retried.Successor, third) {
		t.Fatal("a retry of the second token returned another successor")
	}
	s.refresh(first, at.Add(2*time.Second), store.Reused)
	s.refresh(third, at.Add(3*time.Second), store.Revoked)
}

func testReuse(t *testing.T, s scene) {
	victim, other, bystander := s.login("alice", Start), s.login("alice", Start), s.login("bob", Start)
	at := Start.Add(time.Minute)
	live := s.refresh(victim.Token, at, store.Rotated).Successor
	s.refresh(victim.Token, at.Add(10*time.Second), store.Reused) // the window is over at its end
	s.refresh(live, at.Add(11*time.Second), store.Revoked)
	s.refresh(victim.Token, at.Add(11*time.Second), store.Revoked)
	s.refresh(other.Token, at.Add(time.Minute), store.Rotated)
	s.refresh(bystander.Token, at.Add(time.Minute), store.Rotated)
	entries, _, err := s.Revocations(s.ctx, s.base, 10)
	if err != nil || len(entries) != 1 {
		t.Fatalf("entries: %+v, %v; want one", entries, err)
	}
	if e := entries[0]; e.Kind != revocation.Session || e.Value != victim.Family.SessionID || e.Seq != s.last() {
		t.Errorf("entry %+v, want the session %s", e, victim.Family.SessionID)
	}
	// Inspect sees a reuse without acting on it.
	seen, err := s.Inspect(s.ctx, other.Token, at.Add(time.Hour/2), limits().RetryWindow)
	if err != nil || seen.Outcome != store.Reused {
		t.Fatalf("Inspect of a replaced token: %q, %v", seen.Outcome, err)
	}
	if _, err := s.Inspect(s.ctx, other.Token, at, limits().RetryWindow); err != nil {
		t.Fatal(err)
	}
	if s.last() != entries[0].Seq {
		t.Error("Inspect revoked something")
	}
}

func testExpiry(t *testing.T, s scene) {
	idle := s.login("alice", Start)
	s.refresh(idle.Token, Start.Add(time.Hour), store.Expired)
	s.refresh(idle.Token, Start.Add(time.Hour-1), store.Rotated)
	busy := s.login("bob", Start)
	token, at := busy.Token, Start
	for range 19 {
		at = at.Add(30 * time.Minute)
		token = s.refresh(token, at, store.Rotated).Successor
	}
	s.refresh(token, Start.Add(10*time.Hour), store.Expired)
	s.refresh(token, Start.Add(10*time.Hour-1), store.Rotated)
	if s.last() != s.base {
		t.Error("an expired token was taken for a reuse")
	}
}

func testUnknown(t *testing.T, s scene) {
	s.login("alice", Start)
	s.refresh(store.NewToken(), Start, store.Unknown)
	s.refresh(store.Token{}, Start, store.Unknown)
	seen, err := s.Inspect(s.ctx, store.NewToken(), Start, time.Minute)
	if err != nil || seen.Outcome != store.Unknown {
		t.Errorf("Inspect: %+v, %v", seen, err)
	}
	if s.last() != s.base {
		t.Error("an unknown token revoked something")
	}
}

func testEviction(t *testing.T, s scene) {
	var families []store.Created
	for i := range 5 {
		families = append(families, s.login("alice", Start.Add(time.Duration(i)*time.Second)))
	}
	bystander := s.login("bob", Start)
	// The oldest login is the most recently used now; the second goes.
	kept := s.refresh(families[0].Token, Start.Add(time.Minute), store.Rotated).Successor
	sixth := s.login("alice", Start.Add(2*time.Minute))
	if sixth.Evicted != 1 {
		t.Fatalf("evicted %d, want 1", sixth.Evicted)
	}
	s.refresh(families[1].Token, Start.Add(3*time.Minute), store.Revoked)
	s.refresh(kept, Start.Add(3*time.Minute), store.Rotated)
	s.refresh(sixth.Token, Start.Add(3*time.Minute), store.Rotated)
	s.refresh(bystander.Token, Start.Add(3*time.Minute), store.Rotated)
	entries, _, err := s.Revocations(s.ctx, s.base, 10)
	if err != nil || len(entries) != 1 || entries[0].Value != families[1].Family.SessionID {
		t.Errorf("entries %+v, %v; want the session of the second login", entries, err)
	}
	// Revoked and expired families take no place.
	if again := s.login("alice", Start.Add(30*time.Hour)); again.Evicted != 0 {
		t.Errorf("evicted %d although all others have expired", again.Evicted)
	}
}

func testRetention(t *testing.T, s scene) {
	created, err := s.Create(s.ctx, store.NewFamily{
		Owner: store.Owner{Subject: "alice"}, Now: Start, Limits: limits(), AccessExpiry: Start.Add(50 * time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.logout(created.Family.SessionID, Start)
	s.logout(s.login("bob", Start).Family.SessionID, Start)
	s.logout(s.stranger(), Start)
	entries, _, err := s.Revocations(s.ctx, s.base, 10)
	if err != nil || len(entries) != 3 {
		t.Fatalf("entries: %+v, %v", entries, err)
	}
	for i, want := range []time.Duration{52 * time.Minute, 17 * time.Minute, 17 * time.Minute} {
		if !entries[i].Expires.Equal(Start.Add(want)) {
			t.Errorf("entry %d expires %s after the start, want %s", i, entries[i].Expires.Sub(Start), want)
		}
	}
}

// Families that end with their access token, however many, end no other; and they may be made past the limit.
func testFleeting(t *testing.T, s scene) {
	kept := s.login("alice", Start)
	fleeting := limits()
	fleeting.Idle, fleeting.Absolute, fleeting.MaxFamilies = 15*time.Minute, 15*time.Minute, 0
	for i := range 3 * limits().MaxFamilies {
		at := Start.Add(time.Duration(i)*time.Second + 400*time.Millisecond)
		if _, err := s.Create(s.ctx, store.NewFamily{
			Owner: store.Owner{Subject: "alice"}, Now: at, Limits: fleeting, AccessExpiry: at.Add(15 * time.Minute).Truncate(time.Second),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if another := s.login("alice", Start.Add(time.Minute)); another.Evicted != 0 {
		t.Errorf("a login evicted %d", another.Evicted)
	}
	s.refresh(kept.Token, Start.Add(2*time.Minute), store.Rotated)
}
