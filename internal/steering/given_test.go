package steering

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestSlow(t *testing.T) {
	var c Counter
	doc := document()
	s := made(t, doc)
	c.Event(s, begin, Cohort, false, time.Hour)
	if got := c.Status(s, begin).Slow; got != (snapshot.EventSides{}) {
		t.Errorf("slow without a limit: %+v", got)
	}
	doc.SlowAfter = snapshot.Duration(250 * time.Millisecond)
	s = made(t, doc)
	if got := c.Status(s, begin); got.Cohort.Events != 0 || got.Slow.Cohort.Events != 0 {
		t.Errorf("what was counted by another limit counts: %+v", got)
	}
	for _, took := range []time.Duration{-time.Second, 0, 250 * time.Millisecond, 251 * time.Millisecond, time.Hour} {
		c.Event(s, begin, Cohort, false, took)
		c.Event(s, begin, Nobody, false, took)
	}
	c.Event(s, begin, Control, true, time.Hour)
	c.Login(s, begin, "bob", false, time.Hour, time.Minute)
	want := snapshot.EventSides{Cohort: snapshot.EventCounts{Events: 5, Failures: 2}, Control: snapshot.EventCounts{Events: 2, Failures: 2}}
	if diff := cmp.Diff(want, c.Status(s, begin).Slow); diff != "" {
		t.Error(diff)
	}
}

// Who does not know of slow events and forced logins reads and writes the same bytes as before.
func TestOldBytes(t *testing.T) {
	for name, value := range map[string]any{"document": document(), "status": snapshot.RolloutCounts{}} {
		raw, err := json.Marshal(value)
		if err != nil || strings.Contains(string(raw), "slow") || strings.Contains(string(raw), "logins") {
			t.Errorf("%s: %s, %v", name, raw, err)
		}
	}
}

func TestLogins(t *testing.T) {
	const within = 15 * time.Minute
	doc := document()
	doc.Percent, doc.Watched = 100, 100
	s := made(t, doc)
	for _, row := range []struct {
		name   string
		before func(c *Counter)
		after  time.Duration
		forced bool
	}{
		{"nobody was given anything", func(*Counter) {}, 0, false},
		{"tokens", func(c *Counter) { c.Given(s, begin, "amy") }, time.Minute, true},
		{"tokens, at the last moment", func(c *Counter) { c.Given(s, begin, "amy") }, within, true},
		{"tokens, long ago", func(c *Counter) { c.Given(s, begin, "amy") }, within + time.Second, false},
		{"tokens, in a life before", func(c *Counter) { c.Given(s, begin, "amy") }, (1<<32)*time.Second - time.Minute, false},
		{"the clock went back", func(c *Counter) { c.Given(s, begin, "amy") }, -time.Minute, false},
		{"a login", func(c *Counter) { c.Login(s, begin, "amy", false, 0, within) }, time.Minute, true},
		{"a login that failed", func(c *Counter) { c.Login(s, begin, "amy", true, 0, within) }, time.Minute, false},
		{"a logout", func(c *Counter) { c.Given(s, begin, "amy"); c.Left("amy") }, time.Minute, false},
		{"somebody else's logout", func(c *Counter) { c.Given(s, begin, "amy"); c.Left("bob"); c.Left("") }, time.Minute, true},
		{"somebody else's tokens", func(c *Counter) { c.Given(s, begin, "bob"); c.Given(s, begin, "") }, time.Minute, false},
	} {
		var c Counter
		row.before(&c)
		before := c.Status(s, begin).Logins.Cohort
		c.Login(s, begin.Add(row.after), "amy", false, 0, within)
		now := c.Status(s, begin).Logins.Cohort
		if now.Events != before.Events+1 || (now.Failures == before.Failures+1) != row.forced {
			t.Errorf("%s: %+v, then %+v; forced: want %t", row.name, before, now, row.forced)
		}
	}
	var c Counter
	c.Login(s, begin, "", false, 0, within)
	c.Login(nil, begin, "amy", false, 0, within)
	c.Given(nil, begin, "amy")
	if c.given.Load() != nil || c.Status(s, begin).Logins != (snapshot.EventSides{}) {
		t.Error("nobody's login is remembered")
	}
}

// TestOneUser: however often one user logs in, that is one forced login; who is named in include or exclude is none.
func TestOneUser(t *testing.T) {
	doc := document()
	doc.Percent, doc.Watched = 100, 100
	s := made(t, doc)
	var c Counter
	now := begin
	for range 1000 {
		now = now.Add(time.Minute)
		for _, user := range []string{"amy", "ann", "eve"} { // ann is included, eve excluded
			c.Login(s, now, user, false, 0, 20*time.Minute)
		}
	}
	want := snapshot.EventSides{Cohort: snapshot.EventCounts{Events: 2, Failures: 1}}
	got := c.Status(s, now)
	if diff := cmp.Diff(want, got.Logins); diff != "" || got.Cohort.Events != 1000 || got.Control.Events != 0 {
		t.Errorf("%+v\n%s", got, diff)
	}
	now = now.Add(again)
	c.Login(s, now, "amy", false, 0, 2*again)
	doc.Percent = 50 // another percentage: what is seen there is news
	s = made(t, doc)
	c.Login(s, now, "amy", false, 0, 20*time.Minute)
	if got := c.Status(s, now).Logins.Cohort; got != (snapshot.EventCounts{Events: 4, Failures: 3}) {
		t.Errorf("a day later, and at another percentage: %+v", got)
	}
	for range 10 {
		c.Late(s, now, "amy")
		c.Late(s, now, "eve")
	}
	if got := c.Status(s, now).Endpoints; got != (snapshot.EventCounts{Events: 1, Failures: 1}) {
		t.Errorf("late refreshes of one user: %+v", got)
	}
}

// TestEndpoints: exchanges are the cohort's, refreshes those of whoever has a token, and nobody's are failures only.
func TestEndpoints(t *testing.T) {
	doc := document()
	doc.Watched = 0
	control := made(t, doc)
	doc = document()
	doc.Watched = 100
	cohort := made(t, doc)
	for _, row := range []struct {
		user               string
		s                  *Steering
		refresh, exchanges uint64
	}{
		{"amy", cohort, 2, 2}, {"amy", control, 2, 0}, {"", cohort, 1, 0}, {"ann", cohort, 0, 0}, {"eve", control, 0, 0},
	} {
		for _, x := range []struct {
			count func(*Counter, *Steering, time.Time, string, bool)
			want  uint64
		}{{(*Counter).Refresh, row.refresh}, {(*Counter).Exchange, row.exchanges}} {
			var c Counter
			x.count(&c, row.s, begin, row.user, false)
			x.count(&c, row.s, begin, row.user, true)
			if got := c.Status(row.s, begin).Endpoints; got.Events != x.want || x.want > 0 && got.Failures != 1 {
				t.Errorf("%q: %+v, want %d", row.user, got, x.want)
			}
		}
	}
}

// The space is fixed: who finds a place taken is not known, and nobody is taken for somebody else.
func TestManyUsers(t *testing.T) {
	var g given
	var all sync.WaitGroup
	for shard := range 4 {
		all.Go(func() {
			for i := range 50_000 {
				g.hold(fmt.Sprint("user", shard, "/", i), begin)
			}
		})
	}
	all.Wait()
	seen, unknown, strangers := 0, 0, 0
	for shard := range 4 { // which of them finds a place first is chance
		for i := range 50_000 {
			there, known := g.lately(fmt.Sprint("user", shard, "/", i), begin, time.Minute)
			if there {
				seen++
			}
			if !known {
				unknown++
			}
		}
	}
	for i := range 50_000 {
		if there, _ := g.lately(fmt.Sprint("stranger", i), begin, time.Minute); there {
			strangers++
		}
	}
	if seen < 20_000 || seen+unknown < 199_960 || strangers > 2 {
		t.Errorf("%d of 200000 are seen, of %d nobody knows, %d of 50000 strangers", seen, unknown, strangers)
	}
	g.hold("late", begin.Add(held+time.Second))
	if seen, known := g.lately("late", begin.Add(held+time.Second), time.Minute); !seen || !known {
		t.Error("a place is held for ever")
	}
}
