// Command bench measures Keyturn as a user of it would feel it, beside the least that the same work can cost, in one run:
// the processor time of a refresh and a login beside the bare signature and the bare password hash, of an edge check
// beside an empty handler, and ten thousand users at once beside bare servers. docs/performance.md describes it.
//
// It builds cmd/tokenservice and cmd/extauthz and runs them as processes of their own on loopback addresses, with
// documents of its own; no Kubernetes is needed. Its exit code is 1 if a bound is broken or something failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	habits
	count counts
	edge  edgeCounts
	parts string
	json  string
	env   string
	// progress gets one line for each step.
	progress func(string)
}

// The parts.
const (
	partCPU   = "cpu"
	partUsers = "users"
	partNull  = "null"
	partEdge  = "edge"
)

var allParts = []string{partCPU, partUsers, partNull, partEdge}

func (o options) has(part string) bool { return slices.Contains(strings.Split(o.parts, ","), part) }

func (o options) check() error {
	for part := range strings.SplitSeq(o.parts, ",") {
		if !slices.Contains(allParts, part) {
			return fmt.Errorf("-parts: %q is none of %s", part, strings.Join(allParts, ", "))
		}
	}
	if o.users < crowd || o.duration <= 0 || o.think <= 0 || o.renew <= 0 || o.logins < 0 || min(o.count.rounds, o.count.signatures, o.count.hashes, o.count.checks) < 1 {
		return fmt.Errorf("at least %d users, and times and counts above 0", crowd)
	}
	if o.has(partEdge) && (min(o.edge.rounds, o.edge.sizes.many, o.edge.sizes.memory) < 1 || o.edge.sizes.many < 20) {
		return errors.New("the edge needs a round, 20 distinct tokens and one for its memory")
	}
	return checkLimit(o.users)
}

// edgeDefaults are the sizes of the comparison of the edge.
var edgeDefaults = edgeCounts{
	rounds: 7, closed: 700 * time.Millisecond, open: 1500 * time.Millisecond, rate: 2000, flood: 10_000,
	sizes: edgeSizes{many: 10_000, unknown: 20_000, memory: 100_000},
}

func main() {
	if playRole() {
		return
	}
	o := options{count: counts{signatures: 192, hashes: 8, checks: 4000}, edge: edgeDefaults, progress: func(text string) { fmt.Fprintln(os.Stderr, "bench:", text) }}
	flag.IntVar(&o.users, "users", 10_000, "users of the scenario, each with a connection of its own")
	flag.DurationVar(&o.duration, "duration", 150*time.Second, "how long they act, on each side")
	flag.DurationVar(&o.think, "think", 30*time.Second, "mean time between two calls of a user")
	flag.DurationVar(&o.renew, "renew", time.Minute, "mean time between two refreshes of a user")
	flag.Float64Var(&o.logins, "logins", 2, "logouts, each followed by a login, a second of all users together")
	flag.IntVar(&o.count.rounds, "rounds", 21, "rounds of the comparison of processor time")
	flag.IntVar(&o.edge.sizes.memory, "edge-memory", o.edge.sizes.memory, "tokens in the cache when the edge's memory is measured")
	flag.IntVar(&o.edge.sizes.many, "edge-tokens", o.edge.sizes.many, "distinct tokens")
	flag.IntVar(&o.edge.rounds, "edge-rounds", o.edge.rounds, "rounds of the comparison of the edge")
	flag.StringVar(&o.parts, "parts", strings.Join(allParts, ","), "what to measure: processor time, the scenario, the scenario with bare servers, the edge")
	flag.StringVar(&o.json, "json", "", "file for the figures")
	flag.StringVar(&o.env, "env", "", "settings to try out for token service and edge, such as GOGC=50,GODEBUG=gctrace=1")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx, o)
	stop()
	if r != nil {
		r.print(os.Stdout)
		if o.json != "" {
			err = errors.Join(err, r.write(o.json))
		}
		err = errors.Join(err, r.broken())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures. The report is nil where the measurement did not come to its end.
func run(ctx context.Context, o options) (r *report, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "keyturn-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, env: strings.FieldsFunc(o.env, func(r rune) bool { return r == ',' })}
	defer func() {
		if err == nil || ctx.Err() != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		} else {
			err = fmt.Errorf("%w\nthe logs are in %s", err, dir)
		}
	}()
	defer w.close()
	o.progress("building and starting token service, edge and what they are compared with")
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	return measure(ctx, o, w)
}

// measure runs the parts. The users come first: a peak of memory is theirs.
func measure(ctx context.Context, o options, w *world) (*report, error) {
	r := newReport(o.habits)
	if o.has(partUsers) {
		figures, err := runCrowd(ctx, newCrowd(o.habits, w.token.address, w.edge.address, false), w.token, w.edge, o.progress)
		if err != nil {
			return nil, err
		}
		r.Keyturn = &figures
	}
	if o.has(partNull) {
		o.progress("the same with bare servers")
		figures, err := runCrowd(ctx, newCrowd(o.habits, w.nullToken.address, w.nullEdge.address, true), w.nullToken, w.nullEdge, o.progress)
		if err != nil {
			return nil, err
		}
		r.Null = &figures
	}
	if o.has(partCPU) {
		var err error
		if r.CPU, err = measureCPU(ctx, w, o.count, o.progress); err != nil {
			return nil, err
		}
	}
	if o.has(partEdge) {
		var err error
		if r.Edge, err = measureEdge(ctx, w, o.edge, o.progress); err != nil {
			return nil, err
		}
	}
	return r, nil
}
