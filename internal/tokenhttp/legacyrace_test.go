package tokenhttp

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// remembering is an application behind the cache of one replica, which knows a good session for 10 seconds.
type remembering struct {
	*legacyApp
	good map[string]legacy.Session
	at   map[string]time.Time
}

func (c *remembering) Validate(ctx context.Context, cookie secret.Text) (legacy.Session, error) {
	id := cookie.Reveal()
	if s, ok := c.good[id]; ok && c.now().Sub(c.at[id]) < 10*time.Second {
		return s, nil
	}
	s, err := c.legacyApp.Validate(ctx, cookie)
	if err == nil {
		c.good[id], c.at[id] = s, c.now()
	}
	return s, err
}

func (c *remembering) Forget(cookie secret.Text) { delete(c.good, cookie.Reveal()) }

func (c *remembering) RevokeUser(ctx context.Context, user string) error {
	clear(c.good)
	return c.legacyApp.RevokeUser(ctx, user)
}

// Another replica carries the revocation of a user out; this one remembers the session.
func TestUserRevokedByAnotherReplica(t *testing.T) {
	r := newLegacyRig(t, 100)
	here := &remembering{r.app, map[string]legacy.Session{}, map[string]time.Time{}}
	doc := r.issuer
	doc.Revocations = []snapshot.Revocation{{UID: "u1", Kind: "user", Value: "alice"}}
	built, err := build(doc, r.document.Load(), WithLegacy(func(string, snapshot.Legacy) (Legacy, error) { return here, nil }))
	if err != nil {
		t.Fatal(err)
	}
	r.document.Store(built)
	sid := r.app.session("alice", 8*time.Hour)
	pair := r.exchangeSession(sid)
	r.want(pair, http.StatusOK, "")
	now := r.clock.Now()
	_ = r.app.RevokeUser(t.Context(), "alice")
	if err := r.store.Acquaint(t.Context(), "revocation u1", "legacy sessions ended", now, now.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Append(t.Context(), "u1", revocation.Entry{Kind: revocation.User, Value: "alice", Expires: now.Add(24 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	r.want(r.exchangeSession(sid), http.StatusUnauthorized, CodeLegacyInvalid)
	if !r.service.record(t.Context(), built) {
		t.Error("it is not done here")
	}
	r.clock.advance(5 * time.Second)
	a := r.do(http.MethodPost, "/auth/refresh", "{}", browse(refreshCookie, given(pair)[refreshCookie], sessionCookie, sid)...)
	r.want(a, http.StatusUnauthorized, CodeSessionRevoked)
}

// The application's revoker is down when the user is revoked: who gets tokens for the session in between loses them when it
// has ended the sessions. Who logs in after that does not, whoever looks at the document again.
func TestUserRevokedWhileTheRevokerIsDown(t *testing.T) {
	r := newLegacyRig(t, 100)
	sid := r.app.session("alice", 8*time.Hour)
	r.want(r.exchangeSession(sid), http.StatusOK, "")
	r.app.revokerDown = true
	wanted := snapshot.Revocation{UID: "u1", Kind: "user", Value: "alice"}
	if r.distrust(wanted) {
		t.Fatal("it is done, and the application was not reached")
	}
	between := r.login("alice", canary)
	r.want(between, http.StatusOK, "")
	r.app.revokerDown = false
	if !r.service.record(t.Context(), r.document.Load()) || r.app.lives(sid) {
		t.Fatal("it is not done")
	}
	last, _ := r.store.Last(t.Context())
	if got := r.numbers()["u1"]; got != last {
		t.Errorf("the status tells number %d, the last entry is %d", got, last)
	}
	r.want(r.refresh(between.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	later := r.login("alice", canary)
	r.restart()
	r.service.Revocations = listed{rig: r}
	if !r.service.record(t.Context(), r.document.Load()) || r.numbers()["u1"] != last {
		t.Errorf("after a restart: %v, want %d", r.numbers(), last)
	}
	r.want(r.refresh(later.text("refresh_token")), http.StatusOK, "")
}

// creating does something before, and after, the store makes the next family.
type creating struct {
	store.Store
	before, after func()
}

func (c *creating) Create(ctx context.Context, n store.NewFamily) (store.Created, error) {
	before, after := c.before, c.after
	c.before, c.after = nil, nil
	if before != nil {
		before()
	}
	created, err := c.Store.Create(ctx, n)
	if after != nil {
		after()
	}
	return created, err
}

// A session that is logged out, or whose user is revoked, while it becomes a login: the login is not good after that.
func TestSessionEndsWhileItIsExchanged(t *testing.T) {
	for name, end := range map[string]func(r *rig, sid string){
		"logout": func(r *rig, sid string) {
			r.want(r.do(http.MethodPost, "/auth/logout", "", browse(sessionCookie, sid)...), http.StatusOK, "")
		},
		"user": func(r *rig, _ string) {
			if !r.distrust(snapshot.Revocation{UID: "u1", Kind: "user", Value: "alice"}) {
				r.Error("not done")
			}
		},
	} {
		for _, before := range []bool{true, false} {
			r := newLegacyRig(t, 100)
			sid := r.app.session("alice", 8*time.Hour)
			families := &creating{Store: r.store}
			r.service.Families = families
			if ends := func() { end(r, sid) }; before {
				families.before = ends
			} else {
				families.after = ends
			}
			pair := r.refreshSession("{}", sid)
			if pair.status != http.StatusUnauthorized {
				t.Errorf("%s, before %t: %d %s", name, before, pair.status, pair.raw)
			}
			first := store.DeriveToken(secret.NewText(sid), r.issuer.Header.Issuer)
			if seen, err := r.store.Inspect(t.Context(), first, r.clock.Now(), time.Minute); err != nil || seen.Outcome != store.Revoked {
				t.Errorf("%s, before %t: the login is %q, %v", name, before, seen.Outcome, err)
			}
		}
	}
}

// A logout that looked for the login of its session before that was made finds it after the session is refused.
func TestLogoutFindsTheLoginMadeMeanwhile(t *testing.T) {
	r := newLegacyRig(t, 100)
	sid := r.app.session("alice", 8*time.Hour)
	var pair answer
	r.service.Sessions = &appending{Store: r.store, before: func() { pair = r.exchangeSession(sid) }}
	r.want(r.do(http.MethodPost, "/auth/logout", "", browse(sessionCookie, sid)...), http.StatusOK, "")
	r.want(pair, http.StatusOK, "")
	a := r.do(http.MethodPost, "/auth/refresh", "{}", browse(refreshCookie, given(pair)[refreshCookie])...)
	r.want(a, http.StatusUnauthorized, CodeSessionRevoked)
}

// appending does something before the next entry is written.
type appending struct {
	store.Store
	before func()
}

func (a *appending) Append(ctx context.Context, id string, entry revocation.Entry) (uint64, error) {
	before := a.before
	a.before = nil
	if before != nil {
		before()
	}
	return a.Store.Append(ctx, id, entry)
}
