package rollout

import (
	"slices"
	"testing"
	"time"
)

// guarded is plan with every comparison.
func guarded(t *testing.T) *tale {
	s := newTale(t)
	s.p.Guard.MaxSlowIncrease, s.p.Guard.MinLogins, s.p.Guard.MaxForcedIncrease = 0.01, 100, 0.05
	return s
}

// full is a healthy sample with times and so many logins, of which some are forced in the cohort.
func full(logins, forced uint64) Sample {
	s := healthy()
	s.Slow = Sides{Counts{1000, 3}, Counts{1000, 3}}
	s.Logins = Sides{Counts{logins, forced}, Counts{logins, 0}}
	return s
}

func (s *tale) cause(want Cause) *tale {
	s.Helper()
	if s.state.Cause != want {
		s.Fatalf("the cause is %q, want %q", s.state.Cause, want)
	}
	return s
}

func (s *tale) rolledBackBy(cause Cause, evidence func(Sample) Sides, want Sides) {
	s.Helper()
	back := s.state.Rollback
	if back == nil || back.Cause != cause || back.Verdict != Failed || evidence(back.Sample) != want {
		s.Fatalf("rolled back with %+v, want %s by %+v", back, cause, want)
	}
	if s.state.Cause != "" || s.state.Failures+s.state.LoginFailures > 0 || s.state.Gathered != (Sample{}) {
		s.Fatalf("the next step begins with %+v", s.state)
	}
}

func TestSlowCohort(t *testing.T) {
	s := guarded(t).sample(full(0, 0)).is(10, Promoted, Baking)
	slow := full(0, 0)
	slow.Slow.Cohort.Failures = 60
	for range 2 {
		s.after(time.Minute).sample(slow).is(10, Unchanged, Unhealthy).cause(Latency)
	}
	s.after(time.Minute).sample(slow).is(0, RolledBack, CoolingDown)
	s.rolledBackBy(Latency, func(x Sample) Sides { return x.Slow }, slow.Slow)
}

// There are few logins: what was judged stands while they gather again, however often the rest passes.
func TestForcedLoginsOfACohort(t *testing.T) {
	s := guarded(t).sample(full(0, 0)).is(10, Promoted, Baking)
	for round := range 3 {
		for gathered := uint64(40); gathered < 120; gathered += 40 {
			s.after(time.Minute).sample(full(40, 20))
			if s.state.Percent != 10 || s.state.LoginFailures != round || s.state.Gathered.Logins.Cohort.Events != gathered {
				t.Fatalf("round %d: %+v", round, s.state)
			}
		}
		if s.after(time.Minute).sample(full(40, 20)); round < 2 {
			s.is(10, Unchanged, Unhealthy).cause(ForcedLogins)
		}
	}
	s.is(0, RolledBack, CoolingDown)
	s.rolledBackBy(ForcedLogins, func(x Sample) Sides { return x.Logins }, Sides{Counts{120, 60}, Counts{120, 0}})
}

// One failure that is not repeated holds the step until logins pass again, and then leaves no trace.
func TestForcedLoginsHold(t *testing.T) {
	s := guarded(t).sample(full(0, 0)).is(10, Promoted, Baking)
	s.after(time.Minute).sample(full(100, 50)).is(10, Unchanged, Unhealthy)
	for range 20 {
		s.after(time.Hour).sample(full(4, 0)).is(10, Unchanged, Unhealthy).cause(ForcedLogins)
		if s.state.Passed || s.state.Failures > 0 || s.state.Judged.Logins.Cohort.Events != 100 {
			t.Fatalf("%+v", s.state)
		}
	}
	s.after(time.Hour).sample(full(20, 0)).is(50, Promoted, Baking).cause("")
	if s.state.Baseline.Logins != (Counts{100, 0}) || s.state.Baseline.Slow != (Counts{1000, 3}) {
		t.Errorf("the baseline is %+v", s.state.Baseline)
	}
	if s.state.Judged.Logins != (Sides{}) {
		t.Errorf("the next step begins with the logins of this one: %+v", s.state.Judged.Logins)
	}
}

// At 100 % everything is compared with the step before, where the step before had enough of it.
func TestBaselinesOfEverything(t *testing.T) {
	at100 := func(t *testing.T, logins uint64) *tale {
		s := guarded(t).sample(full(0, 0)).after(time.Hour).sample(full(logins, 0)).is(50, Promoted, Baking)
		s.p.Steps = slices.Clone(s.p.Steps)
		s.p.Steps[1].Manual = false
		return s.after(2*time.Hour).sample(full(logins, 0)).is(100, Promoted, Complete)
	}
	alone := func(logins, forced, slow uint64) Sample {
		return Sample{Cohort: Counts{1000, 2}, Slow: Sides{Cohort: Counts{1000, slow}}, Logins: Sides{Cohort: Counts{logins, forced}}}
	}
	t.Run("slow", func(t *testing.T) {
		s := at100(t, 100)
		for range 3 {
			s.after(time.Minute).sample(alone(0, 0, 60))
		}
		s.is(50, RolledBack, CoolingDown).rolledBackBy(Latency, func(x Sample) Sides { return x.Slow }, Sides{Counts{1000, 60}, Counts{1000, 3}})
	})
	t.Run("forced", func(t *testing.T) {
		s := at100(t, 100)
		for range 3 {
			s.after(time.Minute).sample(alone(100, 50, 3))
		}
		s.is(50, RolledBack, CoolingDown).rolledBackBy(ForcedLogins, func(x Sample) Sides { return x.Logins }, Sides{Counts{100, 50}, Counts{100, 0}})
	})
	t.Run("few logins at the last step", func(t *testing.T) { // then those of the step before count
		s := guarded(t).sample(full(0, 0)).after(time.Hour).sample(full(100, 4)).is(50, Promoted, Baking)
		s.after(time.Minute).sample(full(1, 0)).command("1", Promote).is(100, Promoted, Complete)
		if b := s.state.Baseline; b.Logins != (Counts{100, 4}) || b.Slow != (Counts{1000, 3}) || b.Events != healthy().Cohort {
			t.Errorf("the baseline is %+v", b)
		}
	})
	t.Run("no baseline of logins", func(t *testing.T) {
		s := at100(t, 1)
		for range 9 {
			s.after(time.Minute).sample(alone(100, 50, 3)).is(100, Unchanged, Complete)
		}
	})
	t.Run("a better day", func(t *testing.T) {
		s := at100(t, 100)
		s.state.Baseline.Slow, s.state.Baseline.Logins = Counts{1000, 400}, Counts{100, 50}
		s.after(time.Minute).sample(alone(100, 0, 3))
		if b := s.state.Baseline; b.Slow != (Counts{1000, 3}) || b.Logins != (Counts{100, 0}) || b.Events != healthy().Cohort {
			t.Errorf("the baseline is still %+v", b)
		}
	})
}

// Before the first step logins hold the rollout too, until they agree or somebody says resume.
func TestUnevenLogins(t *testing.T) {
	s := guarded(t).sample(full(100, 50)).is(0, Unchanged, UnevenSplit)
	s.after(time.Minute).sample(full(4, 0)).is(0, Unchanged, UnevenSplit)
	if s.state.Rollback != nil {
		t.Error("rolled back from 0 %")
	}
	t.Run("resumed", func(t *testing.T) {
		s := *s
		s.T = t
		s.after(time.Minute).command("1", Resume).is(0, Unchanged, Watching)
		s.after(time.Minute).sample(full(4, 0)).is(10, Promoted, Baking)
	})
	s.after(time.Minute).sample(full(100, 0)).is(10, Promoted, Baking)
}
