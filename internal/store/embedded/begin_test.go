package embedded

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// A file that is lost takes no logout back: the next one distrusts every session of the one before, and its own are above.
func TestALostFileRevokesAll(t *testing.T) {
	login := func(dir string) (*Store, store.Created) {
		t.Helper()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		now := time.Now()
		created, err := s.Create(t.Context(), store.NewFamily{
			Owner: store.Owner{Subject: "alice"}, Now: now, AccessExpiry: now.Add(time.Minute), Limits: store.Limits{Idle: time.Hour, Absolute: time.Hour},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s, created
	}
	first, lost := login(t.TempDir())
	if _, err := first.RevokeSession(t.Context(), store.Revoke{SessionID: lost.Family.SessionID, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Unix(); time.Now().Unix() == end; { // a new file of the same second begins at the same number
		<-time.After(10 * time.Millisecond)
	}
	second, created := login(t.TempDir())
	entries, more, err := second.Revocations(t.Context(), 0, 10)
	if err != nil || more || len(entries) != 1 || entries[0].Kind != revocation.All {
		t.Fatalf("entries %+v, %t, %v; want one for all", entries, more, err)
	}
	list := revocation.NewList()
	list.Replace(entries, entries[0].Seq)
	if !list.Revoked(revocation.Credential{SessionID: lost.Family.SessionID, User: "alice"}) {
		t.Error("a session of the lost file, logged out there, is good again")
	}
	if list.Revoked(revocation.Credential{SessionID: created.Family.SessionID, User: "alice"}) {
		t.Error("a session of the new file is refused")
	}
	if seen, err := second.Inspect(t.Context(), created.Token, time.Now(), 0); err != nil || seen.Outcome != store.Rotated {
		t.Errorf("its token: %q, %v", seen.Outcome, err)
	}
	if left := time.Until(entries[0].Expires); left < 24*time.Hour {
		t.Errorf("the entry lasts %s", left)
	}
}
