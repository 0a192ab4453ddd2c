package rollout

import (
	"math"
	"math/rand/v2"
	"testing"
)

func draw(r *rand.Rand, n int, p float64) Counts {
	c := Counts{Events: uint64(n)}
	for range n {
		if r.Float64() < p {
			c.Failures++
		}
	}
	return c
}

// Chance alone fails fewer than 1 % of the judgements, and an increase well above the bound is nearly always seen.
func TestGuardIsSoundAndPowerful(t *testing.T) {
	guard := Guard{MinSamples: 500, MaxIncrease: 0.005}
	r := rand.New(rand.NewPCG(1, 2))
	for _, row := range []struct {
		events          int
		control, cohort float64
		least, most     float64 // share of failed judgements
	}{
		{500, 0.001, 0.001, 0, 0.01}, {500, 0.05, 0.05, 0, 0.01}, {5000, 0.01, 0.01, 0, 0.01}, {20000, 0.3, 0.3, 0, 0.02},
		{5000, 0.01, 0.014, 0, 0.01},  // worse, but within the bound
		{500, 0.001, 0.06, 0.95, 1},   // a bad release
		{5000, 0.01, 0.03, 0.95, 1},   // two points
		{20000, 0.05, 0.065, 0.95, 1}, // one and a half, with many events
	} {
		const rounds = 600
		failed := 0
		for range rounds {
			if guard.Judge(Sample{Cohort: draw(r, row.events, row.cohort), Control: draw(r, row.events, row.control)}).Verdict == Failed {
				failed++
			}
		}
		if share := float64(failed) / rounds; share < row.least || share > row.most {
			t.Errorf("%d events, %.3f against %.3f: %.3f of the judgements failed, want %.2f to %.2f", row.events, row.cohort, row.control, share, row.least, row.most)
		}
	}
}

// Known values of both intervals, from the literature: Newcombe (1998), tables of methods 3 and 10, at 95 %; ours is at
// another confidence, so what is checked is the form: exact ends, order, and symmetry.
func TestIntervals(t *testing.T) {
	for _, c := range []Counts{{}, {1, 0}, {1, 1}, {500, 0}, {500, 500}, {1000, 13}} {
		low, high := interval(c)
		if low < 0 || high > 1 || low > c.Rate() || high < c.Rate() && c.Events > 0 || math.IsNaN(low+high) {
			t.Errorf("interval of %+v is %f to %f", c, low, high)
		}
		mirrorLow, mirrorHigh := interval(Counts{c.Events, c.Events - c.Failures})
		if c.Events > 0 && (math.Abs(mirrorLow-(1-high)) > 1e-12 || math.Abs(mirrorHigh-(1-low)) > 1e-12) {
			t.Errorf("interval of %+v is not the mirror of its complement", c)
		}
	}
	if _, high := interval(Counts{1000, 0}); math.Abs(high-confidence*confidence/(1000+confidence*confidence)) > 1e-12 {
		t.Errorf("no failure in 1000: at most %f", high)
	}
	if got := leastIncrease(Counts{1000, 0}, Counts{1000, 0}); got >= 0 {
		t.Errorf("two rates of zero differ by at least %f", got)
	}
}

// Every comparison is judged by its own events and its own limit, and the first that fails is named.
func TestCauses(t *testing.T) {
	guard := Guard{MinSamples: 500, MaxIncrease: 0.005, FastFail: 0.2, MaxEndpointFailures: 0.05, MaxSlowIncrease: 0.01, MinLogins: 100, MaxForcedIncrease: 0.05}
	slow := Sides{Cohort: Counts{1000, 60}, Control: Counts{1000, 2}}
	forced := Sides{Cohort: Counts{100, 30}, Control: Counts{100, 2}}
	for _, row := range []struct {
		name  string
		spoil func(*Sample)
		guard func(*Guard)
		want  Judgement
	}{
		{"nothing", func(*Sample) {}, nil, Judgement{Verdict: Passed}},
		{"slow", func(s *Sample) { s.Slow = slow }, nil, Judgement{Verdict: Failed, Cause: Latency}},
		{"slow on both sides", func(s *Sample) { s.Slow = Sides{slow.Cohort, slow.Cohort} }, nil, Judgement{Verdict: Passed}},
		{"faster", func(s *Sample) { s.Slow = slow.swapped() }, nil, Judgement{Verdict: Passed}},
		{"every one slow is not fast", func(s *Sample) { s.Slow.Cohort, s.Slow.Control = Counts{1000, 1000}, Counts{1000, 0} }, nil, Judgement{Verdict: Failed, Cause: Latency}},
		{"slow, as allowed", func(s *Sample) { s.Slow = slow }, func(g *Guard) { g.MaxSlowIncrease = 0.06 }, Judgement{Verdict: Passed}},
		{"slow, and nobody looks", func(s *Sample) { s.Slow.Cohort, s.Slow.Control = Counts{1000, 1000}, Counts{1000, 0} }, func(g *Guard) { g.MaxSlowIncrease = 1 }, Judgement{Verdict: Passed}},
		{"too few times in the control", func(s *Sample) { s.Slow = slow; s.Slow.Control = Counts{499, 0} }, nil, Judgement{Verdict: Passed}},
		{"too few times in the cohort", func(s *Sample) { s.Slow = slow; s.Slow.Cohort = Counts{499, 499} }, nil, Judgement{Verdict: Passed}},
		{"forced", func(s *Sample) { s.Logins = forced }, nil, Judgement{Verdict: Passed, Logins: Failed}},
		{"forced on both sides", func(s *Sample) { s.Logins = Sides{forced.Cohort, forced.Cohort} }, nil, Judgement{Verdict: Passed, Logins: Passed}},
		{"too few logins in the control", func(s *Sample) { s.Logins = forced; s.Logins.Control = Counts{99, 0} }, nil, Judgement{Verdict: Passed}},
		{"too few logins in the cohort", func(s *Sample) { s.Logins = forced; s.Logins.Cohort = Counts{99, 99} }, nil, Judgement{Verdict: Passed}},
		{"forced, and nobody looks", func(s *Sample) { s.Logins = forced }, func(g *Guard) { g.MinLogins = 0 }, Judgement{Verdict: Passed}},
		{"forced logins alone decide nothing", func(s *Sample) { *s = Sample{Cohort: Counts{499, 0}, Control: Counts{499, 0}, Logins: forced} }, nil, Judgement{}},
		{"slow logins alone decide nothing", func(s *Sample) { *s = Sample{Cohort: Counts{499, 0}, Control: Counts{499, 0}, Slow: slow} }, nil, Judgement{}},
		{"all of it", func(s *Sample) {
			s.Slow, s.Logins, s.Endpoints, s.Cohort = slow, forced, Counts{1000, 900}, sick().Cohort
		}, nil, Judgement{Failed, Errors, Failed}},
		{"all but errors", func(s *Sample) { s.Slow, s.Logins, s.Endpoints = slow, forced, Counts{1000, 900} }, nil, Judgement{Failed, Endpoints, Failed}},
	} {
		s, g := healthy(), guard
		row.spoil(&s)
		if row.guard != nil {
			row.guard(&g)
		}
		if got := g.Judge(s); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
	for name, s := range map[string]Sample{
		"slow": {Slow: slow}, "faster": {Slow: slow.swapped()}, "forced": {Logins: forced}, "less forced": {Logins: forced.swapped()},
	} {
		s.Cohort, s.Control = healthy().Cohort, healthy().Control
		if j := guard.JudgeSplit(s); j.Verdict != Biased && j.Logins != Biased {
			t.Errorf("%s before anybody got anything: %+v", name, j)
		}
	}
}

func TestVerdicts(t *testing.T) {
	guard := Guard{MinSamples: 500, MaxIncrease: 0.005, FastFail: 0.2, MaxEndpointFailures: 0.05}
	for _, row := range []struct {
		name   string
		guard  Guard
		sample Sample
		want   Verdict
	}{
		{"nothing", guard, Sample{}, Inconclusive},
		{"the zero guard", Guard{}, sick(), Inconclusive},
		{"too few in the control", guard, Sample{Cohort: Counts{500, 500}, Control: Counts{499, 0}}, Inconclusive},
		{"too few in the cohort", guard, Sample{Cohort: Counts{499, 499}, Control: Counts{500, 0}}, Inconclusive},
		{"healthy", guard, healthy(), Passed},
		{"better", guard, Sample{Cohort: Counts{1000, 0}, Control: Counts{1000, 900}}, Passed},
		{"worse", guard, sick(), Failed},
		{"much worse", guard, Sample{Cohort: Counts{500, 250}, Control: Counts{500, 0}}, FailedFast},
		{"much worse, no fast fail", Guard{MinSamples: 1, MaxIncrease: 0.005}, Sample{Cohort: Counts{500, 250}, Control: Counts{500, 0}}, Failed},
		{"endpoints fail", guard, Sample{Cohort: Counts{500, 0}, Control: Counts{500, 0}, Endpoints: Counts{1000, 100}}, Failed},
		{"a few endpoints fail", guard, Sample{Cohort: Counts{500, 0}, Control: Counts{500, 0}, Endpoints: Counts{10, 1}}, Passed},
	} {
		if got := row.guard.Judge(row.sample).Verdict; got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
