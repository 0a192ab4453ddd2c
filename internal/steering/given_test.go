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
	c.Login(s, begin, "eve", false, time.Hour, time.Minute)
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
	s := made(t, document())
	for _, row := range []struct {
		name   string
		before func(c *Counter)
		after  time.Duration
		forced bool
	}{
		{"nobody was given anything", func(*Counter) {}, 0, false},
		{"tokens", func(c *Counter) { c.Given(s, begin, "ann") }, time.Minute, true},
		{"tokens, at the last moment", func(c *Counter) { c.Given(s, begin, "ann") }, within, true},
		{"tokens, long ago", func(c *Counter) { c.Given(s, begin, "ann") }, within + time.Second, false},
		{"tokens, in a life before", func(c *Counter) { c.Given(s, begin, "ann") }, (1<<32)*time.Second - time.Minute, false},
		{"the clock went back", func(c *Counter) { c.Given(s, begin, "ann") }, -time.Minute, false},
		{"a login", func(c *Counter) { c.Login(s, begin, "ann", false, 0, within) }, time.Minute, true},
		{"a login that failed", func(c *Counter) { c.Login(s, begin, "ann", true, 0, within) }, time.Minute, false},
		{"a logout", func(c *Counter) { c.Given(s, begin, "ann"); c.Left("ann") }, time.Minute, false},
		{"somebody else's logout", func(c *Counter) { c.Given(s, begin, "ann"); c.Left("bob"); c.Left("") }, time.Minute, true},
		{"somebody else's tokens", func(c *Counter) { c.Given(s, begin, "bob"); c.Given(s, begin, "") }, time.Minute, false},
	} {
		var c Counter
		row.before(&c)
		before := c.Status(s, begin).Logins.Cohort
		c.Login(s, begin.Add(row.after), "ann", false, 0, within)
		now := c.Status(s, begin).Logins.Cohort
		if now.Events != before.Events+1 || (now.Failures == before.Failures+1) != row.forced {
			t.Errorf("%s: %+v, then %+v; forced: want %t", row.name, before, now, row.forced)
		}
	}
	var c Counter
	c.Login(s, begin, "", false, 0, within)
	c.Login(nil, begin, "ann", false, 0, within)
	c.Given(nil, begin, "ann")
	if c.given.Load() != nil || c.Status(s, begin).Logins != (snapshot.EventSides{}) {
		t.Error("nobody's login is remembered")
	}
}

// The space is fixed: who shares a place is forgotten, and nobody is taken for somebody else.
func TestManyUsers(t *testing.T) {
	var g given
	var all sync.WaitGroup
	for shard := range 4 {
		all.Go(func() {
			for i := range 50_000 {
				g.mark(fmt.Sprint("user", shard, "/", i), begin)
			}
		})
	}
	all.Wait()
	known, strangers := 0, 0
	for i := range 50_000 {
		if g.lately(fmt.Sprint("user0/", i), begin, time.Minute) {
			known++
		}
		if g.lately(fmt.Sprint("stranger", i), begin, time.Minute) {
			strangers++
		}
	}
	if known < 5000 || strangers > 2 {
		t.Errorf("%d of 50000 are known after 200000, %d of 50000 strangers", known, strangers)
	}
}
