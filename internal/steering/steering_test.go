package steering

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func document() *snapshot.Rollout {
	return &snapshot.Rollout{
		Name: "shop/walk", Cookie: "sid", Salt: "salt", Percent: 0, Watched: 10, DualIssue: true,
		Include: []string{"ann"}, Exclude: []string{"eve"},
		Deprecation: begin.Add(time.Hour), Sunset: begin.Add(2 * time.Hour), Link: "https://example.com/end",
		Brownouts: []snapshot.Brownout{{Start: begin, Duration: snapshot.Duration(time.Minute), Percent: 100}},
	}
}

func made(t *testing.T, r *snapshot.Rollout) *Steering {
	t.Helper()
	s, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNone(t *testing.T) {
	var c Counter
	s := made(t, nil)
	h := http.Header{}
	s.Announce(h, begin)
	c.Event(s, begin, Cohort, true, 0)
	c.Refresh(s, begin, "", true)
	c.Late(s, begin, "alice")
	c.Exchange(s, begin, "alice", true)
	c.Credential(s, begin, true)
	if s != nil || len(h) > 0 || s.Cookie() != "" || s.Side("alice") != Nobody || s.SessionLife() != 0 || len(s.Headers()) > 0 ||
		c.Status(s, begin) != nil || s.Rules().Login(begin, "alice") != (rollout.Issue{Pair: true}) || !s.Rules().Exchange(begin, "alice").Refused {
		t.Error("a service without a rollout has something of one")
	}
}

func TestRules(t *testing.T) {
	s := made(t, document())
	rules := s.Rules()
	if !rules.Cohort.Has("ann") || rules.Cohort.Has("eve") || rules.Cohort.Has("alice") || !rules.DualIssue || !rules.Enabled || s.SessionLife() != defaultSessionLife {
		t.Errorf("%+v", rules)
	}
	if !rules.Edge(begin, "x").Brownout || !rules.Edge(begin.Add(time.Minute), "x").Accepted {
		t.Error("the brownout is not there")
	}
	doc := document()
	doc.SunsetReached = true
	if got := made(t, doc); got.Rules().Edge(begin, "x").Accepted || got.Announced(begin.Add(90*time.Minute)) {
		t.Error("sessions are accepted after the sunset")
	}
}

func TestAnnounce(t *testing.T) {
	s := made(t, document())
	for at, want := range map[time.Duration]http.Header{
		time.Hour - 1: {},
		time.Hour: {
			"Deprecation": {"@1772370000"}, "Sunset": {"Sun, 01 Mar 2026 14:00:00 GMT"},
			"Link": {`<https://example.com/end>; rel="deprecation", <https://example.com/end>; rel="sunset"`},
		},
	} {
		h := http.Header{}
		s.Announce(h, begin.Add(at))
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("after %s:\n%s", at, diff)
		}
	}
	doc := document()
	doc.Sunset, doc.Link = time.Time{}, ""
	if diff := cmp.Diff([]Header{{"Deprecation", "@1772370000"}}, made(t, doc).Headers()); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	for name, spoil := range map[string]func(*snapshot.Rollout){
		"no cookie":        func(r *snapshot.Rollout) { r.Cookie = "" },
		"bad cookie":       func(r *snapshot.Rollout) { r.Cookie = "a b" },
		"long cookie":      func(r *snapshot.Rollout) { r.Cookie = strings.Repeat("a", 300) },
		"our cookie":       func(r *snapshot.Rollout) { r.Cookie = snapshot.AccessCookie },
		"percent":          func(r *snapshot.Rollout) { r.Percent = 101 },
		"watched":          func(r *snapshot.Rollout) { r.Watched = -1 },
		"slow":             func(r *snapshot.Rollout) { r.SlowAfter = -1 },
		"life":             func(r *snapshot.Rollout) { r.MaxSessionLife = -1 },
		"http":             func(r *snapshot.Rollout) { r.Link = "http://example.com" },
		"link breaks out":  func(r *snapshot.Rollout) { r.Link = "https://example.com/>; rel=x" },
		"link with a line": func(r *snapshot.Rollout) { r.Link = "https://example.com/\r\nX: y" },
		"link with a name": func(r *snapshot.Rollout) { r.Link = "https://u@example.com/" },
		"brownout":         func(r *snapshot.Rollout) { r.Brownouts[0].Duration = 0 },
		"brownout percent": func(r *snapshot.Rollout) { r.Brownouts[0].Percent = 200 },
	} {
		doc := document()
		spoil(doc)
		if s, err := New(doc); err == nil || s != nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestSide(t *testing.T) {
	s := made(t, document())
	cohort := 0
	for i := range 10_000 {
		switch s.Side(fmt.Sprint("user", i)) {
		case Cohort:
			cohort++
		case Control:
		default:
			t.Fatal("a user has no side")
		}
	}
	if cohort < 850 || cohort > 1150 {
		t.Errorf("%d of 10000 in 10 %%", cohort)
	}
	if s.Side("") != Nobody || s.Side("ann") != Nobody || s.Side("eve") != Nobody { // named ones are not there by chance
		t.Error("the wrong side")
	}
}

func TestCounter(t *testing.T) {
	var c Counter
	s := made(t, document())
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			c.Event(s, begin, Cohort, i%10 == 0, 0)
			c.Event(s, begin, Control, i%20 == 0, 0)
			c.Event(s, begin, Nobody, true, 0)
			c.Refresh(s, begin, "alice", i%50 == 0)
			c.Credential(s, begin, i%4 == 0)
		})
	}
	all.Wait()
	want := &snapshot.RolloutCounts{
		Started: begin, Cohort: snapshot.EventCounts{Events: 100, Failures: 10}, Control: snapshot.EventCounts{Events: 100, Failures: 5},
		Endpoints: snapshot.EventCounts{Events: 100, Failures: 2}, Sessions: 25, Tokens: 75,
	}
	if diff := cmp.Diff(want, c.Status(s, begin.Add(time.Hour))); diff != "" {
		t.Error(diff)
	}
	// A document that changes nothing of the split counts on; another split begins anew.
	doc := document()
	doc.DualIssue, doc.Percent = false, 10
	want.Percent = 10
	if diff := cmp.Diff(want, c.Status(made(t, doc), begin.Add(time.Hour))); diff != "" {
		t.Error(diff)
	}
	doc.Watched = 50
	if diff := cmp.Diff(&snapshot.RolloutCounts{Started: begin.Add(time.Hour), Percent: 10}, c.Status(made(t, doc), begin.Add(time.Hour))); diff != "" {
		t.Error(diff)
	}
}

func TestSession(t *testing.T) {
	s := made(t, document())
	for _, row := range []struct {
		lines []string
		want  string
		err   error
	}{
		{nil, "", nil},
		{[]string{"a=b; sid=s%3Aabc.d+/=; c=d"}, "s%3Aabc.d+/=", nil},
		{[]string{"a=b", `sid="x"`}, `"x"`, nil},
		{[]string{"SID=x; xsid=y; sid =z"}, "", nil},
		{[]string{"sid="}, "", nil},
		{[]string{"sid=x; sid=x"}, "", ErrDoubled},
		{[]string{"sid=x", "sid=y"}, "", ErrDoubled},
		{[]string{"sid=x y"}, "", ErrMalformed},
		{[]string{"sid=x\x00"}, "", ErrMalformed},
		{[]string{"sid=x,sid=y"}, "", ErrMalformed},
		{[]string{"sid=" + strings.Repeat("x", 5000)}, "", ErrMalformed},
	} {
		got, err := s.Session(row.lines)
		if got.Reveal() != row.want || !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
			t.Errorf("%.60q: %q, %v; want %q, %v", row.lines, got.Reveal(), err, row.want, row.err)
		}
	}
}
