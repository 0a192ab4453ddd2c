package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// report is everything that a run has measured. Parts that did not run are nil.
type report struct {
	Go       string        `json:"go"`
	Cores    int           `json:"cores"`
	Began    time.Time     `json:"began"`
	Users    int           `json:"users"`
	Duration time.Duration `json:"duration_ns"`
	CPU      []*comparison `json:"cpu,omitempty"`
	// Keyturn is the scenario, Null the same one with bare net/http servers.
	Keyturn *crowdFigures `json:"keyturn,omitempty"`
	Null    *crowdFigures `json:"null,omitempty"`
	Edge    *edgeFigures  `json:"edge,omitempty"`
	Bounds  []bound       `json:"bounds"`
}

func newReport(h habits) *report {
	return &report{Go: runtime.Version(), Cores: runtime.NumCPU(), Began: time.Now().UTC().Truncate(time.Second), Users: h.users, Duration: h.duration}
}

func (r *report) write(path string) error {
	r.Bounds = r.bounds()
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644) //nolint:gosec // figures are no secret
}

// print writes the tables for people.
func (r *report) print(to io.Writer) {
	fmt.Fprintf(to, "\n%s, %d cores, which the load shares with what it measures. Compare ratios, not absolute figures.\n", r.Go, r.Cores)
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { fmt.Fprintf(table, format+"\t\n", args...) }
	if len(r.CPU) > 0 {
		fmt.Fprintf(to, "\nProcessor time of one request (medians of %d rounds; the ratios are of the same round)\n\n", len(r.CPU[0].Own))
		line("\tµs\tbare µs\tratio\tquartiles\tagainst")
		for _, c := range r.CPU {
			ratios := c.ratios()
			line("%s\t%.0f\t%.0f\t%.2f\t%.2f – %.2f\t%s", c.Name, median(c.Own), median(c.Base), median(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75), c.Bare)
		}
		_ = table.Flush()
	}
	for _, side := range []struct {
		title string
		f     *crowdFigures
	}{{"Keyturn", r.Keyturn}, {"Bare net/http servers with answers of the same size", r.Null}} {
		if side.f == nil {
			continue
		}
		fmt.Fprintf(to, "\n%s: %d users for %s, %.0f operations a second, %d connections held, %d reopened\n\n", side.title, r.Users, r.Duration, side.f.perSecond(r.Duration), side.f.Connections, side.f.Reopened)
		line("operation\tcount\terrors\tmean ms\tp50 ms\tp99 ms\tmax ms")
		for _, o := range append(slices.Clone(side.f.Rows), side.f.All) {
			line("%s\t%d\t%d\t%.2f\t%.2f\t%.2f\t%.1f", o.Operation, o.Count, o.Errors, o.Mean, o.P50, o.P99, o.Max)
		}
		_ = table.Flush()
		fmt.Fprintf(to, "peak memory: token service %s, edge %s, together %s; processor: %.2f and %.2f cores\n",
			megabytes(side.f.TokenMemory), megabytes(side.f.EdgeMemory), megabytes(side.f.TokenMemory+side.f.EdgeMemory), side.f.TokenCPU, side.f.EdgeCPU)
		if side.f.FirstError != "" {
			fmt.Fprintln(to, "first error:", side.f.FirstError)
		}
	}
	if k, n := r.Keyturn, r.Null; k != nil && n != nil {
		fmt.Fprintf(to, "\nKeyturn against the bare servers: calls × %.2f mean, × %.2f p99; all × %.2f mean, × %.2f p99; memory × %.2f\n",
			k.Rows[call].Mean/n.Rows[call].Mean, k.Rows[call].P99/n.Rows[call].P99, k.All.Mean/n.All.Mean, k.All.P99/n.All.P99,
			float64(k.TokenMemory+k.EdgeMemory)/float64(n.TokenMemory+n.EdgeMemory))
	}
	if r.Edge != nil {
		r.Edge.print(to)
	}
	fmt.Fprintf(to, "\nBounds\n\n")
	for _, b := range r.bounds() {
		state := "ok"
		switch {
		case b.Got == "":
			state = "not measured"
		case !b.Kept:
			state = "BROKEN"
		}
		line("%s\t%s\t%s\t%s", b.What, b.Limit, b.Got, state)
	}
	_ = table.Flush()
}
