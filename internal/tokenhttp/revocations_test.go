package tokenhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// distrust puts revocations into the document and has them carried out. It returns whether nothing is left to do.
func (r *rig) distrust(all ...snapshot.Revocation) bool {
	r.Helper()
	doc := r.issuer
	doc.Revision++
	doc.Revocations = all
	r.use(doc)
	return r.service.record(r.Context(), r.document.Load())
}

// numbers are what the status tells.
func (r *rig) numbers() map[string]uint64 {
	r.Helper()
	return r.service.Status(r.Context()).Revoked
}

func (r *rig) entries() []revocation.Entry {
	r.Helper()
	all, _, err := r.store.Revocations(r.Context(), r.born, 100)
	if err != nil {
		r.Fatal(err)
	}
	return all
}

func (r *rig) pair(user, password string) (access, refresh string) {
	r.Helper()
	a := r.login(user, password)
	if a.status != http.StatusOK {
		r.Fatalf("login of %s: %d %s", user, a.status, a.raw)
	}
	return a.body["access_token"].(string), a.body["refresh_token"].(string)
}

func (r *rig) goesOn(refresh string) bool {
	r.Helper()
	return r.refresh(refresh).status == http.StatusOK
}

func TestRevocationOfAUser(t *testing.T) {
	r := newRig(t)
	_, alices := r.pair("alice", canary)
	_, bobs := r.pair("bob", "builder")
	wanted := snapshot.Revocation{UID: "uid-1", Kind: "user", Value: "alice"}
	if !r.distrust(wanted) {
		t.Fatal("it is not done")
	}
	if r.goesOn(alices) || !r.goesOn(bobs) {
		t.Error("the revoked user's session goes on, or another's does not")
	}
	numbers := r.numbers()
	all := r.entries()
	if len(all) != 1 || all[0].Kind != revocation.User || all[0].Value != "alice" || all[0].Before != all[0].Seq || numbers["uid-1"] != all[0].Seq {
		t.Fatalf("entries %+v, numbers %v", all, numbers)
	}
	if least := start.Add(15*time.Minute + 2*time.Minute + revocationMemory); all[0].Expires.Before(least) {
		t.Errorf("it is kept until %s, want %s at least", all[0].Expires, least)
	}
	// A new login is no old session, and neither a look at the document nor a restart ends it.
	_, again := r.pair("alice", canary)
	r.distrust(wanted, snapshot.Revocation{UID: "uid-2", Kind: "session", Value: revocation.SessionID(1)})
	r.restart()
	if !r.distrust(wanted) || len(r.entries()) != 2 || r.numbers()["uid-1"] != all[0].Seq {
		t.Errorf("after a restart: entries %+v, numbers %v", r.entries(), r.numbers())
	}
	if !r.goesOn(again) {
		t.Error("a login after the revocation was ended by it")
	}
	// What left the document is forgotten here, not in the store.
	if r.distrust(); len(r.numbers()) != 0 {
		t.Errorf("numbers %v of an empty document", r.numbers())
	}
}

func TestRevocationOfASessionAndOfAll(t *testing.T) {
	r := newRig(t)
	access, first := r.pair("alice", canary)
	_, second := r.pair("alice", canary)
	_, bobs := r.pair("bob", "builder")
	sid := r.claims(access).SessionID
	r.distrust(snapshot.Revocation{UID: "uid-1", Kind: "session", Value: sid})
	if r.goesOn(first) {
		t.Error("the session goes on")
	}
	r.distrust(snapshot.Revocation{UID: "uid-2", Kind: "key", Value: "some-kid"})
	if a := r.refresh(second); a.status != http.StatusOK {
		t.Errorf("another session, or a revoked key, ended a session: %d %s", a.status, a.raw)
	} else {
		second = a.body["refresh_token"].(string)
	}
	r.distrust(snapshot.Revocation{UID: "uid-3", Kind: "all"})
	if r.goesOn(second) || r.goesOn(bobs) {
		t.Error("a session goes on although all were revoked")
	}
	if _, fresh := r.pair("bob", "builder"); !r.goesOn(fresh) {
		t.Error("nobody can log in any more")
	}
}

// What nobody can carry out keeps nothing else waiting.
func TestRevocationsThatAreNone(t *testing.T) {
	r := newRig(t)
	done := r.distrust(
		snapshot.Revocation{UID: "a", Kind: "jti", Value: "x"}, snapshot.Revocation{UID: "b", Kind: "legacy", Value: "x"},
		snapshot.Revocation{UID: "c", Kind: "user"}, snapshot.Revocation{UID: "d", Kind: "all", Value: "x"}, snapshot.Revocation{Kind: "all"},
		snapshot.Revocation{UID: "e", Kind: "user", Value: string(make([]byte, 513))}, snapshot.Revocation{UID: "f", Kind: "user", Value: "bob"},
	)
	if numbers := r.numbers(); !done || len(numbers) != 1 || numbers["f"] == 0 || len(r.entries()) != 1 {
		t.Errorf("done %t, numbers %v, entries %+v", done, numbers, r.entries())
	}
}

// refusing is a store that takes nothing while it is down.
type refusing struct {
	store.Store
	down  atomic.Bool
	tried atomic.Int64
}

func (f *refusing) Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error) {
	f.tried.Add(1)
	if f.down.Load() {
		return 0, errors.Join(store.ErrUnavailable, errors.New("no answer"))
	}
	return f.Store.Append(ctx, id, entry)
}

// numbering is a store that numbers what it is given.
type numbering struct {
	store.Store
	ids []string
}

func (c *numbering) Append(_ context.Context, id string, _ revocation.Entry) (uint64, error) {
	c.ids = append(c.ids, id)
	return uint64(len(c.ids)), nil
}

func TestRevocationsWaitForTheStore(t *testing.T) {
	built, err := build(func() snapshot.Issuer {
		doc := issuerDocument(t, newKey(t))
		doc.Revocations = []snapshot.Revocation{{UID: "uid-1", Kind: "all"}, {UID: "uid-2", Kind: "user", Value: "alice"}}
		return doc
	}(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pass := func(d time.Duration) { <-time.After(d) } // of the bubble's clock, which takes no time
	synctest.Test(t, func(t *testing.T) {
		backend := &refusing{Store: &numbering{}}
		backend.down.Store(true)
		var document atomic.Pointer[Document]
		s := New(Config{Document: document.Load, Refused: func() *snapshot.Refusal { return nil }, Families: backend, Sessions: backend, Limiter: backend, Acquaintances: backend, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.RunRevocations(ctx) }()
		pass(time.Minute)
		if backend.tried.Load() != 0 {
			t.Error("something is written without a document")
		}
		document.Store(built)
		pass(time.Minute)
		// 250 ms, 500 ms, 1 s, 2 s, 4 s, then every 5 s.
		if n := backend.tried.Load(); n < 12 || n > 20 {
			t.Errorf("%d attempts in a minute, want about 16", n)
		}
		backend.down.Store(false)
		pass(revocationPauseMax)
		if got := s.recorded.all(built); got["uid-1"] != 1 || got["uid-2"] != 2 {
			t.Errorf("numbers %v after the store came back", got)
		}
		before := backend.tried.Load()
		pass(time.Hour)
		if backend.tried.Load() != before {
			t.Error("what is written is written again")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// The application ends the user's sessions once: not those of after a restart, and not while it is down.
func TestRevocationOfAUserWithLegacySessions(t *testing.T) {
	r := newLegacyRig(t, 0)
	cookie, others := r.app.session("alice", time.Hour), r.app.session("carol", time.Hour)
	r.app.revokerDown = true
	wanted := snapshot.Revocation{UID: "uid-1", Kind: "user", Value: "alice"}
	if r.distrust(wanted, snapshot.Revocation{UID: "uid-2", Kind: "all"}) || r.numbers()["uid-1"] != 0 || r.numbers()["uid-2"] == 0 {
		t.Errorf("the application is down: numbers %v", r.numbers())
	}
	if len(r.entries()) != 2 {
		t.Errorf("entries %+v: the tokens wait for the application", r.entries())
	}
	r.app.revokerDown = false
	if !r.distrust(wanted) || r.numbers()["uid-1"] == 0 || r.app.lives(cookie) || !r.app.lives(others) {
		t.Errorf("numbers %v; alice's session lives: %t, carol's: %t", r.numbers(), r.app.lives(cookie), r.app.lives(others))
	}
	fresh := r.app.session("alice", time.Hour)
	r.restart()
	if !r.distrust(wanted) || !r.app.lives(fresh) || r.numbers()["uid-1"] == 0 {
		t.Error("a session of after the revocation was ended by a restart")
	}
}
