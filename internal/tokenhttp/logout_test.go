package tokenhttp

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

func TestLogoutTakesWhatTheUserHas(t *testing.T) {
	r := newRig(t)
	for i, show := range []func(a answer) answer{
		func(a answer) answer { return r.logout("refresh_token", a.text("refresh_token")) },
		func(a answer) answer { return r.logout("access_token", a.text("access_token")) },
		func(a answer) answer {
			return r.do(http.MethodPost, "/auth/logout", "", "Authorization", "Bearer "+a.text("access_token"))
		},
		func(a answer) answer { // much later: the access token has expired long ago
			r.clock.advance(48 * time.Hour)
			return r.do(http.MethodPost, "/auth/logout", "", "Authorization", "bearer "+a.text("access_token"))
		},
		func(a answer) answer { // an interceptor that adds a broken bearer must not stop a logout
			return r.do(http.MethodPost, "/auth/logout", object("refresh_token", a.text("refresh_token")), "Authorization", "Bearer x.y.z")
		},
		func(a answer) answer { // both of one session are one logout
			return r.do(http.MethodPost, "/auth/logout", object("refresh_token", a.text("refresh_token"), "access_token", a.text("access_token")))
		},
		func(a answer) answer { // a token replaced long ago still says which session
			next := r.refresh(a.text("refresh_token"))
			r.want(next, http.StatusOK, "")
			r.clock.advance(time.Hour)
			return r.logout("refresh_token", a.text("refresh_token"))
		},
	} {
		a := r.loggedIn(fmt.Sprint("203.0.113.", i+1))
		before, _ := r.store.Last(t.Context())
		r.want(show(a), http.StatusOK, "")
		after, _ := r.store.Last(t.Context())
		if after <= before {
			t.Errorf("way %d revoked nothing", i)
		}
		if i != 6 {
			r.want(r.refresh(a.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
		}
	}
}

func TestLogoutWaitsForTheEdges(t *testing.T) {
	r := newRig(t)
	// For a start, leases that run out when the test says so, of which no edge of before can hold one.
	at := time.Now().Add(-time.Hour)
	held := feed.NewLeases(func() time.Duration { return time.Minute }, func() time.Time { return at })
	at = time.Now()
	r.service.Edges = held
	first := r.loggedIn("203.0.113.1")
	if _, err := held.Report(t.Context(), "edge-0", r.born); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	answered := make(chan answer, 1)
	go func() { a := r.logout("refresh_token", first.text("refresh_token")); done.Store(true); answered <- a }()
	var number uint64
	for number == 0 || number == r.born {
		number, _ = r.store.Last(t.Context())
	}
	if done.Load() {
		t.Error("answered before the edge had it")
	}
	if _, err := held.Report(t.Context(), "edge-0", number); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-answered:
		if a.body["propagated"] != true {
			t.Errorf("%s", a.raw)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("not answered although the edge has it")
	}
	// A laggard is waited for as long as its lease, then named in the answer.
	r.service.Edges = r.leases
	second := r.loggedIn("203.0.113.2")
	begun := time.Now()
	_, _ = r.leases.Report(t.Context(), "edge-0", number)
	lagging := r.logout("refresh_token", second.text("refresh_token"))
	r.want(lagging, http.StatusOK, "")
	if took := time.Since(begun); lagging.body["propagated"] != false || took < leaseLength {
		t.Errorf("%s after %s", lagging.raw, took)
	}
	r.want(r.refresh(second.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
}

// A store that took the place of a lost one knows no refresh token; an access token still ends its session.
func TestLogoutAfterTheStoreWasLost(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	expires := r.claims(a.text("access_token")).ExpiresAt
	r.dir = t.TempDir()
	r.restart()
	// Today's tokens are short, and for others than those of then.
	today := r.issuer
	today.Access.TTL, today.Access.Audiences = snapshot.Duration(time.Minute), []string{"warehouse"}
	r.use(today)
	alone := r.logout("refresh_token", a.text("refresh_token"))
	r.want(alone, http.StatusOK, "")
	if alone.body["propagated"] != false {
		t.Errorf("%s although the access token lives", alone.raw)
	}
	both := r.do(http.MethodPost, "/auth/logout", object("refresh_token", a.text("refresh_token"), "access_token", a.text("access_token")))
	r.want(both, http.StatusOK, "")
	if both.body["propagated"] != true {
		t.Errorf("%s with an access token", both.raw)
	}
	entries, _, err := r.store.Revocations(t.Context(), 0, 10)
	// The first is the new store's: it revokes all from before.
	if err != nil || len(entries) != 2 || entries[0].Kind != revocation.All || entries[1].Expires.Before(expires) {
		t.Errorf("entries %+v, %v; want one more, that lives at least until %s", entries, err, expires)
	}
}

// between runs something between the moment at which a refresh was found good and its rotation.
type between struct {
	Families
	do func()
}

func (b between) Rotate(ctx context.Context, q store.RotateRequest) (store.RotateResult, error) {
	b.do()
	return b.Families.Rotate(ctx, q)
}

func TestLogoutInTheMiddleOfARefreshWins(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	r.service.Families = between{r.store, func() {
		r.want(r.logout("access_token", a.text("access_token")), http.StatusOK, "")
	}}
	got := r.refresh(a.text("refresh_token"))
	r.want(got, http.StatusUnauthorized, CodeSessionRevoked)
	if got.text("access_token") != "" || got.text("refresh_token") != "" {
		t.Error("a token left after the logout")
	}
}

func TestReuseInTheMiddleOfARefresh(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	r.service.Families = between{r.store, func() { r.clock.advance(time.Hour) }}
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "") // judged at the instant it began
	expired := r.login("bob", "builder")
	token, err := store.ParseToken(secret.NewText(expired.text("refresh_token")))
	if err != nil {
		t.Fatal(err)
	}
	doc := r.document.Load()
	r.service.Families = between{r.store, func() {
		// Somebody else rotates it, and the retry window is closed by the next policy.
		if _, err := r.store.Rotate(t.Context(), store.RotateRequest{Token: token, Now: r.clock.Now().Add(-time.Hour), Limits: doc.limits()}); err != nil {
			t.Error(err)
		}
	}}
	r.want(r.refresh(expired.text("refresh_token")), http.StatusUnauthorized, CodeRefreshReused)
}

// Anybody can invent a refresh token. A logout with it ends nothing, and does not fill the log.
func TestLogoutOfNothingIsNoAudit(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		a := r.logout("refresh_token", "ktr_"+strings.Repeat(string(rune('A'+i)), 64))
		r.want(a, http.StatusOK, "")
		if a.body["propagated"] != false {
			t.Errorf("%s", a.raw)
		}
	}
	if log := r.log.String(); log != "" {
		t.Errorf("logged: %s", log)
	}
}
