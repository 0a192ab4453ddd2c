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
// step's, so that the two sides are known to be alike.
func (s *Steering) Side(user string) Side {
	switch {
	case s == nil || user == "":
		return Nobody
	case s.watched.Has(user):
		return Cohort
	default:
		return Control
	}
}

// Counter counts the events of one replica. What is counted belongs to one split of the users: where the split changes,
// it begins anew. The zero value is ready, and safe for concurrent use.
type Counter struct{ current atomic.Pointer[tally] }

type tally struct {
	key                        string
	started                    time.Time
	cohort, control, endpoints events
	sessions, tokens           atomic.Uint64
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

// Event counts what both sides have: an edge's decision, a login. failed is that it went wrong without the user's doing.
// s is the rollout in force at this moment.
func (c *Counter) Event(s *Steering, now time.Time, side Side, failed bool) {
	if s == nil || side == Nobody {
		return
	}
	if t := c.of(s, now); side == Cohort {
		t.cohort.add(failed)
	} else {
		t.control.add(failed)
	}
}

// Endpoint counts a refresh or an exchange.
func (c *Counter) Endpoint(s *Steering, now time.Time, failed bool) {
	if s != nil {
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
	return &snapshot.RolloutCounts{
		Started: t.started, Percent: s.percent,
		Cohort: t.cohort.counts(), Control: t.control.counts(), Endpoints: t.endpoints.counts(),
		Sessions: t.sessions.Load(), Tokens: t.tokens.Load(),
	}
}
