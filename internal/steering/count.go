package steering

import (
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

// Side is whose event something is. The zero value is nobody's: it is not counted.
type Side int

// The sides. Only authenticated users have one.
const (
	Nobody Side = iota
	Control
	Cohort
)

// Side is that of an authenticated user, by the percentage that is watched: before the first step that is the first
// step's, so that the two sides are known to be alike. Who is named in include or exclude was not put there by chance, and
// may behave as nobody else does: such users are on no side.
func (s *Steering) Side(user string) Side {
	switch {
	case s == nil || user == "" || s.watched.Include[user] || s.watched.Exclude[user]:
		return Nobody
	case s.watched.Has(user):
		return Cohort
	default:
		return Control
	}
}

// Counter counts the events of one replica. What is counted belongs to one split of the users: where the split changes,
// it begins anew. The zero value is ready, and safe for concurrent use.
type Counter struct {
	current atomic.Pointer[tally]
	given   atomic.Pointer[acquainted] // who was given a credential; nil where nobody was
	once    atomic.Pointer[once]       // whose logins are counted already; nil where nobody's are
}

type tally struct {
	key              string
	started          time.Time
	cohort, control  side
	endpoints        events
	sessions, tokens atomic.Uint64
}

// side are the events of one side: slow are among all of events.
type side struct {
	events, logins events
	slow           atomic.Uint64
}

type events struct{ all, failed atomic.Uint64 }

func (e *events) add(failed bool) {
	if failed {
		e.failed.Add(1) // first: a reader never sees more failures than it should, see counts
	}
	e.all.Add(1)
}

// counts reads the failures last, and never more of them than events.
func (e *events) counts() snapshot.EventCounts {
	all := e.all.Load()
	return snapshot.EventCounts{Events: all, Failures: min(e.failed.Load(), all)}
}

// timed are the events again, with the slow ones among them.
func (x *side) timed() snapshot.EventCounts {
	all := x.events.all.Load()
	return snapshot.EventCounts{Events: all, Failures: min(x.slow.Load(), all)}
}

// of is nil for nobody's events.
func (t *tally) of(whose Side) *side {
	switch whose {
	case Cohort:
		return &t.cohort
	case Control:
		return &t.control
	default:
		return nil
	}
}

// of returns the tally of the rollout in force.
func (c *Counter) of(s *Steering, now time.Time) *tally {
	t := c.current.Load()
	if t != nil && t.key == s.key {
		return t
	}
	fresh := &tally{key: s.key, started: now}
	if !c.current.CompareAndSwap(t, fresh) {
		return c.current.Load() // somebody else was faster; with another split, this one event is in the wrong place
	}
	return fresh
}

// Event counts what both sides have: an edge's decision, a login. failed is that it went wrong without the user's doing,
// took how long it took. s is the rollout in force at this moment.
func (c *Counter) Event(s *Steering, now time.Time, whose Side, failed bool, took time.Duration) {
	if s == nil || whose == Nobody {
		return
	}
	x := c.of(s, now).of(whose)
	if s.slowAfter > 0 && took > s.slowAfter {
		x.slow.Add(1) // first, as failures are
	}
	x.events.add(failed)
}

// Login counts the login of an authenticated user as an event, and whether it was forced: whether the user was given a
// credential within, and has not logged out since. A login that failed gives none, and is no success that could be forced.
// Among the logins, a user counts with at most one that was forced and one that was not, at each percentage and in a day:
// one user who logs in over and over says nothing about the others.
func (c *Counter) Login(s *Steering, now time.Time, user string, failed bool, took, within time.Duration) {
	whose := s.Side(user)
	if whose == Nobody {
		return
	}
	c.Event(s, now, whose, failed, took)
	if failed {
		return
	}
	forced, known := c.given.Load().lately(whose, user, now, within)
	what := "a login of "
	if forced {
		what = "a forced login of "
	}
	if known && c.first(s, now, what+user) {
		c.of(s, now).of(whose).logins.add(forced)
	}
	c.Given(s, now, user)
}

// Given remembers that a user was given a credential: tokens, or a session that was kept. It is called for both sides as
// often as their users come, so that a login on a second device is as likely taken for a forced one on either.
func (c *Counter) Given(s *Steering, now time.Time, user string) {
	whose := s.Side(user)
	if whose == Nobody {
		return
	}
	g := c.given.Load()
	if g == nil {
		c.given.CompareAndSwap(nil, &acquainted{})
		g = c.given.Load()
	}
	g.of(whose).hold(user, now)
}

// Left forgets a user who has logged out, or was logged out by somebody who may: the next login is not forced.
func (c *Counter) Left(user string) { c.given.Load().forget(user) }

// Refresh counts a refresh that gave tokens, or should have. Whoever has a refresh token is or was in the cohort; where
// nobody knows whose it is, only failures are counted.
func (c *Counter) Refresh(s *Steering, now time.Time, user string, failed bool) {
	if s != nil && (user == "" && failed || s.Side(user) != Nobody) {
		c.of(s, now).endpoints.add(failed)
	}
}

// Late counts a refresh that failed because the answer to the one before was lost: once a day for each user, who can bring
// it about.
func (c *Counter) Late(s *Steering, now time.Time, user string) {
	if s.Side(user) != Nobody && c.first(s, now, "a late refresh of "+user) {
		c.Refresh(s, now, user, true)
	}
}

// Exchange counts an exchange that gave tokens, or should have: one of the cohort. The others' keep their sessions.
func (c *Counter) Exchange(s *Steering, now time.Time, user string, failed bool) {
	if s.Side(user) == Cohort {
		c.of(s, now).endpoints.add(failed)
	}
}

// Credential counts a decision by the credential that authorized it.
func (c *Counter) Credential(s *Steering, now time.Time, session bool) {
	if s == nil {
		return
	}
	if t := c.of(s, now); session {
		t.sessions.Add(1)
	} else {
		t.tokens.Add(1)
	}
}

// Status is what was counted for the rollout in force; nil where there is none.
func (c *Counter) Status(s *Steering, now time.Time) *snapshot.RolloutCounts {
	if s == nil {
		return nil
	}
	t := c.of(s, now)
	counts := &snapshot.RolloutCounts{
		Started: t.started, Percent: s.percent,
		Cohort: t.cohort.events.counts(), Control: t.control.events.counts(), Endpoints: t.endpoints.counts(),
		Logins:   snapshot.EventSides{Cohort: t.cohort.logins.counts(), Control: t.control.logins.counts()},
		Sessions: t.sessions.Load(), Tokens: t.tokens.Load(),
	}
	if s.slowAfter > 0 {
		counts.Slow = snapshot.EventSides{Cohort: t.cohort.timed(), Control: t.control.timed()}
	}
	return counts
}
