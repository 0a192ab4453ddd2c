package rollout_test

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// TestSimulation lives through rollouts from the first step to the sunset in a hostile world, and asserts the promises
// at every step.
func TestSimulation(t *testing.T) {
	seeds, size := uint64(3), 2000
	if os.Getenv("KEYTURN_SOAK") == "1" {
		seeds, size = 50, 30_000
	}
	simulate(t, seeds, size)
}

// TestManyRollouts has few users and many fates: what concerns the steps and the guard.
func TestManyRollouts(t *testing.T) {
	seeds := uint64(20)
	if os.Getenv("KEYTURN_SOAK") == "1" {
		seeds = 500
	}
	total := simulate(t, seeds, 60)
	for _, happened := range []string{
		"Promoted", "RolledBack", "Aborted", "promoted by command", "conflicts", "killed before the write", "documents overtaken",
		"killed after the write", "statuses lost", "rolled back by Errors", "rolled back by Latency", "rolled back by ForcedLogins",
		"taken back to the session", "exchanged", "browned out", "sunsets", "sunsets at the end of the extension",
	} {
		if total[happened] == 0 {
			t.Errorf("it never happened: %s", happened)
		}
	}
}

func simulate(t *testing.T, seeds uint64, size int) map[string]int {
	var mu sync.Mutex
	total := map[string]int{}
	var all sync.WaitGroup
	shards := uint64(runtime.GOMAXPROCS(0))
	for shard := range shards {
		all.Go(func() {
			for seed := shard; seed < seeds && !t.Failed(); seed += shards {
				w := newWorld(seed, size, healthyOrgans())
				if w.run(); w.failure != "" {
					t.Errorf("seed %d: %s\n%s", seed, w.failure, strings.Join(w.lines, "\n"))
				}
				mu.Lock()
				for what, n := range w.counts {
					total[what] += n
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("%d seeds of 105 days with %d users: %v", seeds, size, total)
	return total
}

// TestSimulationCatches breaks the package on purpose. A simulation that does not notice proves nothing.
func TestSimulationCatches(t *testing.T) {
	for name, mutant := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(100) {
				w := newWorld(seed, 150, mutant)
				if w.run(); w.failure != "" {
					t.Logf("seed %d, after %s: %s", seed, w.t.Sub(start), w.failure)
					return
				}
			}
			t.Error("100 seeds did not notice")
		})
	}
}

// pretend is a planner that takes the policy, the state or what was observed for something else.
func pretend(change func(*Policy, *State, *Observed)) organs {
	o := healthyOrgans()
	o.next = func(now time.Time, p Policy, s State, seen Observed) Decision {
		change(&p, &s, &seen)
		return Next(now, p, s, seen)
	}
	return o
}

// twisted are rules with one answer changed.
type twisted struct {
	Rules
	refresh func(Rules, time.Time, Client) Issue
	edge    func(Rules, time.Time, string) Acceptance
}

func (x twisted) Refresh(now time.Time, c Client) Issue     { return x.refresh(x.Rules, now, c) }
func (x twisted) Edge(now time.Time, key string) Acceptance { return x.edge(x.Rules, now, key) }
func twist(change func(*twisted)) organs {
	o := healthyOrgans()
	o.steer = func(r Rules) steering {
		x := twisted{r, Rules.Refresh, Rules.Edge}
		change(&x)
		return x
	}
	return o
}

func mutants() map[string]organs {
	all := map[string]organs{
		"no judgement is needed":     pretend(func(_ *Policy, s *State, _ *Observed) { s.Passed = true }),
		"a hold is forgotten":        pretend(func(_ *Policy, s *State, _ *Observed) { s.HeldBy = "" }),
		"no cooldown":                pretend(func(_ *Policy, s *State, _ *Observed) { s.CooldownUntil = time.Time{} }),
		"missing data are no reason": pretend(func(_ *Policy, s *State, o *Observed) { s.Blind, o.Missing = false, false }),
		"no bake":                    pretend(func(_ *Policy, s *State, _ *Observed) { s.Since = time.Time{}.Add(1) }),
		"a pause is overlooked":      pretend(func(p *Policy, _ *State, _ *Observed) { p.Paused = false }),
		"the guard never fails": pretend(func(p *Policy, _ *State, _ *Observed) {
			p.Guard.MaxIncrease, p.Guard.MaxEndpointFailures, p.Guard.FastFail = 1, 0, 0
		}),
		"latency is not looked at":        pretend(func(p *Policy, _ *State, _ *Observed) { p.Guard.MaxSlowIncrease = 1 }),
		"forced logins are not looked at": pretend(func(p *Policy, _ *State, _ *Observed) { p.Guard.MinLogins = 0 }),
		"forced logins are forgotten":     pretend(func(_ *Policy, s *State, _ *Observed) { s.LoginFailures = 0 }),
		"missing data are good ones": pretend(func(_ *Policy, s *State, o *Observed) {
			if o.Missing {
				o.Missing, o.Sample = false, &Sample{}
			}
		}),
		"the control's latency is not looked at": pretend(func(_ *Policy, s *State, o *Observed) {
			if o.Sample != nil && s.Percent > 0 {
				o.Sample.Slow.Control.Failures = 0
			}
		}),
		"the control's logins are not looked at": pretend(func(_ *Policy, s *State, o *Observed) {
			if o.Sample != nil && s.Percent > 0 {
				o.Sample.Logins.Control.Failures = 0
			}
		}),
		"a failure is not remembered": pretend(func(p *Policy, s *State, _ *Observed) { s.Failures = 0; p.Guard.ConsecutiveFailures += 5 }),
		"the control is not looked at": pretend(func(_ *Policy, s *State, o *Observed) {
			if o.Sample != nil && s.Percent > 0 {
				o.Sample.Control.Failures = 0
			}
		}),
		"a command is carried out again": pretend(func(_ *Policy, s *State, _ *Observed) { s.Command = "" }),
		"the tokens are taken from everybody": twist(func(x *twisted) {
			x.refresh = func(r Rules, now time.Time, c Client) Issue {
				c.Cookies, c.LiveSession = true, true
				return r.Refresh(now, c)
			}
		}),
		"the percentage decides acceptance": twist(func(x *twisted) {
			x.edge = func(r Rules, now time.Time, key string) Acceptance {
				a := r.Edge(now, key)
				a.Accepted = a.Accepted && !r.Cohort.Has(key)
				return a
			}
		}),
		"no lock": {next: Next, reached: Ending.Reached, steer: healthyOrgans().steer, unlocked: true},
	}
	early := healthyOrgans()
	early.reached = func(e Ending, now time.Time, c Census) (bool, Reason) { e.RequireBelow = 2; return e.Reached(now, c) }
	all["the sunset does not wait"] = early
	undone := healthyOrgans()
	undone.next = func(now time.Time, p Policy, s State, o Observed) Decision {
		d := Next(now, p, s, o)
		if d.Waiting == Baking && d.Change == Unchanged {
			d.State.Percent--
		}
		return d
	}
	all["a percentage that nobody decided"] = undone
	return all
}
