package rollout_test

import (
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// draft is a decision of one manager that is not written yet, with what it was made from.
type draft struct {
	version  int
	now      time.Time
	old      State
	observed Observed
	decision Decision
	census   Census
	ended    bool
	policy   Policy
}

// now is what the manager's clock says.
func (w *world) now() time.Time { return w.t.Add(w.leap) }

// reconcile is one run of the manager. It may die before it writes, and another may write before it.
func (w *world) reconcile() {
	if w.published != w.state.Percent || w.publishedEnd != w.rules.Schedule.SunsetReached {
		w.publish() // the one before was killed before it got so far
	}
	if w.rules.Schedule.SunsetReached {
		return // there is nothing to steer any more
	}
	d := w.decide()
	switch w.rng.IntN(25) {
	case 0:
		w.counts["killed before the write"]++ // the next run decides again
	case 1:
		w.stale = append(w.stale, d) // a slow one: others are faster
	default:
		w.write(d)
	}
	if len(w.stale) > 0 && w.chance(5) {
		late := w.stale[0]
		w.stale = w.stale[1:]
		w.write(late)
	}
}

func (w *world) decide() draft {
	d := draft{version: w.version, now: w.now(), old: w.state, census: w.census, policy: w.policy}
	d.observed.Command = w.command // it stays where somebody wrote it
	switch {
	case w.t.Before(w.dark):
		d.observed.Missing = true
	case w.truth.begun != w.version: // a manager that starts, or a new step: an interval begins here
		w.truth.begun = w.version
		w.truth.begin()
		w.pending, w.sessions, w.tokens = Sample{}, 0, 0
	default:
		sample := w.pending
		d.observed.Sample = &sample
		d.census = w.census.Count(d.now, w.sessions, w.tokens)
	}
	d.decision = w.next(d.now, w.policy, w.state, d.observed)
	again := w.next(d.now, w.policy, w.state, d.observed)
	if again.Change != d.decision.Change || again.State.Percent != d.decision.State.Percent || again.Waiting != d.decision.Waiting {
		w.fail("the same question has two answers: %+v and %+v", d.decision, again)
	}
	if d.ended, _ = w.reached(w.ending, d.now, d.census); d.ended && w.policy.Paused {
		d.ended = false
	}
	return d
}

// write is the one commit point.
func (w *world) write(d draft) {
	if d.version != w.version && !w.unlocked {
		w.counts["conflicts"]++
		return
	}
	if w.rules.Schedule.SunsetReached {
		return
	}
	w.truth.judge(w, d)
	w.version++
	w.truth.begun = w.version
	w.state, w.census = d.decision.State, d.census
	if d.observed.Sample != nil {
		w.pending, w.sessions, w.tokens = Sample{}, 0, 0
	}
	if d.ended {
		w.rules.Schedule.SunsetReached = true
		w.log("sunset")
		w.counts["sunsets"]++
	}
	if d.decision.Change != Unchanged {
		w.log("%s: %d → %d %% (waiting %q)", d.decision.Change, d.old.Percent, w.state.Percent, d.decision.Waiting)
		w.counts[string(d.decision.Change)]++
		w.truth.begun = -1 // what was counted before is of another step
		w.settled(d.old.Percent)
	}
	switch {
	case !d.ended && d.decision.Change == Unchanged:
	case w.chance(6):
		w.counts["killed after the write"]++
		w.managerBack = w.t.Add(w.span(0, 2*time.Hour))
	default:
		w.publish()
	}
	if w.chance(50) {
		w.truth.begun = -1 // it restarts
	}
}

// settled looks at everybody after the percentage has changed: whom it adds, whom it takes away, and that nobody is left
// with nothing.
func (w *world) settled(from int) {
	old, next, in := w.rules.Cohort, w.rules.Cohort, 0
	old.Percent, next.Percent = from, w.state.Percent
	for i := range w.users {
		u := &w.users[i]
		was, is := old.Has(u.name), next.Has(u.name)
		if is {
			in++
		}
		if was != is && is != (w.state.Percent > from) {
			w.fail("%d → %d %% moves %s the wrong way", from, w.state.Percent, u.name)
		}
		if !u.hasFamily(w.t) && !u.hasSession(w.t) && w.t.Before(u.ends) {
			w.fail("%d → %d %% logs %s out", from, w.state.Percent, u.name)
		}
	}
	n, p := float64(len(w.users)), float64(w.state.Percent)/100
	if off := float64(in) - n*p; off*off > 25*n*p*(1-p)+16 { // five standard deviations, and those who are named
		w.fail("%d of %d users are in the cohort at %d %%", in, len(w.users), w.state.Percent)
	}
}
