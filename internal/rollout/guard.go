package rollout

import "math"

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
	// MaxEndpointFailures is the share of refreshes and exchanges that may fail beyond the control's rate of failures. Only
	// the cohort has them, so this limit is absolute; what fails for everybody does not count against it. 0: any share.
	MaxEndpointFailures float64
}

// Counts are events and how many of them failed in a way that the user did not cause: an error of the server, a login
// that was forced.
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

// Sample is what was counted in the same time on both sides. Only events that both sides have are in Cohort and
// Control; Endpoints are the refreshes and exchanges.
type Sample struct {
	Cohort    Counts `json:"cohort"`
	Control   Counts `json:"control"`
	Endpoints Counts `json:"endpoints"`
}

// Plus adds two samples.
func (s Sample) Plus(other Sample) Sample {
	return Sample{Cohort: s.Cohort.Plus(other.Cohort), Control: s.Control.Plus(other.Control), Endpoints: s.Endpoints.Plus(other.Endpoints)}
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

// confidence is the quantile of the normal distribution for 99 %, one-sided.
const confidence = 2.326

// Judge compares. It fails only what is worse by more than chance explains: the lower end of the 99 % interval of the
// difference lies above MaxIncrease.
func (g Guard) Judge(s Sample) Verdict {
	if g.MinSamples == 0 || s.Cohort.Events < g.MinSamples || s.Control.Events < g.MinSamples {
		return Inconclusive
	}
	least := leastIncrease(s.Cohort, s.Control)
	switch {
	case g.FastFail > 0 && least > g.FastFail:
		return FailedFast
	case least > g.MaxIncrease:
		return Failed
	case g.MaxEndpointFailures > 0 && s.Endpoints.Events > 0 && leastIncrease(s.Endpoints, s.Control) > g.MaxEndpointFailures:
		return Failed
	default:
		return Passed
	}
}

// JudgeSplit is [Guard.Judge] before anybody got anything: the two sides must not differ in either direction.
func (g Guard) JudgeSplit(s Sample) Verdict {
	s.Endpoints = Counts{}
	verdict := g.Judge(s)
	if verdict == Passed {
		s.Cohort, s.Control = s.Control, s.Cohort
		verdict = g.Judge(s)
	}
	if verdict == Inconclusive || verdict == Passed {
		return verdict
	}
	return Biased
}

// leastIncrease is the lower end of the interval of the difference of two rates (Newcombe 1998, method 10): sound for
// rates near zero, where the textbook's interval is not.
func leastIncrease(cohort, control Counts) float64 {
	low, _ := interval(cohort)
	_, high := interval(control)
	p1, p2 := cohort.Rate(), control.Rate()
	return p1 - p2 - math.Hypot(p1-low, high-p2)
}

// interval is Wilson's score interval of a rate (Wilson 1927).
func interval(c Counts) (low, high float64) {
	if c.Events == 0 {
		return 0, 1
	}
	n, p := float64(c.Events), c.Rate()
	const z2 = confidence * confidence
	middle := (p + z2/(2*n)) / (1 + z2/n)
	half := confidence / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}
