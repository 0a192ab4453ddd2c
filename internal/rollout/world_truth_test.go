package rollout_test

import (
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// truth is what really happened, kept apart from the planner's state: it judges the decisions.
type truth struct {
	begun int // the version at which the manager's interval begins

	held, aborted bool
	cooldown      time.Time // by the manager's clock, as it was
	carriedOut    map[string]bool
	blind         bool
	sampled       time.Time // when a sample was last written, true time
	baseline      bool      // some step was left after its guard had passed

	gathered Sample // at this position, since the last judgement
	passed   bool
	failing  int // failed judgements in a row

	// A bad release: when it was last at work, whether it was during all of the interval, and how many intervals in a row
	// had samples enough and only its users failing.
	bad          time.Time
	badTicks     int
	ticksCounted int
	evidence     bool // some of what was gathered since the last judgement that passed
	suffering    int
	// When an incident of everybody was last at work.
	everybody      time.Time
	everybodyTicks int
}

func (r *truth) ticks(w *world, bad bool) {
	r.ticksCounted++
	if bad {
		r.bad = w.t
		r.badTicks++
	}
	if w.backend.on(w.t) {
		r.everybody = w.t
		r.everybodyTicks++
	}
}

// begin is where an interval begins.
func (r *truth) begin() { r.badTicks, r.everybodyTicks, r.ticksCounted = 0, 0, 0 }

// judge holds a decision that is being written against what really happened.
func (r *truth) judge(w *world, d draft) {
	now, next := d.decision.State, d.decision.Change
	fresh := d.observed.Command.ID != "" && !r.carriedOut[d.observed.Command.ID]
	r.obey(w, d, fresh)
	r.learn(w, d, fresh)
	switch {
	case next == Unchanged && now.Percent != d.old.Percent:
		w.fail("%d → %d %% without a decision", d.old.Percent, now.Percent)
	case next == Promoted:
		r.promoted(w, d, fresh && d.observed.Command.Action == Promote, fresh && d.observed.Command.Action == Resume)
	case next == RolledBack:
		r.rolledBack(w, d)
	case next == Stopped && (!fresh || d.observed.Command.Action != Abort || now.Percent != 0):
		w.fail("stopped at %d %% by %+v", now.Percent, d.observed.Command)
	}
	if r.aborted && now.Percent != 0 {
		w.fail("%d %% after an abort", now.Percent)
	}
	if limit := 4; r.suffering > limit {
		w.fail("a bad release in the cohort alone is not rolled back after %d intervals at %d %%: %+v", r.suffering, d.old.Percent, now)
	}
	if next != Unchanged {
		r.gathered, r.passed, r.failing, r.suffering, r.evidence = Sample{}, false, 0, 0, false
	}
	if d.ended {
		r.ended(w, d)
	}
}

// obey keeps what somebody commanded.
func (r *truth) obey(w *world, d draft, fresh bool) {
	if !fresh {
		return
	}
	if r.carriedOut == nil {
		r.carriedOut = map[string]bool{}
	}
	r.carriedOut[d.observed.Command.ID] = true
	w.counts["command "+string(d.observed.Command.Action)]++
	switch d.observed.Command.Action {
	case Promote, Resume:
		r.held, r.aborted, r.cooldown = false, false, time.Time{}
	case Hold:
		r.held, r.aborted = true, false
	case Abort:
		r.held, r.aborted = true, true
	}
}

// learn judges the samples again.
func (r *truth) learn(w *world, d draft, fresh bool) {
	s := d.observed.Sample
	if s == nil {
		r.blind = r.blind || d.observed.Missing
		return
	}
	bad := r.badTicks > 0 && r.badTicks == r.ticksCounted
	if r.badTicks > 0 {
		r.bad, r.evidence = w.t, true // seen now, however long the interval was
	}
	if r.everybodyTicks > 0 {
		r.everybody = w.t
	}
	r.begin()
	if a := d.observed.Command.Action; fresh && d.decision.Change != Unchanged && (a == Promote || a == Abort) {
		return // it began a new position, the sample is of the old one
	}
	r.blind, r.sampled = false, w.t
	enough := func(c Counts) bool { return c.Events >= d.policy.Guard.MinSamples }
	alone := bad && !d.policy.Paused && w.t.Sub(r.everybody) > day
	// At 100 % it takes a baseline that is not from an incident itself: until the cohort is well once, nobody knows better.
	blunt := !r.baseline || !enough(d.old.Baseline.Events) || d.old.Baseline.Events.Rate() > 0.02
	switch {
	case !alone || d.old.Percent == 100 && blunt || d.old.Percent == 0:
		r.suffering = 0
	case enough(s.Cohort) && (enough(s.Control) || d.old.Percent == 100):
		r.suffering++
	}
	if d.decision.Change == RolledBack {
		r.suffering = 0
	}
	r.gathered = r.gathered.Plus(*s)
	compared := r.gathered
	if d.old.Percent == 100 {
		compared.Control = d.old.Baseline.Events
	}
	if enough(compared.Cohort) && enough(compared.Control) {
		worse := compared.Cohort.Rate() - compared.Control.Rate()
		r.passed = worse < d.policy.Guard.MaxIncrease+0.08
		r.failing++
		if r.passed {
			r.failing = 0
		}
		if d.decision.State.Failures == 0 && d.decision.Change == Unchanged {
			r.evidence = false
		}
		r.gathered = Sample{}
	}
}

func (r *truth) promoted(w *world, d draft, commanded, resumed bool) {
	if d.decision.State.Position != d.old.Position+1 || d.decision.State.Percent != d.policy.Steps[d.old.Position].Percent {
		w.fail("promoted from step %d to %d", d.old.Position, d.decision.State.Position)
	}
	if d.old.Percent > 0 && r.passed && r.failing == 0 {
		r.baseline = true
	}
	if commanded {
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
	case w.t.Sub(r.sampled) > time.Hour && !w.unlocked && !resumed:
		w.fail("promoted by what was counted %s ago", w.t.Sub(r.sampled))
	case !r.passed:
		w.fail("promoted to %d %% without a judgement that passed", d.decision.State.Percent)
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
	case w.t.Sub(r.bad) < day, r.evidence: // the manager may have been away since
	case d.old.Percent == 100 && w.t.Sub(r.everybody) < day:
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
