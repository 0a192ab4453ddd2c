package revocation_test

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
)

func TestLegacy(t *testing.T) {
	hash := revocation.LegacyHash("s%3Aabc")
	if hash != "kbywlMGl4fcBitNghUhoi2Xv2jpON_mQvJsmto7XLfw" {
		t.Errorf("hash %q", hash)
	}
	known := revocation.Credential{User: "alice", Legacy: hash}
	l := revocation.NewList()
	apply := func(e revocation.Entry) {
		t.Helper()
		if err := l.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	apply(entry(10, revocation.User, "alice", 10))
	apply(entry(11, revocation.All, "", 11))
	if l.Revoked(known) {
		t.Error("a session without a number is distrusted by one")
	}
	if before, other := l.UserBefore("alice"), l.UserBefore("bob"); before != 10 || other != 0 || l.UserBefore("") != 0 {
		t.Errorf("alice's number is %d, bob's %d", before, other)
	}
	apply(entry(12, revocation.Legacy, hash, 0))
	if !l.Revoked(known) || l.Revoked(revocation.Credential{User: "alice", Legacy: revocation.LegacyHash("other")}) {
		t.Error("which session is distrusted")
	}
	if err := l.Replace(nil, 12); err != nil || !l.Revoked(known) || l.Len() != 3 {
		t.Errorf("the entry was lost with the store: %v, %d", err, l.Len())
	}
	e := entry(13, revocation.Legacy, "late", 0)
	e.Expires = start.Add(48 * time.Hour)
	apply(e)
	if left := l.Prune(start.Add(47 * time.Hour)); left != 1 || l.Revoked(known) || !l.Revoked(revocation.Credential{Legacy: "late"}) {
		t.Errorf("%d left after pruning", left)
	}
	for _, bad := range []revocation.Entry{{Seq: 1, Kind: revocation.Legacy, Expires: start}, {Seq: 1, Kind: revocation.Legacy, Value: "x", Before: 1, Expires: start}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
