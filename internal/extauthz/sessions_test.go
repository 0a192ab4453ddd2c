package extauthz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
)

// clock is a time that the test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, c.at.Load()) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

// asking is a [sessions] on its own.
type asking struct {
	*sessions
	clock   *clock
	feed    *fakeFeed
	results sync.Map
}

func newAsking(by func(context.Context, string) (feed.SessionAnswer, error)) *asking {
	a := &asking{clock: &clock{}, feed: &fakeFeed{list: revocation.NewList()}}
	a.feed.set(true, false)
	a.feed.answer(by)
	a.sessions = newSessions(a.feed, a.clock.now, func(result string) {
		n, _ := a.results.LoadOrStore(result, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	})
	return a
}

func (a *asking) get(t *testing.T, cookie string) (verdict, error) {
	t.Helper()
	return a.of(t.Context(), revocation.LegacyHash(cookie), secret.NewText(cookie), time.Minute)
}

func TestSessionsAreRemembered(t *testing.T) {
	var answer atomic.Pointer[feed.SessionAnswer]
	var down atomic.Bool
	a := newAsking(func(context.Context, string) (feed.SessionAnswer, error) {
		if down.Load() {
			return feed.SessionAnswer{}, feed.ErrSessionsUnavailable
		}
		return *answer.Load(), nil
	})
	step := func(name string, pass time.Duration, next feed.SessionAnswer, asked int64, valid bool) {
		t.Helper()
		a.clock.forward(pass)
		answer.Store(&next)
		v, err := a.get(t, "x")
		if err != nil || v.valid != valid || a.feed.asked.Load() != asked {
			t.Fatalf("%s: %+v %v after %d questions; want %t after %d", name, v, err, a.feed.asked.Load(), valid, asked)
		}
	}
	good, over := feed.SessionAnswer{Valid: true, User: "ann"}, feed.SessionAnswer{}
	step("first", 0, good, 1, true)
	step("remembered", sessionLife-1, over, 1, true)
	step("no longer", 1, over, 2, false)
	step("a no is remembered", refusedLife-1, good, 2, false)
	step("shortly", 1, good, 3, true)
	ends := good
	ends.Expires = a.clock.now().Add(sessionLife + 3*time.Second)
	step("it has an end", sessionLife, ends, 4, true)
	step("it is over", 3*time.Second, ends, 4, true) // of() tells when; ask() refuses what has ended
	ends.Expires = a.clock.now()
	step("and asked about when it was", sessionLife, ends, 5, false)
	down.Store(true)
	a.clock.forward(sessionLife)
	if v, err := a.get(t, "x"); err == nil || v.valid {
		t.Errorf("down: %+v %v", v, err)
	}
	down.Store(false)
	step("up again", 0, good, 7, true)
	down.Store(true)
	a.clock.forward(sessionLife)
	if v, err := a.get(t, "x"); err == nil || v.valid || v.user != "ann" {
		t.Errorf("down, and it was ann's: %+v %v", v, err)
	}
	if len(a.calls) != 0 || len(a.strangers) != 0 || len(a.regulars) != 0 {
		t.Errorf("%d calls and %d places are left", len(a.calls), len(a.strangers)+len(a.regulars))
	}
}

// However many ask at once, there is one question about a session.
func TestOneQuestionAtATime(t *testing.T) {
	release := make(chan struct{})
	a := newAsking(func(context.Context, string) (feed.SessionAnswer, error) {
		<-release
		return feed.SessionAnswer{Valid: true, User: "ann"}, nil
	})
	var all sync.WaitGroup
	var begun atomic.Int64
	for range 300 {
		all.Go(func() {
			begun.Add(1)
			if v, err := a.get(t, "x"); err != nil || v.user != "ann" {
				t.Errorf("%+v %v", v, err)
			}
		})
	}
	eventually(t, "all ask", func() bool { return begun.Load() == 300 && a.feed.asked.Load() > 0 })
	close(release)
	all.Wait()
	if n := a.feed.asked.Load(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	a := newAsking(func(_ context.Context, cookie string) (feed.SessionAnswer, error) {
		return feed.SessionAnswer{Valid: strings.HasPrefix(cookie, "good"), User: "ann"}, nil
	})
	for i := range maxGood + 500 {
		if v, err := a.get(t, fmt.Sprint("good", i)); err != nil || !v.valid {
			t.Fatal(v, err)
		}
	}
	for i := range maxBad + 500 {
		if v, err := a.get(t, fmt.Sprint("bad", i)); err != nil || v.valid {
			t.Fatal(v, err)
		}
	}
	if len(a.good) != maxGood || len(a.bad) != maxBad {
		t.Errorf("%d good and %d bad ones are kept", len(a.good), len(a.bad))
	}
	before := a.feed.asked.Load()
	for i := range 1000 {
		if _, err := a.get(t, fmt.Sprint("good", maxGood/2+i)); err != nil {
			t.Fatal(err)
		}
	}
	if again := a.feed.asked.Load() - before; again > 200 {
		t.Errorf("%d of 1000 good ones were pushed out", again)
	}
}

// Questions that nobody answers are bounded too: on their way, and waited for.
func TestQuestionsAreBounded(t *testing.T) {
	release := make(chan struct{})
	var atOnce, most atomic.Int64
	a := newAsking(func(_ context.Context, cookie string) (feed.SessionAnswer, error) {
		if cookie == "regular" {
			return feed.SessionAnswer{Valid: true, User: "ann"}, nil
		}
		n := atOnce.Add(1)
		defer atOnce.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		return feed.SessionAnswer{Valid: true, User: "ann"}, nil
	})
	if _, err := a.get(t, "regular"); err != nil {
		t.Fatal(err)
	}
	for i := range maxCalls {
		cookie := fmt.Sprint(i)
		if _, err := a.of(t.Context(), revocation.LegacyHash(cookie), secret.NewText(cookie), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if _, err := a.get(t, "one more"); !errors.Is(err, errSessionsBusy) {
		t.Errorf("one more: %v", err)
	}
	a.clock.forward(sessionLife)
	if v, err := a.get(t, "regular"); err != nil || !v.valid || a.feed.asked.Load() < 2 {
		t.Errorf("strangers keep a session from being asked about again: %v", err)
	}
	eventually(t, "every place is taken", func() bool { return atOnce.Load() == maxAsked })
	close(release)
	eventually(t, "all answered", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.calls) == 0 })
	if most.Load() != maxAsked {
		t.Errorf("%d at once", most.Load())
	}
}

// A session of a user who was revoked since is asked about again at once, and for an answer that is not from before; a
// new session of theirs serves.
func TestRevokedUsersAreAskedAgain(t *testing.T) {
	var ended atomic.Bool
	var stale atomic.Int64
	a := newAsking(func(ctx context.Context, cookie string) (feed.SessionAnswer, error) {
		if cookie == "old" && ended.Load() {
			if !feed.Fresh(ctx) { // the token service's own memory
				stale.Add(1)
				return feed.SessionAnswer{Valid: true, User: "ann"}, nil
			}
			return feed.SessionAnswer{}, nil
		}
		return feed.SessionAnswer{Valid: true, User: map[bool]string{true: "bob", false: "ann"}[cookie == "bobs"]}, nil
	})
	for _, cookie := range []string{"old", "bobs"} {
		if v, err := a.get(t, cookie); err != nil || !v.valid {
			t.Fatal(v, err)
		}
	}
	ended.Store(true)
	check(t, a.feed.list.Apply(revocation.Entry{Seq: 9, Kind: revocation.User, Value: "ann", Before: 9, Expires: a.clock.now().Add(time.Hour)}))
	if v, err := a.get(t, "old"); err != nil || v.valid || stale.Load() != 1 {
		t.Errorf("the old session: %+v %v", v, err)
	}
	if v, err := a.get(t, "new"); err != nil || v.user != "ann" {
		t.Errorf("a new session: %+v %v", v, err)
	}
	before := a.feed.asked.Load()
	for range 10 {
		if v, err := a.get(t, "new"); err != nil || !v.valid {
			t.Error(v, err)
		}
		if v, err := a.get(t, "bobs"); err != nil || !v.valid {
			t.Error(v, err)
		}
	}
	if n := a.feed.asked.Load() - before; n != 0 {
		t.Errorf("%d questions about what is known", n)
	}
	a.clock.forward(revokedLife)
	if _, err := a.get(t, "new"); err != nil || a.feed.asked.Load() == before {
		t.Errorf("an answer about a user who was revoked of late is kept too long: %v", err)
	}
}
