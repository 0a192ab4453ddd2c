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

	gathered Sample // at this position, since the last judgement
	passed   bool   // of everything but the forced logins
	forced   bool   // the last judgement of the forced logins failed for certain

	// Bad releases by what they make bad, and incidents of everybody.
	release, backend map[Cause]*harm
	badTicks, ticks  int // of this interval
	suffering        int // intervals in a row with events enough and only the cohort in trouble
}

// harm is when something bad was at work: last, in this interval, and in what was gathered since the last judgement that
// passed.
type harm struct {
	last         time.Time
	now, gleaned bool
}

func newHarms() map[Cause]*harm {
	return map[Cause]*harm{Errors: {}, Latency: {}, ForcedLogins: {}}
}

// lately tells whether it may explain what the guard has seen: the manager may have been away since.
func (h *harm) lately(now time.Time) bool { return h.gleaned || now.Sub(h.last) < day }

// tick lets it be at work for a moment.
func (h *harm) tick(now time.Time, on bool) {
	if on {
		h.last, h.now = now, true
	}
}

// tick notes what is at work.
func (r *truth) tick(w *world) {
	if r.release == nil {
		r.release, r.backend = newHarms(), newHarms()
	}
	r.ticks++
	bad := w.state.Percent > 0 && w.release.on(w.t)
	if bad {
		r.badTicks++
	}
	for what := range r.release {
		r.release[what].tick(w.t, bad && w.release.what == what)
		r.backend[what].tick(w.t, w.backend.on(w.t) && w.backend.what == what)
	}
}

// begin is where an interval begins.
func (r *truth) begin() {
	r.badTicks, r.ticks = 0, 0
	r.each(func(h *harm) { h.now = false })
}

func (r *truth) each(do func(*harm)) {
	for what := range r.release {
		do(r.release[what])
		do(r.backend[what])
	}
}

// anew is a new position: nothing is known about it.
func (r *truth) anew() {
	r.gathered, r.passed, r.forced, r.suffering = Sample{}, false, false, 0
	r.each(func(h *harm) { h.gleaned = false })
}

// lost is a status that was recovered from the documents: nobody moves, and everything is judged anew.
func (r *truth) lost(w *world) {
	r.anew()
	r.begun, r.blind, r.cooldown = -1, false, time.Time{}
	if r.carriedOut == nil {
		r.carriedOut = map[string]bool{}
	}
	r.carriedOut[w.command.ID] = true // it stays where somebody wrote it, and is not carried out again
	r.held, r.aborted = w.state.HeldBy != "", w.state.HeldBy == Aborted && w.state.Percent == 0
}

// judge holds a decision that is being written against what really happened.
func (r *truth) judge(w *world, d draft) {
	now, change := d.decision.State, d.decision.Change
	fresh := d.observed.Command.ID != "" && !r.carriedOut[d.observed.Command.ID]
	action := Action("")
	if fresh {
		action = d.observed.Command.Action
	}
	r.obey(w, d, fresh)
	r.learn(w, d, action)
	switch {
	case change == Unchanged && now.Percent != d.old.Percent:
		w.fail("%d → %d %% without a decision", d.old.Percent, now.Percent)
	case change != Unchanged && d.old.Percent != w.state.Percent:
		w.fail("a step from %d %% is taken at %d %%: it was taken before", d.old.Percent, w.state.Percent)
	case change != Unchanged && d.observed.Sample == nil && action == "":
		w.fail("%d → %d %% without data", d.old.Percent, now.Percent)
	case change == Promoted:
		r.promoted(w, d, action)
	case change == RolledBack:
		r.rolledBack(w, d)
	case change == Stopped && (action != Abort || now.Percent != 0):
		w.fail("stopped at %d %% by %+v", now.Percent, d.observed.Command)
	}
	if r.aborted && now.Percent != 0 {
		w.fail("%d %% after an abort", now.Percent)
	}
	if r.suffering > 4 {
		w.fail("a bad release in the cohort alone (%s) is not rolled back after %d intervals at %d %%: %+v", w.release.what, r.suffering, d.old.Percent, now)
	}
	if change != Unchanged {
		r.anew()
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
