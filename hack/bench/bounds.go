package main

import (
	"fmt"
	"strings"
)

// The bounds. docs/performance.md says the same; a test compares.
const (
	// refreshRatio is the processor time of a refresh against that of its signature.
	refreshRatio = 1.25
	// meanBound and latencyBound are milliseconds, of all operations of the scenario together.
	meanBound    = 45
	latencyBound = 120
	// memoryBound is bytes: the peak of the token service, which holds the users' connections.
	memoryBound = 300_000_000
)

// bound is one promise of speed.
type bound struct {
	What  string `json:"what"`
	Limit string `json:"limit"`
	// Got is empty where the part that measures it did not run.
	Got  string `json:"got"`
	Kept bool   `json:"kept"`
}

// bounds judges a report.
func (r *report) bounds() []bound {
	all := []bound{
		{What: fmt.Sprintf("Processor time of a refresh, %d at once, against its signature", crowd), Limit: fmt.Sprintf("≤ %.2f ×", refreshRatio)},
		{What: "Requests that failed", Limit: "0"},
		{What: "Mean time of all operations", Limit: fmt.Sprintf("< %d ms", meanBound)},
		{What: "99th percentile of all operations", Limit: fmt.Sprintf("< %d ms", latencyBound)},
		{What: "Peak memory of the token service", Limit: fmt.Sprintf("< %d MB", memoryBound/1_000_000)},
	}
	for _, c := range r.CPU {
		if c.Limit > 0 {
			ratio := median(c.ratios())
			all[0].Got, all[0].Kept = fmt.Sprintf("%.2f ×", ratio), ratio <= c.Limit
		}
	}
	if s := r.Keyturn; s != nil {
		all[1].Got, all[1].Kept = fmt.Sprint(s.All.Errors), s.All.Errors == 0 && s.All.Count > 0
		all[2].Got, all[2].Kept = fmt.Sprintf("%.1f ms", s.All.Mean), s.All.Mean < meanBound
		all[3].Got, all[3].Kept = fmt.Sprintf("%.1f ms", s.All.P99), s.All.P99 < latencyBound
		all[4].Got, all[4].Kept = megabytes(s.TokenMemory), s.TokenMemory < memoryBound
	}
	return append(all, r.Edge.bounds()...)
}

// broken names the bounds that were measured and not kept.
func (r *report) broken() error {
	var names []string
	for _, b := range r.bounds() {
		if b.Got != "" && !b.Kept {
			names = append(names, fmt.Sprintf("%s: %s, allowed %s", b.What, b.Got, b.Limit))
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("a bound is broken:\n  %s", strings.Join(names, "\n  "))
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }
