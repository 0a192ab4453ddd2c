package extauthz

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/steering"
)

// slowFeed takes its time for sessions.
type slowFeed struct {
	*fakeFeed
	pause func()
}

func (f slowFeed) Ask(ctx context.Context, cookie secret.Text) (feed.SessionAnswer, error) {
	f.pause()
	return f.fakeFeed.Ask(ctx, cookie)
}

// A decision is slow by what it really took, the question about a session included, and on its user's side.
func TestSlowDecisions(t *testing.T) {
	w := newLegacyWorld(t, func(r *snapshot.Rollout) {
		r.SlowAfter = snapshot.Duration(250 * time.Millisecond)
	})
	now := time.Now()
	w.now = func() time.Time { return now }
	takes := time.Duration(0)
	slow := slowFeed{w.feed, func() { now = now.Add(takes) }}
	w.feed.answer(func(_ context.Context, cookie string) (feed.SessionAnswer, error) {
		user, _, _ := strings.Cut(cookie, ".")
		return feed.SessionAnswer{Valid: user != "over", User: user, Expires: now.Add(time.Hour)}, nil
	})
	w.sessions = newSessions(slow, w.now, w.metrics.asked)
	for _, step := range []struct {
		takes    time.Duration
		question question
		want     string
	}{
		{250 * time.Millisecond, byCookie("ann.1"), "200 ok session"},
		{251 * time.Millisecond, byCookie("ann.2"), "200 ok session"},
		{time.Minute, byCookie("ann.2"), "200 ok session"}, // known by now
		{300 * time.Millisecond, byCookie("bob.1"), "200 ok session"},
		{300 * time.Millisecond, byCookie("bob.2"), "200 ok session"},
		{time.Minute, byCookie("over.1"), "401 legacy_session_invalid "}, // nobody's
		{time.Minute, byCookie("", withToken(mint(t, signingKeys()[0]))), "200 ok jwt"},
	} {
		takes = step.takes
		if got := w.reason(t, step.question); got != step.want {
			t.Errorf("%s, want %s", got, step.want)
		}
	}
	want := snapshot.EventSides{Cohort: snapshot.EventCounts{Events: 4, Failures: 1}, Control: snapshot.EventCounts{Events: 2, Failures: 2}}
	if got := w.Status().Rollout; got == nil || got.Slow != want || got.Logins != (snapshot.EventSides{}) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if s := w.edges.Load().steering; s.Side("ann") != steering.Cohort || s.Side("bob") != steering.Control {
		t.Error("the sides are not those of this test")
	}
}

// A token is decided with two readings of the clock, whether there is a rollout or not.
func TestReadingsOfTheClock(t *testing.T) {
	for name, w := range map[string]*world{"no rollout": newWorld(t), "rollout": newLegacyWorld(t, func(r *snapshot.Rollout) { r.SlowAfter = 1 })} {
		reads := 0
		w.now = func() time.Time { reads++; return time.Now() }
		q := byCookie("", withToken(mint(t, signingKeys()[0])))
		q.page.cookies = nil
		if got := w.reason(t, q); got != "200 ok jwt" || reads != 2 {
			t.Errorf("%s: %s with %d readings", name, got, reads)
		}
	}
}
