package rollout_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/keyturn/keyturn/internal/rollout"
)

var update = flag.Bool("update", false, "rewrite the golden stories")

// story is a rollout in a small, obedient world, told in prose: whatever changes is a line.
type story struct {
	now      time.Time
	policy   Policy
	state    State
	census   Census
	schedule Schedule
	ending   Ending
	text     strings.Builder
	said     string

	// Failures of a hundred requests, in the cohort slow ones and forced logins of a hundred; of the requests, how many of a
	// thousand come by sessions.
	cohort, everybody int
	slow, forced      int
	sessions          uint64
	dark, away        bool
	commands          int
}

func newStory() *story {
	return &story{
		now: start, sessions: 1000,
		policy: Policy{
			Steps:    []Step{{Percent: 10, Bake: 7 * day}, {Percent: 50, Bake: 14 * day, Manual: true}, {Percent: 100, Bake: 7 * day}},
			Guard:    Guard{MinSamples: 500, MaxIncrease: 0.005, ConsecutiveFailures: 3, FastFail: 0.2, MaxEndpointFailures: 0.05, MaxSlowIncrease: 0.01, MinLogins: 100, MaxForcedIncrease: 0.05},
			Cooldown: 12 * time.Hour,
		},
		schedule: Schedule{Deprecation: start.Add(60 * day), Sunset: start.Add(90 * day)},
		ending:   Ending{At: start.Add(90 * day), RequireBelow: 0.01, MaxExtension: 14 * day},
	}
}

func (s *story) tell(format string, args ...any) {
	since := s.now.Sub(start)
	fmt.Fprintf(&s.text, "day %2d %s  %s\n", since/day, time.Time{}.Add(since%day).Format("15:04"), fmt.Sprintf(format, args...))
}

// happens tells what somebody did, or what went wrong.
func (s *story) happens(what string, do func()) {
	s.tell("* %s", what)
	do()
}

func (s *story) command(a Action) {
	s.commands++
	s.tell("* somebody says %s", a)
	s.decide(Observed{Command: Command{ID: fmt.Sprint(s.commands), Action: a}})
}

// live lets time pass, an interval after the other.
func (s *story) live(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(tick)
		switch {
		case s.away || s.schedule.SunsetReached:
		case s.dark:
			s.decide(Observed{Missing: true})
		default:
			sample := s.sample()
			s.census = s.census.Count(s.now, s.sessions, 1000-s.sessions)
			s.decide(Observed{Sample: &sample})
		}
	}
}

// sample is a twelfth of an hour of 60,000 requests.
func (s *story) sample() Sample {
	const events = 5000
	share := s.state.Percent
	if share == 0 {
		share = s.policy.Steps[0].Percent
	}
	counts := func(percent, failures int) Counts {
		n := uint64(events * percent / 100)
		return Counts{Events: n, Failures: n/1000 + n*uint64(failures)/100}
	}
	failures := s.everybody
	if s.state.Percent > 0 {
		failures += s.cohort
	}
	sample := Sample{Cohort: counts(share, failures), Control: counts(100-share, s.everybody)}
	if s.state.Percent > 0 {
		sample.Endpoints = counts(share/5, failures)
	}
	badly := func(c Counts, share, usual, more int) Counts { // of one event in so many
		n := c.Events / uint64(share)
		return Counts{Events: n, Failures: n * uint64(usual+more) / 100}
	}
	slow, forced := s.slow, s.forced
	if s.state.Percent == 0 {
		slow, forced = 0, 0
	}
	sample.Slow = Sides{Cohort: badly(sample.Cohort, 1, 0, slow), Control: badly(sample.Control, 1, 0, 0)}
	sample.Logins = Sides{Cohort: badly(sample.Cohort, 25, 5, forced), Control: badly(sample.Control, 25, 5, 0)}
	return sample
}

// decide takes over what the planner says, and tells it if it is new.
func (s *story) decide(o Observed) {
	before := s.state
	d := Next(s.now, s.policy, s.state, o)
	s.state = d.State
	line := fmt.Sprintf("%3d %%  %s", d.State.Percent, d.Waiting)
	if d.Change != Unchanged {
		s.tell("%s from %d to %d %%", d.Change, before.Percent, d.State.Percent)
	}
	if d.Change == RolledBack {
		back := d.State.Rollback
		sides := dimensions[back.Cause].of(back.Sample)
		s.tell("  because %s by %s: %d of %d in the cohort, %d of %d beside it", back.Verdict, back.Cause, sides.Cohort.Failures, sides.Cohort.Events,
			sides.Control.Failures, sides.Control.Events)
	}
	reached, waiting := s.ending.Reached(s.now, s.census)
	s.schedule.SunsetReached = reached
	if reached {
		waiting = "reached"
	}
	line += fmt.Sprintf("  (sessions %s, sunset %s)", s.schedule.Stage(s.now), waiting)
	if line != s.said {
		s.tell("%s", line)
		s.said = line
	}
}

// TestStories holds what an operator would see against testdata/*.txt; -update writes it anew.
func TestStories(t *testing.T) {
	for name, tell := range map[string]func(*story){
		"ninety-days":     ninetyDays,
		"a-bad-release":   aBadRelease,
		"not-our-fault":   notOurFault,
		"not-an-error":    notAnError,
		"a-sunset-waits":  aSunsetWaits,
		"stopped-by-hand": stoppedByHand,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			tell(s)
			path, got := filepath.Join("testdata", name+".txt"), s.text.String()
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path) //nolint:gosec // a path of this test
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("another story (-want +got):\n%s", diff)
			}
		})
	}
}

func ninetyDays(s *story) {
	s.live(25 * day)
	s.command(Promote)
	s.live(35 * day)
	s.happens("everybody gets tokens, sessions are exchanged", func() { s.sessions = 100 })
	s.live(20 * day)
	s.happens("the last applications follow", func() { s.sessions = 2 })
	s.live(15 * day)
}

func aBadRelease(s *story) {
	s.live(2 * day)
	s.happens("a release fails one request in ten that comes with a JWT", func() { s.cohort = 10 })
	s.live(6 * time.Hour)
	s.happens("the release is taken back", func() { s.cohort = 0 })
	s.live(20 * day)
	s.command(Promote)
	s.live(8 * day)
	s.happens("a release fails every second request that comes with a JWT", func() { s.cohort = 50 })
	s.live(20 * time.Minute)
	s.happens("the release is taken back", func() { s.cohort = 0 })
	s.live(day)
}

func notOurFault(s *story) {
	s.live(5 * day)
	s.happens("the application's database is slow: one request in three fails, for everybody", func() { s.everybody = 33 })
	s.live(6 * time.Hour)
	s.happens("it is well again", func() { s.everybody = 0 })
	s.live(42 * time.Hour)
	s.happens("the counters cannot be read", func() { s.dark = true })
	s.live(day)
	s.happens("they can be read again", func() { s.dark = false })
	s.live(4 * day)
	s.command(Hold)
	s.live(day)
	s.command(Resume)
	s.live(15 * day)
	s.happens("nobody runs the operator, and a release fails one request in ten that comes with a JWT", func() { s.away, s.cohort = true, 10 })
	s.live(10 * time.Hour)
	s.happens("the operator is back", func() { s.away = false })
	s.live(time.Hour)
}

func notAnError(s *story) {
	s.live(2 * day)
	s.happens("a release makes one request in five of those that come with a JWT slow", func() { s.slow = 20 })
	s.live(time.Hour)
	s.happens("the release is taken back", func() { s.slow = 0 })
	s.live(20 * day)
	s.happens("a release refuses refreshes: half of the logins are by users who should not have needed one", func() { s.forced = 50 })
	s.live(time.Hour)
	s.happens("the release is taken back", func() { s.forced = 0 })
	s.live(day)
}

func aSunsetWaits(s *story) {
	s.command(Promote)
	s.command(Promote)
	s.command(Promote)
	s.live(60 * day)
	s.happens("one request in twenty still comes with a session", func() { s.sessions = 50 })
	s.live(32 * day)
	s.happens("the counters cannot be read", func() { s.dark = true })
	s.live(2 * day)
	s.happens("they can be read again", func() { s.dark = false })
	s.live(3 * day)
	s.happens("the last batch job has moved", func() { s.sessions = 3 })
	s.live(4 * day)
	s.happens("somebody comes with an old session", func() { s.sessions = 500 })
	s.live(day)
}

func stoppedByHand(s *story) {
	s.live(3 * day)
	s.command(Promote)
	s.live(2 * day)
	s.command(Abort)
	s.live(5 * day)
	s.command(Hold)
	s.live(day)
	s.command(Resume)
	s.live(2 * day)
	s.happens("the rollout is paused", func() { s.policy.Paused = true })
	s.live(10 * day)
	s.happens("it is not any more", func() { s.policy.Paused = false })
	s.live(time.Hour)
}
