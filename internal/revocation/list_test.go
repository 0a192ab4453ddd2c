package revocation_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/revocation"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestSessionIDs(t *testing.T) {
	for _, number := range []uint64{0, 1, 35, 36, 1 << 40, math.MaxUint64} {
		id := revocation.SessionID(number)
		if got, ok := revocation.SessionNumber(id); !ok || got != number || len(id) > 48 {
			t.Errorf("SessionNumber(%q) = %d, %t; want %d", id, got, ok, number)
		}
	}
	if first, second := revocation.SessionID(7), revocation.SessionID(7); first == second {
		t.Error("two sessions with one id")
	}
	good := revocation.SessionID(7)
	for _, bad := range []string{"", ".", "7", good[1:], "0" + good, "+" + good, strings.ToUpper(good[:1]) + "A" + good, good + "A", good[:len(good)-1],
		"-7" + good[1:], "7 " + good[1:], "3w5e11264sgsg" + good[1:], "zzzzzzzzzzzzzzz" + good[1:], good[:len(good)-1] + "!", strings.Repeat("1", 1000)} {
		if n, ok := revocation.SessionNumber(bad); ok {
			t.Errorf("SessionNumber(%q) = %d, want refused", bad, n)
		}
	}
}

func entry(seq uint64, kind revocation.Kind, value string, before uint64) revocation.Entry {
	return revocation.Entry{Seq: seq, Kind: kind, Value: value, Before: before, Expires: start.Add(time.Hour)}
}

func TestRevoked(t *testing.T) {
	old, young := revocation.SessionID(10), revocation.SessionID(20)
	credential := revocation.Credential{SessionID: old, User: "alice", KID: "k1", TokenID: "t1"}
	tests := []struct {
		name  string
		entry revocation.Entry
		cred  revocation.Credential
		want  bool
	}{
		{"its session", entry(30, revocation.Session, old, 0), credential, true},
		{"another session", entry(30, revocation.Session, young, 0), credential, false},
		{"its key", entry(30, revocation.Key, "k1", 0), credential, true},
		{"another key", entry(30, revocation.Key, "k2", 0), credential, false},
		{"its token", entry(30, revocation.TokenID, "t1", 0), credential, true},
		{"kinds do not mix", entry(30, revocation.TokenID, "k1", 0), credential, false},
		{"its user, session before", entry(30, revocation.User, "alice", 15), credential, true},
		{"its user, session at the number", entry(30, revocation.User, "alice", 10), credential, false},
		{"its user, session after", entry(30, revocation.User, "alice", 5), credential, false},
		{"another user", entry(30, revocation.User, "bob", 15), credential, false},
		{"all, session before", entry(30, revocation.All, "", 15), credential, true},
		{"all, session after", entry(30, revocation.All, "", 10), credential, false},
		{"a user's token without a session", entry(30, revocation.User, "alice", 15), revocation.Credential{User: "alice"}, true},
		{"all, a token without a session", entry(30, revocation.All, "", 15), revocation.Credential{User: "bob"}, true},
		{"nothing said", entry(30, revocation.Session, old, 0), revocation.Credential{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			applied, replaced := revocation.NewList(), revocation.NewList()
			if err := applied.Apply(test.entry); err != nil {
				t.Fatal(err)
			}
			if err := replaced.Replace([]revocation.Entry{test.entry}, 30); err != nil {
				t.Fatal(err)
			}
			if a, r := applied.Revoked(test.cred), replaced.Revoked(test.cred); a != test.want || r != test.want {
				t.Errorf("Revoked = %t after Apply, %t after Replace; want %t", a, r, test.want)
			}
		})
	}
}

func TestOrderAndBounds(t *testing.T) {
	l := revocation.NewListLimit(2)
	if err := l.Apply(entry(5, revocation.Session, "a", 0)); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{4, 5} {
		if err := l.Apply(entry(seq, revocation.Session, "b", 0)); !errors.Is(err, revocation.ErrOutOfOrder) {
			t.Errorf("number %d after 5: %v", seq, err)
		}
	}
	for i, bad := range []revocation.Entry{{}, entry(0, revocation.Session, "b", 0), entry(9, revocation.Session, "", 0), entry(9, revocation.User, "b", 0),
		entry(9, revocation.All, "", 0), entry(9, revocation.All, "x", 3), entry(9, "other", "x", 0), entry(9, revocation.Key, strings.Repeat("x", 600), 0),
		{Seq: 9, Kind: revocation.Key, Value: "k"}} {
		if err := l.Apply(bad); !errors.Is(err, revocation.ErrMalformed) {
			t.Errorf("malformed entry %d: %v", i, err)
		}
	}
	if err := l.Apply(entry(6, revocation.User, "bob", 3)); err != nil {
		t.Fatal(err)
	}
	if err := l.Apply(entry(7, revocation.Session, "c", 0)); !errors.Is(err, revocation.ErrFull) || l.Applied() != 6 {
		t.Errorf("a full list: %v, applied %d", err, l.Applied())
	}
	three := []revocation.Entry{entry(7, revocation.Session, "c", 0), entry(8, revocation.Session, "d", 0), entry(9, revocation.Session, "e", 0)}
	if err := l.Replace(three, 9); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("Replace past the limit: %v", err)
	}
	if err := l.Replace(three[:2], 7); !errors.Is(err, revocation.ErrOutOfOrder) {
		t.Errorf("Replace with an entry past applied: %v", err)
	}
	if l.Len() != 2 || !l.Revoked(revocation.Credential{SessionID: "a"}) {
		t.Error("a refused Replace changed the list")
	}
}

func TestALostStoreForgetsNobody(t *testing.T) {
	l := revocation.NewListLimit(3)
	if err := l.Replace([]revocation.Entry{entry(9, revocation.Session, "old", 0)}, 9); err != nil {
		t.Fatal(err)
	}
	if err := l.Replace([]revocation.Entry{entry(2, revocation.Session, "new", 0)}, 2); err != nil {
		t.Fatal(err)
	}
	if err := l.Apply(entry(3, revocation.Session, "newer", 0)); err != nil {
		t.Fatal(err)
	}
	for _, sid := range []string{"old", "new", "newer"} {
		if !l.Revoked(revocation.Credential{SessionID: sid}) {
			t.Errorf("%s is forgotten", sid)
		}
	}
	if l.Applied() != 3 || l.Len() != 3 {
		t.Errorf("applied %d, %d entries", l.Applied(), l.Len())
	}
	if err := l.Apply(entry(4, revocation.Session, "x", 0)); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("past the limit: %v", err)
	}
	// Another store that is past the old numbers, or the same one restored from a backup, looks no different.
	if err := l.Replace([]revocation.Entry{entry(30, revocation.Session, "newer", 0)}, 30); err != nil {
		t.Fatal(err)
	}
	for _, sid := range []string{"old", "new", "newer"} {
		if !l.Revoked(revocation.Credential{SessionID: sid}) {
			t.Errorf("%s is forgotten", sid)
		}
	}
	if left := l.Prune(start.Add(2 * time.Hour)); left != 0 || l.Revoked(revocation.Credential{SessionID: "old"}) {
		t.Errorf("%d left after their expiry", left)
	}
}

func TestReplaceKeepsEveryKind(t *testing.T) {
	l := revocation.NewList()
	for i, e := range []revocation.Entry{entry(0, revocation.User, "u", 9), entry(0, revocation.All, "", 2), entry(0, revocation.Key, "k", 0), entry(0, revocation.TokenID, "t", 0)} {
		e.Seq = uint64(i + 10)
		if err := l.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Replace([]revocation.Entry{entry(1, revocation.User, "u", 4)}, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []revocation.Credential{{User: "u", SessionID: revocation.SessionID(8)}, {User: "x", SessionID: revocation.SessionID(1)}, {KID: "k"}, {TokenID: "t"}} {
		if !l.Revoked(c) {
			t.Errorf("%+v is forgotten", c)
		}
	}
	if l.Len() != 4 || l.Applied() != 1 {
		t.Errorf("%d entries, applied %d; want 4 and 1", l.Len(), l.Applied())
	}
}

// A clock that runs ahead prunes what lives; once it is set right, the list must not be taken for complete.
func TestCompleteAt(t *testing.T) {
	now := time.Now() // with a monotonic reading, which must not matter
	live := revocation.Entry{Seq: 1, Kind: revocation.Session, Value: "live", Expires: now.Add(time.Hour)}
	l := revocation.NewList()
	if err := l.Replace([]revocation.Entry{live}, 1); err != nil {
		t.Fatal(err)
	}
	l.Prune(now)
	if !l.CompleteAt(now.Add(-time.Minute)) {
		t.Error("incomplete although nothing was forgotten")
	}
	if left := l.Prune(now.Add(2 * time.Hour)); left != 0 {
		t.Fatalf("%d left", left)
	}
	if l.CompleteAt(now) || l.CompleteAt(time.Unix(now.Unix(), 0)) || !l.CompleteAt(now.Add(2*time.Hour)) {
		t.Error("complete in the past, or not in the present")
	}
	if err := l.Replace([]revocation.Entry{live}, 1); err != nil {
		t.Fatal(err)
	}
	if !l.CompleteAt(now) || !l.Revoked(revocation.Credential{SessionID: "live"}) {
		t.Error("not complete after the whole list was loaded again")
	}
}

func TestPrune(t *testing.T) {
	l := revocation.NewList()
	for i, e := range []revocation.Entry{entry(0, revocation.Session, "s", 0), entry(0, revocation.User, "u", 9), entry(0, revocation.All, "", 2), entry(0, revocation.Key, "k", 0)} {
		e.Seq = uint64(i + 1)
		e.Expires = start.Add(time.Duration(i) * time.Minute)
		if err := l.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	// A second mark of the user lives as long as the longer of both.
	if err := l.Apply(revocation.Entry{Seq: 9, Kind: revocation.User, Value: "u", Before: 5, Expires: start.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if left := l.Prune(start.Add(150 * time.Second)); left != 2 || l.Len() != 2 {
		t.Errorf("left %d, want the user and the key", left)
	}
	if l.Revoked(revocation.Credential{SessionID: "s"}) || !l.Revoked(revocation.Credential{KID: "k"}) ||
		!l.Revoked(revocation.Credential{User: "u", SessionID: revocation.SessionID(8)}) {
		t.Error("Prune removed the wrong entries")
	}
	if left := l.Prune(start.Add(2 * time.Hour)); left != 0 || l.Applied() != 9 {
		t.Errorf("left %d, applied %d", left, l.Applied())
	}
}

func TestReadersSeeWhatWasApplied(t *testing.T) {
	l := revocation.NewList()
	const n = 2000
	ids := make([]string, n)
	for i := range ids {
		ids[i] = revocation.SessionID(uint64(i + 1))
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				applied := l.Applied()
				if applied > 0 && !l.Revoked(revocation.Credential{SessionID: ids[applied-1]}) {
					t.Errorf("number %d is applied, but not revoked", applied)
					return
				}
				if applied == n {
					return
				}
			}
		})
	}
	for i, id := range ids {
		if err := l.Apply(entry(uint64(i+1), revocation.Session, id, 0)); err != nil {
			t.Fatal(err)
		}
	}
	readers.Wait()
	allocs := testing.AllocsPerRun(100, func() {
		l.Revoked(revocation.Credential{SessionID: ids[3] + "x", User: "alice", KID: "k", TokenID: "t"})
	})
	if allocs > 1 { // the concatenation above
		t.Errorf("Revoked allocates: %v", allocs)
	}
}

func BenchmarkRevoked(b *testing.B) {
	l := revocation.NewList()
	for i := range 10_000 {
		_ = l.Apply(entry(uint64(i+1), revocation.Session, revocation.SessionID(uint64(i)), 0))
	}
	c := revocation.Credential{SessionID: revocation.SessionID(20_000), User: "alice", KID: "k", TokenID: "t"}
	b.ReportAllocs()
	for b.Loop() {
		l.Revoked(c)
	}
}
