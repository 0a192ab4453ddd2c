package rollout_test

import (
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// dimension is one comparison of a sample.
type dimension struct {
	of    func(Sample) Sides
	least func(Guard) uint64
	// limit is the planner's; beyond clear above it nothing may pass. blunt is a baseline from an incident.
	limit        func(Guard) float64
	clear, blunt float64
}

var dimensions = map[Cause]dimension{
	Errors: {
		func(s Sample) Sides { return Sides{Cohort: s.Cohort, Control: s.Control} },
		func(g Guard) uint64 { return g.MinSamples }, func(g Guard) float64 { return g.MaxIncrease }, 0.08, 0.02,
	},
	Latency: {
		func(s Sample) Sides { return s.Slow },
		func(g Guard) uint64 { return g.MinSamples }, func(g Guard) float64 { return g.MaxSlowIncrease }, 0.08, 0.03,
	},
	ForcedLogins: {
		func(s Sample) Sides { return s.Logins },
		func(g Guard) uint64 { return g.MinLogins }, func(g Guard) float64 { return g.MaxForcedIncrease }, 0.25, 0.1,
	},
}

// enough tells whether a sample can be judged, and at 100 % whether there is a baseline to judge it by.
func (x dimension) enough(s Sample, g Guard) bool {
	sides := x.of(s)
	return sides.Cohort.Events >= x.least(g) && sides.Control.Events >= x.least(g)
}

// worse tells whether the cohort is worse off beyond any doubt.
func (x dimension) worse(s Sample, g Guard) bool {
	sides := x.of(s)
	return x.enough(s, g) && sides.Cohort.Rate()-sides.Control.Rate() > x.limit(g)+x.clear
}

// against is a sample with what the planner compares it with.
func against(s Sample, old State) Sample {
	if old.Percent == 100 {
		s.Control, s.Slow.Control, s.Logins.Control = old.Baseline.Events, old.Baseline.Slow, old.Baseline.Logins
	}
	return s
}

// learn judges the samples again.
func (r *truth) learn(w *world, d draft, action Action) {
	s := d.observed.Sample
	if s == nil {
		r.blind = r.blind || d.observed.Missing
		return
	}
	alone := r.badTicks > 0 && r.badTicks == r.ticks
	r.each(func(h *harm) {
		if h.now {
			h.last, h.gleaned = w.t, true // seen now, however long the interval was
		}
	})
	r.begin()
	if d.decision.Change != Unchanged && (action == Promote || action == Abort) {
		return // it began a new position, the sample is of the old one
	}
	r.blind, r.sampled = false, w.t
	r.suffer(w, d, alone)
	r.gathered = r.gathered.Plus(*s)
	g, compared := d.policy.Guard, against(r.gathered, d.old)
	if !dimensions[Errors].enough(compared, g) {
		return
	}
	r.passed = !dimensions[Errors].worse(compared, g) && !dimensions[Latency].worse(compared, g)
	held := Sample{Logins: r.gathered.Logins}
	if dimensions[ForcedLogins].enough(compared, g) {
		r.forced, held = dimensions[ForcedLogins].worse(compared, g), Sample{}
		r.forget(d.decision.State.LoginFailures == 0, d, ForcedLogins)
	}
	r.gathered = held
	r.forget(d.decision.State.Failures == 0, d, Errors, Latency)
}

// forget lets go of what was at work before a judgement that passed.
func (r *truth) forget(passed bool, d draft, causes ...Cause) {
	if !passed || d.decision.Change != Unchanged {
		return
	}
	for _, what := range causes {
		r.release[what].gleaned, r.backend[what].gleaned = false, false
	}
}

// suffer counts the intervals in which the guard could see that only the cohort is in trouble.
func (r *truth) suffer(w *world, d draft, alone bool) {
	x, main := dimensions[w.release.what], dimensions[Errors]
	compared := against(*d.observed.Sample, d.old)
	quiet := alone && d.old.Percent > 0 && !d.policy.Paused
	for _, h := range r.backend {
		quiet = quiet && !h.lately(w.t)
	}
	// At 100 % it takes a baseline that is not from an incident itself: until the cohort is well once, nobody knows better.
	if quiet && d.old.Percent == 100 {
		quiet = x.of(compared).Control.Rate() <= x.blunt && main.of(compared).Control.Rate() <= main.blunt
		if b := d.old.Baseline.Events; b.Events < d.policy.Guard.MinSamples {
			quiet = false
		}
	}
	switch {
	case !quiet, d.decision.Change == RolledBack:
		r.suffering = 0
	case main.enough(compared, d.policy.Guard) && x.enough(compared, d.policy.Guard):
		r.suffering++
	}
}

func (r *truth) promoted(w *world, d draft, action Action) {
	if d.decision.State.Position != d.old.Position+1 || d.decision.State.Percent != d.policy.Steps[d.old.Position].Percent {
		w.fail("promoted from step %d to %d", d.old.Position, d.decision.State.Position)
	}
	if action == Promote {
		w.counts["promoted by command"]++
		return
	}
	bake, manual := time.Duration(0), false
	if d.old.Position > 0 {
		bake, manual = d.policy.Steps[d.old.Position-1].Bake, d.policy.Steps[d.old.Position-1].Manual
	}
	switch {
	case r.held:
		w.fail("promoted while held")
	case d.policy.Paused:
		w.fail("promoted while paused")
	case d.now.Before(r.cooldown):
		w.fail("promoted while cooling down")
	case r.blind:
		w.fail("promoted while blind")
	case w.t.Sub(r.sampled) > time.Hour && !w.unlocked && action != Resume:
		w.fail("promoted by what was counted %s ago", w.t.Sub(r.sampled))
	case !r.passed:
		w.fail("promoted to %d %% without a judgement that passed", d.decision.State.Percent)
	case r.forced:
		w.fail("promoted to %d %% although users must log in again", d.decision.State.Percent)
	case manual:
		w.fail("promoted without the approval")
	case d.old.Position > 0 && d.now.Before(d.old.Since.Add(bake)):
		w.fail("promoted while it bakes")
	}
}

func (r *truth) rolledBack(w *world, d draft) {
	r.cooldown = d.now.Add(d.policy.Cooldown)
	back := d.decision.State.Rollback
	switch {
	case d.policy.Paused:
		w.fail("rolled back while paused")
	case d.decision.State.Percent >= d.old.Percent:
		w.fail("rolled back from %d to %d %%", d.old.Percent, d.decision.State.Percent)
	case back == nil || back.From != d.old.Percent || back.To != d.decision.State.Percent:
		w.fail("rolled back without evidence: %+v", back)
		return
	}
	what := back.Cause
	if what == Endpoints {
		what = Errors
	}
	release, known := r.release[what]
	switch {
	case !known:
		w.fail("rolled back from %d %% by nothing: %+v", d.old.Percent, back)
	case release.lately(w.t):
		w.counts["rolled back by "+string(back.Cause)]++
	case d.old.Percent == 100 && r.backend[what].lately(w.t):
		w.counts["rolled back from 100 % by an incident of everybody"]++ // there is no control any more
	default:
		w.fail("rolled back from %d %% although nothing is wrong with the cohort alone: %+v", d.old.Percent, back)
	}
}

func (r *truth) ended(w *world, d draft) {
	over := w.ending.MaxExtension >= 0 && !d.now.Before(w.ending.At.Add(w.ending.MaxExtension))
	share, known := d.census.Last.Share()
	current, counted := d.census.Current.Share()
	switch {
	case d.now.Before(w.ending.At):
		w.fail("sunset at %s", d.now)
	case over:
		w.counts["sunsets at the end of the extension"]++
	case !known || share >= w.ending.RequireBelow || counted && current >= w.ending.RequireBelow:
		w.fail("sunset with %.3f and %.3f of the traffic by sessions", share, current)
	}
}
