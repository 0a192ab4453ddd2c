package rollout_test

import (
	"fmt"
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// trouble is an incident that lasts. The zero value is over.
type trouble struct {
	until time.Time
	what  Cause
	rate  float64 // by which the share of what is bad grows
}

func (t trouble) on(now time.Time) bool { return now.Before(t.until) }

// adds is by how much it makes the share of something worse.
func (t trouble) adds(now time.Time, what Cause) float64 {
	if t.on(now) && t.what == what {
		return t.rate
	}
	return 0
}

// newTrouble is of any sort, and bad enough to be seen by the fewest events that are judged.
func (w *world) newTrouble(least, most time.Duration) trouble {
	t := trouble{until: w.t.Add(w.span(least, most)), what: []Cause{Errors, Latency, ForcedLogins}[w.rng.IntN(3)], rate: 0.1 + 0.4*w.rng.Float64()}
	if t.what == ForcedLogins {
		t.rate += 0.3
	}
	return t
}

// upset lets things happen.
func (w *world) upset() {
	if w.rare(8 * day) {
		w.release = w.newTrouble(time.Hour, 30*time.Hour)
		w.log("a bad release in the cohort: %s %.2f until %s", w.release.what, w.release.rate, w.release.until)
	}
	if w.rare(5 * day) {
		w.backend = w.newTrouble(10*time.Minute, 20*time.Hour)
		w.log("an incident of everybody: %s %.2f until %s", w.backend.what, w.backend.rate, w.backend.until)
	}
	if w.rare(4 * day) {
		w.dark = w.t.Add(w.span(10*time.Minute, 20*time.Hour))
		w.log("the counters cannot be read until %s", w.dark)
	}
	if w.rare(6 * day) {
		w.managerBack = w.t.Add(w.span(time.Hour, 40*time.Hour))
		w.truth.begun = -1 // what it had in mind is lost
		w.log("the manager is down until %s", w.managerBack)
	}
	if w.rare(9 * day) {
		w.leap, w.leapUntil = w.span(-20*time.Hour, 20*time.Hour), w.t.Add(w.span(tick, 3*time.Hour))
		w.log("the manager's clock leaps by %s until %s", w.leap, w.leapUntil)
	} else if w.t.After(w.leapUntil) {
		w.leap = 0
	}
	if w.rare(12 * day) {
		w.policy.Paused = true
	} else if w.policy.Paused && w.rare(day) {
		w.policy.Paused = false
	}
	if w.rare(6 * day) {
		w.replicas[w.rng.IntN(len(w.replicas))].cutOff = w.t.Add(w.span(time.Hour, 30*time.Hour))
	}
	if w.rare(25 * day) {
		w.lose()
	}
	if w.rare(5*day) || w.state.HeldBy != "" && w.rare(2*day) || w.rare(2*day) && w.state.Position == 1 {
		w.commands++
		action := []Action{Promote, Promote, Hold, Resume, Resume, Abort}[w.rng.IntN(6)]
		w.command = Command{ID: fmt.Sprint("command ", w.commands), Action: action}
		w.log("%s: %s", w.command.ID, action)
	}
}

// lose takes the status away: a backup without it was restored. The manager goes on from the newest document, as package
// controllers does: the percentage stays, the step bakes and is judged anew, and no command is carried out twice.
func (w *world) lose() {
	if w.rules.Schedule.SunsetReached || w.version == 0 {
		return
	}
	w.version++
	old := w.state
	w.state = State{Since: w.now(), Percent: w.published, Command: w.command.ID}
	switch w.command.Action {
	case Hold:
		w.state.HeldBy = Held
	case Abort:
		w.state.HeldBy = Aborted
	case Promote, Resume:
	}
	for i, step := range w.policy.Steps {
		if step.Percent <= w.published {
			w.state.Position = i + 1
		}
	}
	w.census = Census{}
	w.counts["statuses lost"]++
	w.log("the status is lost at %d %%, the documents say %d %%", old.Percent, w.published)
	w.truth.lost(w)
	w.publish() // its documents are made anew: nobody is moved by them
}
