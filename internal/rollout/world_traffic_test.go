package rollout_test

import (
	"math"
	"time"

	. "github.com/keyturn/keyturn/internal/rollout"
)

// What is bad on a good day, and the share of the events that are logins.
const (
	fewErrors  = 0.001
	fewSlow    = 0.003
	fewForced  = 0.03
	loginShare = 0.02
)

// poisson draws how often something happens that happens so often on average.
func (w *world) poisson(mean float64) uint64 {
	if mean > 40 {
		return uint64(max(0, math.Round(mean+math.Sqrt(mean)*w.rng.NormFloat64())))
	}
	n, p := uint64(0), w.rng.Float64()
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= w.rng.Float64()
	}
	return n
}

// failures draws how many of n are bad.
func (w *world) failures(n uint64, rate float64) uint64 {
	if mean := float64(n) * rate; mean > 40 {
		return min(n, uint64(max(0, math.Round(mean+math.Sqrt(mean*(1-rate))*w.rng.NormFloat64()))))
	}
	return min(n, w.poisson(float64(n)*rate))
}

func (w *world) draw(events, rate float64) Counts {
	n := w.poisson(events)
	return Counts{Events: n, Failures: w.failures(n, rate)}
}

// count lets a tick of traffic pass. What a replica with another percentage counts is of no use to anybody.
func (w *world) count() {
	watched, loaded := w.state.Percent, 0.0
	if watched == 0 {
		watched = w.policy.Steps[0].Percent
	}
	for _, r := range w.replicas {
		if r.rules.Cohort.Percent == w.state.Percent {
			loaded += 1 / float64(len(w.replicas))
		}
	}
	hour := float64(w.t.Sub(start)%day) / float64(time.Hour)
	events := loaded * w.traffic * (0.55 - 0.45*math.Cos(hour/24*2*math.Pi))
	share := float64(watched) / 100
	// rates are the shares of what is bad in the cohort and beside it.
	rates := func(what Cause, usual float64) (cohort, control float64) {
		control = usual + w.backend.adds(w.t, what)
		if cohort = control; w.state.Percent > 0 {
			cohort += w.release.adds(w.t, what)
		}
		return min(1, cohort), min(1, control)
	}
	bad, usual := rates(Errors, fewErrors)
	sample := Sample{Cohort: w.draw(events*share, bad), Control: w.draw(events*(1-share), usual)}
	if w.state.Percent > 0 {
		sample.Endpoints = w.draw(events*share/5, bad)
	}
	bad, usual = rates(Latency, fewSlow)
	sample.Slow = Sides{
		Cohort:  Counts{sample.Cohort.Events, w.failures(sample.Cohort.Events, bad)},
		Control: Counts{sample.Control.Events, w.failures(sample.Control.Events, usual)},
	}
	bad, usual = rates(ForcedLogins, fewForced)
	sample.Logins = Sides{Cohort: w.draw(events*share*loginShare, bad), Control: w.draw(events*(1-share)*loginShare, usual)}
	w.truth.tick(w)
	w.pending = w.pending.Plus(sample)
}
