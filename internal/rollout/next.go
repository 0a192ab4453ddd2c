package rollout

import "time"

// Observed is what is new since the last decision.
type Observed struct {
	// Sample is what one more guard interval counted; nil between two intervals. Missing is that an interval has passed
	// whose counters could not be read: it tells nothing, in neither direction.
	Sample  *Sample
	Missing bool
	// Command is what somebody asks, possibly long ago.
	Command Command
}

// Decision is the next state, and why.
type Decision struct {
	State  State
	Change Change
	// Waiting says why there is no promotion at this moment.
	Waiting Reason
	// After is how long until time alone may change the answer; 0: it cannot.
	After time.Duration
}

// Next decides. The caller writes the state, guarded by the version it was read with, before anybody acts on it: a
// caller that dies anywhere asks again and gets the same answer, so no user is moved twice.
func Next(now time.Time, p Policy, s State, o Observed) Decision {
	if s.Since.IsZero() {
		s.Since = now
	}
	s.Position = min(s.Position, len(p.Steps)) // steps were removed
	d := Decision{State: s}
	fresh := o.Sample != nil
	if o.Command.ID != "" && o.Command.ID != s.Command {
		fresh = fresh || o.Command.Action == Resume
		d.command(now, p, o.Command)
		if d.Change != Unchanged {
			return d.wait(now, p)
		}
	}
	if o.Sample != nil {
		d.judge(now, p, *o.Sample)
	}
	if o.Sample != nil || o.Missing {
		d.State.Blind = o.Missing
	}
	// Only an interval that was just counted promotes, or somebody who says so now: a judgement that passed before a manager
	// was away for hours says nothing about now.
	if d.Change == Unchanged && fresh && d.waiting(now, p) == "" {
		d.promote(now, p)
	}
	return d.wait(now, p)
}

func (d *Decision) command(now time.Time, p Policy, c Command) {
	s := &d.State
	s.Command = c.ID
	switch c.Action {
	case Hold:
		s.HeldBy = Held
	case Resume:
		s.HeldBy, s.CooldownUntil = "", time.Time{}
		if s.Percent == 0 {
			s.Failures, s.LoginFailures, s.Cause = 0, 0, "" // the split is judged anew
		}
	case Promote:
		s.HeldBy, s.CooldownUntil = "", time.Time{}
		if s.Position < len(p.Steps) {
			d.promote(now, p)
		}
	case Abort:
		if s.Percent > 0 {
			d.Change = Stopped
		}
		d.moveTo(now, p, 0)
		s.HeldBy = Aborted
	}
}

// judge adds a sample and, once there is enough, draws the conclusion. Forced logins are judged together with the rest,
// and wait for the next time if there are too few of them.
func (d *Decision) judge(now time.Time, p Policy, sample Sample) {
	s := &d.State
	s.Gathered = s.Gathered.Plus(sample)
	compared, none := s.Gathered, s.NoBaseline(p.Guard)
	if s.Percent >= 100 {
		compared = compared.against(s.Baseline) // everybody is in the cohort
	}
	j := p.Guard.Judge(compared)
	switch {
	case s.Percent == 0:
		j = p.Guard.JudgeSplit(compared)
	case none:
		j = p.Guard.JudgeAlone(compared)
	}
	if j.Verdict == Inconclusive {
		return
	}
	waiting := Sample{}
	missing := s.Percent >= 100 && p.Guard.MinLogins > 0 && s.Baseline.Logins.Events < p.Guard.MinLogins
	if missing && compared.Logins.Cohort.Events >= p.Guard.MinLogins {
		s.Baseline.Logins = compared.Logins.Cohort // judged from the next ones on
	} else if j.Logins == Inconclusive {
		waiting.Logins, compared.Logins = s.Gathered.Logins, s.Judged.Logins
	}
	s.Judged, s.Gathered = compared, waiting
	d.conclude(j)
	switch {
	case s.Percent < 100 || !s.Passed:
	case none:
		s.Baseline.Events, s.Baseline.Slow = compared.Cohort, compared.Slow.Cohort
	default:
		s.Baseline = p.Guard.better(s.Baseline, compared.baseline())
		if s.Baseline.Slow.Events < p.Guard.MinSamples { // nobody measured before
			s.Baseline.Slow = compared.Slow.Cohort
		}
	}
	enough := max(p.Guard.ConsecutiveFailures, 1)
	if s.Percent > 0 && !p.Paused && (j.Verdict == FailedFast || s.Failures >= enough || s.LoginFailures >= enough) {
		d.rollBack(now, p, j)
	}
}

// conclude counts the failures. Before anybody got anything there are none: what differs then holds the rollout.
func (d *Decision) conclude(j Judgement) {
	s := &d.State
	count := func(failures *int, v Verdict) {
		switch v {
		case Inconclusive: // what was said last stands
		case Passed:
			*failures = 0
		default:
			*failures++
		}
	}
	count(&s.Failures, j.Verdict)
	count(&s.LoginFailures, j.Logins)
	switch {
	case s.Failures > 0:
		s.Cause = j.Cause
	case s.LoginFailures > 0:
		s.Cause = ForcedLogins
	default:
		s.Cause = ""
	}
	s.Passed = s.Cause == ""
	switch {
	case s.Passed && s.HeldBy == UnevenSplit:
		s.HeldBy = ""
	case !s.Passed && s.Percent == 0 && s.HeldBy == "":
		s.HeldBy = UnevenSplit
	}
}

func (d *Decision) rollBack(now time.Time, p Policy, j Judgement) {
	s := &d.State
	back := Rollback{At: now, From: s.Percent, Verdict: j.Verdict, Cause: s.Cause, Sample: s.Judged}
	if j.Verdict != FailedFast && s.Failures < max(p.Guard.ConsecutiveFailures, 1) {
		back.Verdict, back.Cause = Failed, ForcedLogins
	}
	to := 0
	if !p.ToStart {
		to = max(s.Position-1, 0)
	}
	d.moveTo(now, p, to)
	back.To = s.Percent
	s.Rollback, s.CooldownUntil = &back, now.Add(p.Cooldown)
	d.Change = RolledBack
}

func (d *Decision) promote(now time.Time, p Policy) {
	s := &d.State
	if s.Passed && s.Percent > 0 { // what failed is nothing to compare with
		s.Baseline = s.Judged.baseline().or(s.Baseline)
	}
	d.moveTo(now, p, s.Position+1)
	d.Change = Promoted
}

// moveTo begins a position anew.
func (d *Decision) moveTo(now time.Time, p Policy, position int) {
	s := &d.State
	s.Position, s.Since, s.Gathered, s.Passed, s.Failures, s.LoginFailures, s.Cause = position, now, Sample{}, false, 0, 0, ""
	s.Judged.Logins = Sides{}
	s.Percent = 0
	if position > 0 {
		s.Percent = p.Steps[position-1].Percent
	}
}

// waiting says what stands in the way of a promotion; empty if nothing does.
func (d *Decision) waiting(now time.Time, p Policy) Reason {
	s := &d.State
	step := Step{} // before the first, nothing bakes
	if s.Position > 0 {
		step = p.Steps[s.Position-1]
	}
	switch {
	case s.Position >= len(p.Steps):
		return Complete
	case p.Paused:
		return Paused
	case s.HeldBy != "":
		return s.HeldBy
	case now.Before(s.CooldownUntil):
		return CoolingDown
	case s.Failures > 0 || s.LoginFailures > 0:
		return Unhealthy
	case s.Position > 0 && now.Before(s.Since.Add(step.Bake)): // a clock that went back bakes nothing at the start
		return Baking
	case s.Blind:
		return NoData
	case !s.Passed:
		return Watching
	case step.Manual:
		return AwaitingApproval
	default:
		return ""
	}
}

// wait fills in what there is to wait for.
func (d *Decision) wait(now time.Time, p Policy) Decision {
	d.Waiting = d.waiting(now, p)
	switch d.Waiting {
	case "":
		d.Waiting = Watching // for the interval that is being counted
	case Baking:
		d.After = d.State.Since.Add(p.Steps[d.State.Position-1].Bake).Sub(now)
	case CoolingDown:
		d.After = d.State.CooldownUntil.Sub(now)
	default: // not for time alone
	}
	return *d
}
