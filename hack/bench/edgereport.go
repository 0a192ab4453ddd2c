package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// The bounds of the edge. docs/performance.md says the same; a test compares.
const (
	hotRatio   = 0.55
	manyRatio  = 0.70
	mixedRatio = 0.75
	httpRatio  = 1.30
	tailRatio  = 1.30
	floodRatio = 2.00
	// cachedBound is bytes: the peak of an edge with 100,000 tokens in its cache.
	cachedBound = 150_000_000
)

// row returns what a server did with a set.
func (f *edgeFigures) row(server, set string) *edgeRow {
	for _, r := range f.Rows {
		if r.Server == server && r.Set == set {
			return r
		}
	}
	return &edgeRow{}
}

// ratio is the median of a figure of one server against another's, round by round.
func (f *edgeFigures) ratio(server, against, set string, of func(*edgeRow) []float64) float64 {
	return median(ratios(of(f.row(server, set)), of(f.row(against, set))))
}

func ratios(own, base []float64) []float64 {
	all := make([]float64, min(len(own), len(base)))
	for i := range all {
		all[i] = own[i] / base[i]
	}
	return all
}

func cpuOf(r *edgeRow) []float64        { return r.CPU }
func p99Of(r *edgeRow) []float64        { return r.P99 }
func throughputOf(r *edgeRow) []float64 { return r.PerSecond }

// bare is what a server is compared with.
func bare(server string) string {
	if server == ownHTTP || server == bareHTTP {
		return bareHTTP
	}
	return bareGRPC
}

// bounds judges the figures; f may be nil.
func (f *edgeFigures) bounds() []bound {
	all := []bound{}
	judge := func(what string, limit float64, got func() float64) {
		b := bound{What: what, Limit: fmt.Sprintf("≤ %.2f ×", limit)}
		if f != nil {
			ratio := got()
			b.Got, b.Kept = fmt.Sprintf("%.2f ×", ratio), ratio > 0 && ratio <= limit
		}
		all = append(all, b)
	}
	for _, c := range []struct {
		set   string
		limit float64
	}{{setHot, hotRatio}, {setMany, manyRatio}, {setMixed, mixedRatio}} {
		judge("Processor time of a gRPC check, "+c.set+", against bare grpc-go", c.limit, func() float64 { return f.ratio(ownGRPC, bareGRPC, c.set, cpuOf) })
	}
	judge("Processor time of an HTTP check, "+setHot+", against bare net/http", httpRatio, func() float64 { return f.ratio(ownHTTP, bareHTTP, setHot, cpuOf) })
	for _, set := range []string{setHot, setMany, setMixed} {
		judge("99th percentile of gRPC checks, "+set+", against bare grpc-go", tailRatio, func() float64 { return f.ratio(ownGRPC, bareGRPC, set, p99Of) })
	}
	judge("99th percentile of good tokens beside a flood of unknown kids, against without", floodRatio, func() float64 { return median(ratios(f.Flooded, f.Calm)) })
	wrong := bound{What: "Decisions of the edge that were wrong", Limit: "0"}
	memory := bound{What: "Peak memory of the edge with 100,000 cached tokens", Limit: fmt.Sprintf("< %d MB", cachedBound/1_000_000)}
	if f != nil {
		wrong.Got, wrong.Kept = fmt.Sprint(f.Wrong), f.Wrong == 0 && f.Decisions > 0
		memory.Got, memory.Kept = megabytes(f.Memory), f.Memory < cachedBound
	}
	return append(all, wrong, memory)
}

// print writes the tables.
func (f *edgeFigures) print(to io.Writer) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { fmt.Fprintf(table, format+"\t\n", args...) }
	fmt.Fprintf(to, "\nThe edge, on one core, the load on another (medians; × is against the bare server of the protocol, round by round; p50 and p99 at %.0f a second)\n\n", f.Rate)
	line("\t\tCPU µs\t×\tchecks/s\t×\tp50 ms\tp99 ms\tp99 ×")
	for _, r := range f.Rows {
		against := bare(r.Server)
		tail := ""
		if len(r.P99) > 0 {
			tail = fmt.Sprintf("%.2f\t%.2f\t%.2f", median(r.P50), median(r.P99), f.ratio(r.Server, against, r.Set, p99Of))
		} else {
			tail = "\t\t"
		}
		line("%s\t%s\t%.1f\t%.2f\t%.0f\t%.2f\t%s", r.Set, r.Server, median(r.CPU), f.ratio(r.Server, against, r.Set, cpuOf), median(r.PerSecond),
			f.ratio(r.Server, against, r.Set, throughputOf), tail)
	}
	_ = table.Flush()
	fmt.Fprintf(to, "good tokens at %.0f a second: p99 %.2f ms alone, %.2f ms beside %.0f a second of unknown kids (× %.2f)\n",
		f.Rate, median(f.Calm), median(f.Flooded), f.Flood, median(ratios(f.Flooded, f.Calm)))
	fmt.Fprintf(to, "the same with bare grpc-go: p99 %.2f ms alone, %.2f ms beside the flood (× %.2f)\n",
		median(f.BareCalm), median(f.BareFlooded), median(ratios(f.BareFlooded, f.BareCalm)))
	fmt.Fprintf(to, "of these milliseconds the load itself was late by %.2f at the 99th percentile (worst run %.2f)\n", median(f.Late), quantile(f.Late, 1))
	fmt.Fprintf(to, "%d decisions looked at, %d wrong; peak memory %s with %d tokens in the cache\n", f.Decisions, f.Wrong, megabytes(f.Memory), f.Cached)
	if f.First != "" {
		fmt.Fprintln(to, "first wrong decision:", f.First)
	}
}
