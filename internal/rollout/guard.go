package rollout

// Guard says when the cohort is worse off than the others. The zero value never judges: it has no MinSamples to reach.
type Guard struct {
	// MinSamples is how many events each side must have before it is judged.
	MinSamples uint64
	// MaxIncrease is by how much the share of failures may be higher in the cohort, as a fraction: 0.005 is half a point.
	MaxIncrease float64
	// ConsecutiveFailures is how many judgements in a row must fail before the step is taken back.
	ConsecutiveFailures int
	// FastFail is the increase at which one failure is enough; 0: none is.
	FastFail float64
	// MaxEndpointFailures is the share of refreshes and exchanges that may fail beyond the control's rate of failures: only
	// the cohort has them, and what fails for everybody does not count against them. 0: any share.
	MaxEndpointFailures float64
	// MaxSlowIncrease is by how much the share of slow events may be higher in the cohort, as a fraction.
	MaxSlowIncrease float64
	// MinLogins is how many logins each side must have before forced ones are judged; 0: they never are. MaxForcedIncrease
	// is by how much their share may be higher in the cohort, as a fraction.
	MinLogins         uint64
	MaxForcedIncrease float64
}

// Counts are events and how many of them were bad in a way that the user did not cause: an error of the server, a slow
// answer, a login that was forced.
type Counts struct {
	Events   uint64 `json:"events"`
	Failures uint64 `json:"failures"`
}

// Plus adds two counts.
func (c Counts) Plus(other Counts) Counts {
	return Counts{Events: c.Events + other.Events, Failures: c.Failures + other.Failures}
}

// Rate is the share of failures, 0 where there are no events.
func (c Counts) Rate() float64 {
	if c.Events == 0 {
		return 0
	}
	return float64(c.Failures) / float64(c.Events)
}

// Sides are the same events of both sides.
type Sides struct {
	Cohort  Counts `json:"cohort"`
	Control Counts `json:"control"`
}

// Plus adds both sides.
func (s Sides) Plus(other Sides) Sides {
	return Sides{Cohort: s.Cohort.Plus(other.Cohort), Control: s.Control.Plus(other.Control)}
}

func (s Sides) swapped() Sides { return Sides{Cohort: s.Control, Control: s.Cohort} }

// enough tells whether both sides have so many events. No events are never enough.
func (s Sides) enough(least uint64) bool {
	return least > 0 && s.Cohort.Events >= least && s.Control.Events >= least
}

// Sample is what was counted in the same time on both sides. Only events that both sides have are in Cohort and
// Control; Endpoints are the refreshes and exchanges.
type Sample struct {
	Cohort    Counts `json:"cohort"`
	Control   Counts `json:"control"`
	Endpoints Counts `json:"endpoints"`
	// Slow are the events of Cohort and Control whose time is known, and those of them that took too long.
	Slow Sides `json:"slow"`
	// Logins are the logins, and those of them that were forced: by users who had just been given a credential.
	Logins Sides `json:"logins"`
}

// Plus adds two samples.
func (s Sample) Plus(other Sample) Sample {
	return Sample{
		Cohort: s.Cohort.Plus(other.Cohort), Control: s.Control.Plus(other.Control), Endpoints: s.Endpoints.Plus(other.Endpoints),
		Slow: s.Slow.Plus(other.Slow), Logins: s.Logins.Plus(other.Logins),
	}
}

// Baseline is what a step is compared with when there is no control any more: the cohort's counts of the step before.
type Baseline struct {
	Events Counts `json:"events"`
	Slow   Counts `json:"slow"`
	Logins Counts `json:"logins"`
}

// baseline is what the cohort of a sample leaves for the next step.
func (s Sample) baseline() Baseline {
	return Baseline{Events: s.Cohort, Slow: s.Slow.Cohort, Logins: s.Logins.Cohort}
}

// or takes from another what was not counted.
func (b Baseline) or(other Baseline) Baseline {
	if b.Slow.Events == 0 {
		b.Slow = other.Slow
	}
	if b.Logins.Events == 0 {
		b.Logins = other.Logins
	}
	return b
}

// against replaces the control.
func (s Sample) against(b Baseline) Sample {
	s.Control, s.Slow.Control, s.Logins.Control = b.Events, b.Slow, b.Logins
	return s
}

// Verdict is what a sample says. The zero value says nothing.
type Verdict string

// The verdicts.
const (
	// Inconclusive: too few events on one side.
	Inconclusive Verdict = ""
	// Passed: the cohort is not worse off, as far as this many events can tell.
	Passed Verdict = "Passed"
	// Failed: the cohort is worse off by more than chance and MaxIncrease explain.
	Failed Verdict = "Failed"
	// FailedFast: by so much that once is enough.
	FailedFast Verdict = "FailedFast"
	// Biased: the cohort is better off before it got anything, or worse: the buckets do not split the users evenly.
	Biased Verdict = "Biased"
)

// Cause is the comparison that a verdict comes from. The zero value is none: nothing failed.
type Cause string

// The causes, in the order in which the first that fails is named.
const (
	// Errors: decisions and logins failed. Endpoints: refreshes and exchanges did.
	Errors    Cause = "Errors"
	Endpoints Cause = "Endpoints"
	// Latency: too many decisions and logins were slow.
	Latency Cause = "Latency"
	// ForcedLogins: too many users had to log in again.
	ForcedLogins Cause = "ForcedLogins"
)

// Judgement is what a sample says. The zero value says nothing.
type Judgement struct {
	// Verdict is about everything but the forced logins, Cause where it comes from.
	Verdict Verdict
	Cause   Cause
	// Logins is the verdict about the forced logins alone: there are fewer logins than other events, so they are judged
	// less often.
	Logins Verdict
}

// Judge compares. It fails only what is worse by more than chance explains: the lower end of the 99 % interval of the
// difference lies above the limit. Without MinSamples decisions and logins on each side it says nothing at all; a
// comparison that has too few events of its own, or none, decides nothing.
func (g Guard) Judge(s Sample) Judgement {
	if !(Sides{s.Cohort, s.Control}).enough(g.MinSamples) {
		return Judgement{}
	}
	j := Judgement{Verdict: Passed, Logins: g.judgeLogins(s.Logins)}
	least := leastIncrease(s.Cohort, s.Control)
	switch {
	case g.FastFail > 0 && least > g.FastFail:
		j.Verdict, j.Cause = FailedFast, Errors
	case least > g.MaxIncrease:
		j.Verdict, j.Cause = Failed, Errors
	case g.MaxEndpointFailures > 0 && s.Endpoints.Events > 0 && leastIncrease(s.Endpoints, s.Control) > g.MaxEndpointFailures:
		j.Verdict, j.Cause = Failed, Endpoints
	case s.Slow.enough(g.MinSamples) && leastIncrease(s.Slow.Cohort, s.Slow.Control) > g.MaxSlowIncrease:
		j.Verdict, j.Cause = Failed, Latency
	}
	return j
}

func (g Guard) judgeLogins(logins Sides) Verdict {
	switch {
	case !logins.enough(g.MinLogins):
		return Inconclusive
	case leastIncrease(logins.Cohort, logins.Control) > g.MaxForcedIncrease:
		return Failed
	default:
		return Passed
	}
}

// JudgeSplit is [Guard.Judge] before anybody got anything: the two sides must not differ in either direction.
func (g Guard) JudgeSplit(s Sample) Judgement {
	s.Endpoints = Counts{}
	j := g.Judge(s)
	s.Cohort, s.Control, s.Slow, s.Logins = s.Control, s.Cohort, s.Slow.swapped(), s.Logins.swapped()
	other := g.Judge(s)
	if j.Verdict == Passed {
		j.Verdict, j.Cause = other.Verdict, other.Cause
	}
	if j.Logins == Passed {
		j.Logins = other.Logins
	}
	biased := func(v *Verdict) {
		if *v != Inconclusive && *v != Passed {
			*v = Biased
		}
	}
	biased(&j.Verdict)
	biased(&j.Logins)
	return j
}

// JudgeAlone is [Guard.Judge] where there is neither a control nor a baseline: MaxIncrease and MaxEndpointFailures hold as
// if nothing ever failed elsewhere. That may be an incident of everybody, so no failure is a fast one. How many events are
// slow, or logins forced, on a good day nobody knows: they are not judged.
func (g Guard) JudgeAlone(s Sample) Judgement {
	s.Control, s.Slow, s.Logins = faultless, Sides{}, Sides{}
	j := g.Judge(s)
	if j.Verdict == FailedFast {
		j.Verdict = Failed
	}
	return j
}

// faultless is so many events without a failure that nothing is left to chance.
var faultless = Counts{Events: 1 << 50}

// better is a baseline with the rates of b where they are lower than the old ones by more than chance and the limits
// explain: the old ones are from an incident of everybody, which is over.
func (g Guard) better(old, b Baseline) Baseline {
	lower := func(old *Counts, now Counts, limit float64, least uint64) {
		if now.Events >= max(least, 1) && leastIncrease(*old, now) > limit {
			*old = now
		}
	}
	lower(&old.Events, b.Events, g.MaxIncrease, g.MinSamples)
	lower(&old.Slow, b.Slow, g.MaxSlowIncrease, g.MinSamples)
	lower(&old.Logins, b.Logins, g.MaxForcedIncrease, g.MinLogins)
	return old
}
