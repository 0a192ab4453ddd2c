package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// tick is a guard interval, and the step of the world's clock.
const tick = 5 * time.Minute

const day = 24 * time.Hour

var start = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)

// steering is what replicas ask: Rules, or a mutant of them.
type steering interface {
	Login(now time.Time, user string) Issue
	Refresh(now time.Time, client Client) Issue
	Exchange(now time.Time, user string) Issue
	Edge(now time.Time, key string) Acceptance
}

// organs are what the simulation puts to the test.
type organs struct {
	next    func(time.Time, Policy, State, Observed) Decision
	reached func(Ending, time.Time, Census) (bool, Reason)
	steer   func(Rules) steering
	// unlocked writes a status without looking at its version.
	unlocked bool
}

func healthyOrgans() organs {
	return organs{next: Next, reached: Ending.Reached, steer: func(r Rules) steering { return r }}
}

// replica is a token service and an edge. Between a write and its arrival it works with what it has.
type replica struct {
	rules    Rules
	steer    steering
	revision int
	cutOff   time.Time
	arriving []delivery
}

// delivery is a document under way. They arrive in any order; an older one is not taken.
type delivery struct {
	at       time.Time
	revision int
	rules    Rules
}

// world is a model of the system around the package. True time is t; the manager may believe another.
type world struct {
	organs
	rng      *rand.Rand
	t        time.Time
	policy   Policy
	ending   Ending
	users    []user
	visits   [][]int32 // by tick, round and round
	replicas []*replica
	rules    Rules // what a document says that is made now

	// What the status holds.
	state    State
	version  int
	census   Census
	revision int

	// published is the percentage of the newest document, which may not be that of the status yet.
	published    int
	publishedEnd bool

	command     Command
	commands    int
	managerBack time.Time
	leap        time.Duration
	leapUntil   time.Time
	stale       []draft // decisions that are not written yet

	release, backend trouble   // failures of the cohort, of everybody
	dark             time.Time // until then nobody can read the counters
	pending          Sample    // counted since the last interval that was written
	sessions, tokens uint64
	traffic          float64 // events of a tick

	truth   truth
	counts  map[string]int
	failure string
	lines   []string
}

func newWorld(seed uint64, size int, o organs) *world {
	w := &world{organs: o, rng: rand.New(rand.NewPCG(seed, 6)), t: start, counts: map[string]int{}}
	hours := func(from, to int) time.Duration { return time.Duration(from+w.rng.IntN(to-from)) * time.Hour }
	w.policy = Policy{
		Steps: []Step{
			{Percent: 1 + w.rng.IntN(15), Bake: hours(6, 200)},
			{Percent: 20 + w.rng.IntN(40), Bake: hours(6, 200), Manual: w.chance(3)},
			{Percent: 100, Bake: hours(6, 100)},
		},
		Guard: Guard{
			MinSamples: 500, MaxIncrease: 0.005, ConsecutiveFailures: 3, MaxEndpointFailures: 0.05,
			MaxSlowIncrease: 0.01, MinLogins: 100, MaxForcedIncrease: 0.05,
		},
		ToStart: w.chance(3), Cooldown: hours(1, 24),
	}
	if w.chance(2) {
		w.policy.Guard.FastFail = 0.2
	}
	w.ending = Ending{At: start.Add(90 * day), RequireBelow: 0.005 + 0.05*w.rng.Float64(), MaxExtension: []time.Duration{-1, 0, 5 * day, 10 * day}[w.rng.IntN(4)]}
	w.rules = Rules{Enabled: true, DualIssue: w.chance(2), Schedule: Schedule{Deprecation: start.Add(60 * day), Sunset: w.ending.At}}
	w.rules.Cohort = Cohort{Salt: fmt.Sprint("salt ", seed), Include: map[string]bool{"user 1": true, "user 2": true}, Exclude: map[string]bool{"user 2": true, "user 3": true}}
	for range w.rng.IntN(4) {
		w.rules.Schedule.Brownouts = append(w.rules.Schedule.Brownouts,
			Brownout{Start: start.Add(55*day + hours(0, 34*24)), Duration: hours(1, 6), Percent: 5 + w.rng.IntN(90)})
	}
	w.traffic = 2000 + 20000*w.rng.Float64()
	for range 2 + w.rng.IntN(4) {
		w.replicas = append(w.replicas, &replica{rules: w.rules, steer: o.steer(w.rules)})
	}
	w.settle(size)
	return w
}

// run lives until some days after the sunset, or until the first broken promise.
func (w *world) run() {
	for end := start.Add(105 * day); w.t.Before(end) && w.failure == ""; w.t = w.t.Add(tick) {
		w.upset()
		w.arrive()
		w.count()
		if w.t.After(w.managerBack) && !w.chance(8) {
			w.reconcile()
		}
		w.browse()
	}
}

func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

// rare is true once in so long, on average.
func (w *world) rare(every time.Duration) bool { return w.chance(int(every / tick)) }

func (w *world) span(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rng.Int64N(int64(to-from)+1))
}

func (w *world) log(format string, args ...any) {
	w.lines = append(w.lines, w.t.Format("01-02 15:04 ")+fmt.Sprintf(format, args...))
	w.lines = w.lines[max(0, len(w.lines)-40):]
}

func (w *world) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		w.log("FAILED: %s", w.failure)
	}
}

// publish sends the document of the status to everybody.
func (w *world) publish() {
	w.revision++
	w.published, w.publishedEnd = w.state.Percent, w.rules.Schedule.SunsetReached
	rules := w.rules
	rules.Cohort.Percent = w.state.Percent
	for _, r := range w.replicas {
		delay := w.span(0, 2*time.Minute)
		if w.chance(8) {
			delay = w.span(0, 3*time.Hour)
		}
		r.arriving = append(r.arriving, delivery{w.t.Add(delay), w.revision, rules})
	}
}

// arrive hands documents to the replicas.
func (w *world) arrive() {
	for _, r := range w.replicas {
		if w.t.Before(r.cutOff) {
			continue
		}
		rest := r.arriving[:0]
		for _, d := range r.arriving {
			switch {
			case w.t.Before(d.at):
				rest = append(rest, d)
			case d.revision > r.revision:
				r.revision, r.rules, r.steer = d.revision, d.rules, w.steer(d.rules)
				w.counts["documents"]++
			default:
				w.counts["documents overtaken"]++
			}
		}
		r.arriving = rest
	}
}
