package rollout

import (
	"testing"
	"time"
)

var plan = Policy{
	Steps:    []Step{{Percent: 10, Bake: time.Hour}, {Percent: 50, Bake: 2 * time.Hour, Manual: true}, {Percent: 100, Bake: time.Hour}},
	Guard:    Guard{MinSamples: 500, MaxIncrease: 0.005, ConsecutiveFailures: 3, FastFail: 0.2, MaxEndpointFailures: 0.05},
	Cooldown: 6 * time.Hour,
}

// tale is a rollout told step by step.
type tale struct {
	*testing.T
	now   time.Time
	state State
	p     Policy
	last  Decision
}

func newTale(t *testing.T) *tale { return &tale{T: t, now: day0, p: plan} }

func (s *tale) next(o Observed) *tale {
	s.Helper()
	again := Next(s.now, s.p, s.state, o)
	s.last = Next(s.now, s.p, s.state, o)
	if s.last.State.Percent != again.State.Percent || s.last.Change != again.Change {
		s.Fatal("the same question has two answers")
	}
	s.state = s.last.State
	return s
}

func (s *tale) after(d time.Duration) *tale { s.now = s.now.Add(d); return s }

func healthy() Sample {
	return Sample{Cohort: Counts{1000, 2}, Control: Counts{1000, 2}, Endpoints: Counts{500, 1}}
}
func sick() Sample { return Sample{Cohort: Counts{1000, 60}, Control: Counts{1000, 2}} }
func both60() Sample {
	return Sample{Cohort: Counts{1000, 60}, Control: Counts{1000, 60}}
}

func (s *tale) sample(x Sample) *tale { s.Helper(); return s.next(Observed{Sample: &x}) }
func (s *tale) command(id string, a Action) *tale {
	s.Helper()
	return s.next(Observed{Command: Command{ID: id, Action: a}})
}

func (s *tale) is(percent int, change Change, waiting Reason) *tale {
	s.Helper()
	if s.state.Percent != percent || s.last.Change != change || s.last.Waiting != waiting {
		s.Fatalf("%d %% %q waiting %q, want %d %% %q %q", s.state.Percent, s.last.Change, s.last.Waiting, percent, change, waiting)
	}
	return s
}

func TestWholeRollout(t *testing.T) {
	s := newTale(t)
	s.next(Observed{}).is(0, Unchanged, Watching)
	s.after(time.Minute).sample(healthy()).is(10, Promoted, Baking)
	s.after(time.Minute).sample(healthy()).is(10, Unchanged, Baking)
	if s.last.After != 59*time.Minute {
		t.Errorf("wait %s", s.last.After)
	}
	s.after(59*time.Minute).next(Observed{}).is(10, Unchanged, Watching) // not by what was counted an hour ago
	s.sample(healthy()).is(50, Promoted, Baking)
	s.after(2*time.Hour).sample(healthy()).is(50, Unchanged, AwaitingApproval)
	s.command("1", Promote).is(100, Promoted, Complete)
	s.command("1", Promote).is(100, Unchanged, Complete)
	s.after(time.Hour).sample(healthy()).is(100, Unchanged, Complete)
	if s.state.Baseline.Events != healthy().Cohort || s.state.Judged.Control != healthy().Cohort {
		t.Errorf("at 100 %% the control is %+v", s.state.Judged.Control)
	}
	for range 3 {
		s.after(time.Minute).sample(Sample{Cohort: Counts{1000, 60}})
	}
	s.is(50, RolledBack, CoolingDown)
}

func TestRollback(t *testing.T) {
	at10 := func(t *testing.T) *tale {
		return newTale(t).sample(healthy()).is(10, Promoted, Baking)
	}
	t.Run("after three failures", func(t *testing.T) {
		s := at10(t)
		s.after(time.Minute).sample(sick()).is(10, Unchanged, Unhealthy)
		s.after(time.Minute).sample(sick()).is(10, Unchanged, Unhealthy)
		s.after(time.Minute).sample(sick()).is(0, RolledBack, CoolingDown)
		if r := s.state.Rollback; r == nil || r.From != 10 || r.To != 0 || r.Verdict != Failed || r.Sample.Cohort.Failures != 60 || !r.At.Equal(s.now) {
			t.Errorf("evidence %+v", r)
		}
		s.after(5*time.Hour).sample(healthy()).is(0, Unchanged, CoolingDown)
		s.after(time.Hour).sample(healthy()).is(10, Promoted, Baking)
	})
	t.Run("a pass in between begins anew", func(t *testing.T) {
		s := at10(t)
		s.sample(sick()).sample(sick()).sample(healthy()).sample(sick()).sample(sick()).is(10, Unchanged, Unhealthy)
	})
	t.Run("at once", func(t *testing.T) {
		at10(t).sample(Sample{Cohort: Counts{1000, 400}, Control: Counts{1000, 2}}).is(0, RolledBack, CoolingDown)
	})
	t.Run("to the start", func(t *testing.T) {
		s := at10(t)
		s.p.ToStart = true
		s.command("x", Promote).is(50, Promoted, Baking)
		s.sample(sick()).sample(sick()).sample(sick()).is(0, RolledBack, CoolingDown)
	})
	t.Run("to the step before", func(t *testing.T) {
		at10(t).command("x", Promote).sample(sick()).sample(sick()).sample(sick()).is(10, RolledBack, CoolingDown)
	})
	t.Run("an incident of both sides holds nothing back", func(t *testing.T) {
		s := at10(t)
		for range 10 {
			s.after(time.Minute).sample(both60()).is(10, Unchanged, Baking)
		}
	})
	t.Run("the endpoints only the cohort has", func(t *testing.T) {
		x := healthy()
		x.Endpoints = Counts{500, 100}
		at10(t).sample(x).sample(x).sample(x).is(0, RolledBack, CoolingDown)
	})
	t.Run("held, it still goes back", func(t *testing.T) {
		at10(t).command("h", Hold).is(10, Unchanged, Held).sample(sick()).sample(sick()).sample(sick()).is(0, RolledBack, Held)
	})
	t.Run("paused, it stays", func(t *testing.T) {
		s := at10(t)
		s.p.Paused = true
		for range 5 {
			s.sample(sick()).is(10, Unchanged, Paused)
		}
		s.p.Paused = false
		s.sample(sick()).is(0, RolledBack, CoolingDown)
	})
}

func TestHolding(t *testing.T) {
	t.Run("too few events add up", func(t *testing.T) {
		s := newTale(t)
		for range 4 {
			s.after(time.Minute).sample(Sample{Cohort: Counts{100, 0}, Control: Counts{1000, 0}}).is(0, Unchanged, Watching)
		}
		s.after(time.Minute).sample(Sample{Cohort: Counts{100, 0}, Control: Counts{1000, 0}}).is(10, Promoted, Baking)
	})
	t.Run("no data", func(t *testing.T) {
		s := newTale(t).sample(healthy()).sample(healthy())
		s.after(time.Hour).next(Observed{Missing: true}).is(10, Unchanged, NoData)
		s.after(time.Hour).next(Observed{}).is(10, Unchanged, NoData)
		s.after(time.Hour).sample(healthy()).is(50, Promoted, Baking)
	})
	t.Run("an uneven split", func(t *testing.T) {
		s := newTale(t).sample(sick()).is(0, Unchanged, UnevenSplit)
		better := Sample{Cohort: Counts{1000, 2}, Control: Counts{1000, 60}}
		s.sample(better).is(0, Unchanged, UnevenSplit)
		s.sample(healthy()).is(10, Promoted, Baking)
	})
	t.Run("held and resumed", func(t *testing.T) {
		s := newTale(t).command("a", Hold).is(0, Unchanged, Held)
		s.sample(healthy()).is(0, Unchanged, Held)
		s.command("b", Resume).is(10, Promoted, Baking)
	})
	t.Run("aborted", func(t *testing.T) {
		s := newTale(t).sample(healthy()).command("a", Abort).is(0, Stopped, Aborted)
		s.after(100*time.Hour).sample(healthy()).is(0, Unchanged, Aborted)
		s.command("a", Abort).is(0, Unchanged, Aborted)
		s.command("b", Resume).is(10, Promoted, Baking)
	})
	t.Run("steps were removed", func(t *testing.T) {
		s := newTale(t).sample(healthy()).command("x", Promote).command("y", Promote).is(100, Promoted, Complete)
		s.p.Steps = s.p.Steps[:1]
		s.next(Observed{}).is(100, Unchanged, Complete)
	})
	t.Run("a clock that went back before the first step", func(t *testing.T) {
		s := newTale(t).next(Observed{})
		s.after(-time.Hour).next(Observed{}).is(0, Unchanged, Watching).sample(healthy()).is(10, Promoted, Baking)
	})
	t.Run("no steps at all", func(t *testing.T) {
		s := newTale(t)
		s.p.Steps = nil
		s.sample(healthy()).is(0, Unchanged, Complete)
		s.command("x", Promote).is(0, Unchanged, Complete)
	})
}

// TestBaseline: what the cohort is compared with at 100 %.
func TestBaseline(t *testing.T) {
	at100 := func(t *testing.T, before Sample) *tale {
		s := newTale(t).sample(healthy()).command("1", Promote).is(50, Promoted, Baking)
		return s.sample(before).command("2", Promote).is(100, Promoted, Complete)
	}
	worse := Sample{Cohort: Counts{1000, 60}}
	t.Run("an incident of everybody at the promotion", func(t *testing.T) {
		s := at100(t, Sample{Cohort: Counts{1000, 400}, Control: Counts{1000, 400}})
		s.sample(worse).is(100, Unchanged, Complete) // it is over
		for range 3 {
			s.sample(Sample{Cohort: Counts{1000, 150}})
		}
		s.is(50, RolledBack, CoolingDown)
	})
	t.Run("a judgement that failed is none", func(t *testing.T) {
		if s := at100(t, sick()); s.state.Baseline.Events == sick().Cohort {
			t.Error("the cohort is compared with its own failure")
		}
	})
}

// TestNoBaseline: a status that was lost at 100 %, or steps that were taken without a judgement, leave nothing to compare
// with. Then absolute limits hold until something is known.
func TestNoBaseline(t *testing.T) {
	at100 := func(t *testing.T) *tale {
		s := newTale(t)
		s.p.Guard.MaxSlowIncrease, s.p.Guard.MinLogins, s.p.Guard.MaxForcedIncrease = 0.01, 100, 0.05
		s.state = State{Position: 3, Percent: 100, Since: day0}
		return s.next(Observed{}).is(100, Unchanged, Complete)
	}
	sample := func(failures, slow, forced uint64) Sample {
		return Sample{
			Cohort: Counts{1000, failures}, Endpoints: Counts{500, failures / 2},
			Slow: Sides{Cohort: Counts{1000, slow}}, Logins: Sides{Cohort: Counts{60, forced}},
		}
	}
	known := func(s *tale, want bool) {
		t.Helper()
		if s.state.NoBaseline(s.p.Guard) == want {
			t.Errorf("a baseline: %+v, want %t", s.state.Baseline, want)
		}
	}
	t.Run("an outage is taken back, by so many judgements as ever", func(t *testing.T) {
		s := at100(t)
		s.sample(sample(900, 0, 0)).sample(sample(900, 0, 0)).is(100, Unchanged, Complete)
		known(s, false)
		s.sample(sample(900, 0, 0)).is(50, RolledBack, CoolingDown)
		if back := s.state.Rollback; back.Verdict != Failed || back.Cause != Errors {
			t.Errorf("%+v", back)
		}
	})
	t.Run("refreshes that fail", func(t *testing.T) {
		x := sample(2, 0, 0)
		x.Endpoints.Failures = 400
		at100(t).sample(x).sample(x).sample(x).is(50, RolledBack, CoolingDown)
	})
	t.Run("the first good one is the baseline", func(t *testing.T) {
		s := at100(t)
		s.sample(sample(60, 0, 0)).sample(sample(2, 30, 3))
		known(s, true)
		for range 10 {
			s.sample(sample(2, 30, 3)).is(100, Unchanged, Complete)
		}
		if b := s.state.Baseline; b.Events != (Counts{1000, 2}) || b.Slow != (Counts{1000, 30}) || b.Logins != (Counts{120, 3}) {
			t.Errorf("%+v", b)
		}
		for range 3 {
			s.sample(sample(2, 200, 3))
		}
		s.is(50, RolledBack, CoolingDown)
	})
	t.Run("forced logins have a baseline of their own", func(t *testing.T) {
		s := at100(t)
		for range 4 {
			s.sample(sample(2, 0, 3))
		}
		for range 10 {
			s.sample(sample(2, 0, 40))
		}
		if back := s.state.Rollback; s.state.Percent == 100 || back.Cause != ForcedLogins {
			t.Errorf("%d %%: %+v", s.state.Percent, back)
		}
	})
	t.Run("more samples are wanted than it has", func(t *testing.T) {
		s := at100(t).sample(sample(2, 0, 0))
		known(s, true)
		s.p.Guard.MinSamples = 2000
		known(s, false)
		s.sample(sample(2, 0, 0)).sample(sample(2, 0, 0))
		known(s, true)
	})
	t.Run("fewer events than are wanted", func(t *testing.T) {
		s := at100(t).sample(Sample{Cohort: Counts{100, 90}})
		known(s, false)
		s.is(100, Unchanged, Complete)
	})
}
