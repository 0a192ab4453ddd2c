package rollout

import (
	"fmt"
	"testing"
	"time"
)

var day0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func day(n int) time.Time { return day0.AddDate(0, 0, n) }

// rules at 50 % with alice in and bob out, deprecated at day 60, with a brownout of everybody on day 80.
func rules(dual bool) Rules {
	return Rules{
		Enabled: true, DualIssue: dual,
		Cohort: Cohort{Salt: "s", Include: map[string]bool{"alice": true}},
		Schedule: Schedule{Deprecation: day(60), Sunset: day(90),
			Brownouts: []Brownout{{Start: day(80), Duration: time.Hour, Percent: 100}}},
	}
}

func ended(r Rules) Rules { r.Schedule.SunsetReached = true; return r }

var (
	pair    = Issue{Pair: true}
	session = Issue{Session: true}
	both    = Issue{Pair: true, Session: true}
	back    = Issue{Session: true, ClearTokens: true}
	refused = Issue{Refused: true}
)

// The table of docs/design.md, section 6, as a product.
func TestSteering(t *testing.T) {
	type want struct{ login, loginDual, exchange Issue }
	for _, stage := range []struct {
		name string
		at   time.Time
		make func(Rules) Rules
		in   want
		out  want
	}{
		{"migrating", day(10), func(r Rules) Rules { return r }, want{pair, both, pair}, want{session, session, session}},
		{"a moment before the deprecation", day(60).Add(-1), func(r Rules) Rules { return r }, want{pair, both, pair}, want{session, session, session}},
		{"deprecated", day(60), func(r Rules) Rules { return r }, want{pair, pair, pair}, want{pair, pair, pair}},
		{"the sunset waits for the traffic", day(100), func(r Rules) Rules { return r }, want{pair, pair, pair}, want{pair, pair, pair}},
		{"sunset", day(100), ended, want{pair, pair, refused}, want{pair, pair, refused}},
		{"sunset, and a clock set back", day(10), ended, want{pair, pair, refused}, want{pair, pair, refused}},
		{"no legacy sessions", day(10), func(Rules) Rules { return Rules{} }, want{pair, pair, refused}, want{pair, pair, refused}},
	} {
		for user, want := range map[string]want{"alice": stage.in, "bob": stage.out} {
			plain, dual := stage.make(rules(false)), stage.make(rules(true))
			for what, c := range map[string]struct{ got, want Issue }{
				"login":                   {plain.Login(stage.at, user), want.login},
				"login with dual issue":   {dual.Login(stage.at, user), want.loginDual},
				"exchange":                {plain.Exchange(stage.at, user), want.exchange},
				"exchange and dual issue": {dual.Exchange(stage.at, user), want.exchange},
			} {
				if c.got != c.want {
					t.Errorf("%s: %s of %s is %+v, want %+v", stage.name, what, user, c.got, c.want)
				}
			}
		}
	}
}

func TestRefresh(t *testing.T) {
	for _, row := range []struct {
		user                  string
		cookies, live, dual   bool
		migrating, afterwards Issue
	}{
		{"alice", false, false, false, pair, pair}, {"alice", false, false, true, pair, pair},
		{"alice", false, true, false, pair, pair}, {"alice", false, true, true, pair, pair},
		{"alice", true, false, false, pair, pair}, {"alice", true, false, true, pair, pair},
		{"alice", true, true, false, pair, pair}, {"alice", true, true, true, both, pair},
		{"bob", false, false, false, pair, pair}, {"bob", false, false, true, pair, pair},
		{"bob", false, true, false, pair, pair}, {"bob", false, true, true, pair, pair},
		{"bob", true, false, false, pair, pair}, {"bob", true, false, true, pair, pair},
		{"bob", true, true, false, back, pair}, {"bob", true, true, true, back, pair},
	} {
		client := Client{User: row.user, Cookies: row.cookies, LiveSession: row.live}
		r := rules(row.dual)
		for what, c := range map[string]struct{ got, want Issue }{
			"migrating":  {r.Refresh(day(10), client), row.migrating},
			"deprecated": {r.Refresh(day(70), client), row.afterwards},
			"sunset":     {ended(r).Refresh(day(100), client), row.afterwards},
			"no rollout": {Rules{}.Refresh(day(10), client), row.afterwards},
		} {
			if c.got != c.want {
				t.Errorf("%s: refresh of %+v, dual %t, is %+v, want %+v", what, client, row.dual, c.got, c.want)
			}
		}
	}
}

// No refresh takes a credential away without another, whatever the percentage does.
func TestRefreshNeverStrands(t *testing.T) {
	for percent := 0; percent <= 100; percent += 5 {
		for i := range 200 {
			for n := range 8 {
				client := Client{User: fmt.Sprint("user-", i), Cookies: n&1 > 0, LiveSession: n&2 > 0}
				r := rules(n&4 > 0)
				r.Cohort.Percent = percent
				got := r.Refresh(day(10), client)
				if !got.Pair && !got.Session {
					t.Fatalf("%+v gets nothing", client)
				}
				if !got.Pair && (!client.Cookies || !client.LiveSession) {
					t.Fatalf("%+v is sent back to a session that it does not have", client)
				}
				if got.ClearTokens && !got.Session {
					t.Fatalf("%+v loses its tokens for nothing", client)
				}
			}
		}
	}
}

func TestEdge(t *testing.T) {
	r := rules(false)
	for _, row := range []struct {
		name string
		r    Rules
		at   time.Time
		want Acceptance
	}{
		{"migrating", r, day(10), Acceptance{Accepted: true}},
		{"deprecated", r, day(60), Acceptance{Accepted: true, Announce: true}},
		{"a moment before the brownout", r, day(80).Add(-1), Acceptance{Accepted: true, Announce: true}},
		{"brownout", r, day(80), Acceptance{Brownout: true, Announce: true}},
		{"after the brownout", r, day(80).Add(time.Hour), Acceptance{Accepted: true, Announce: true}},
		{"the sunset waits", r, day(95), Acceptance{Accepted: true, Announce: true}},
		{"sunset", ended(r), day(95), Acceptance{}},
		{"no rollout", Rules{}, day(10), Acceptance{}},
	} {
		if got := row.r.Edge(row.at, "hash"); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
	if !r.EndsSession(day(10)) || !r.EndsSession(day(70)) || ended(r).EndsSession(day(95)) || (Rules{}).EndsSession(day(1)) {
		t.Error("which logouts end sessions")
	}
}

// A brownout refuses its share, the same sessions throughout, and others in the next one.
func TestBrownoutShare(t *testing.T) {
	first := Brownout{Start: day(80), Duration: time.Hour, Percent: 20}
	second := Brownout{Start: day(81), Duration: time.Hour, Percent: 20}
	refused, again := 0, 0
	for i := range 10_000 {
		key := fmt.Sprint("session-", i)
		hit := first.Refuses(day(80), key)
		if hit != first.Refuses(day(80).Add(time.Hour-1), key) {
			t.Fatal("a session was refused for a part of the brownout")
		}
		if hit {
			refused++
			if second.Refuses(day(81), key) {
				again++
			}
		}
	}
	if refused < 1800 || refused > 2200 {
		t.Errorf("%d of 10000 refused at 20 %%", refused)
	}
	if again < refused/10 || again > refused*3/10 {
		t.Errorf("%d of %d refused again", again, refused)
	}
}
