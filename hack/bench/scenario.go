package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// row is what one kind of operation took, in milliseconds from the instant at which it was due.
type row struct {
	Operation string  `json:"operation"`
	Count     int     `json:"count"`
	Errors    int     `json:"errors"`
	Mean      float64 `json:"mean_ms"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// crowdFigures are the figures of one side of the scenario.
type crowdFigures struct {
	Rows []row `json:"rows"`
	All  row   `json:"all"`
	// FirstError is empty if there was none.
	FirstError string `json:"first_error,omitempty"`
	// Connections were open at the end, Sockets are the files that the token service held, Reopened the connections that
	// had to be opened again.
	Connections int64 `json:"connections"`
	Sockets     int   `json:"sockets"`
	Reopened    int64 `json:"reopened"`
	// TokenMemory and EdgeMemory are bytes: the peaks since the processes started.
	TokenMemory int64 `json:"token_memory"`
	EdgeMemory  int64 `json:"edge_memory"`
	// TokenCPU and EdgeCPU are the parts of one core that the processes used.
	TokenCPU float64 `json:"token_cpu"`
	EdgeCPU  float64 `json:"edge_cpu"`
}

// perSecond is how many operations a second there were.
func (f crowdFigures) perSecond(d time.Duration) float64 { return float64(f.All.Count) / d.Seconds() }

// checkLimit tells whether this process and its children may open enough files; the Go runtime has raised the soft limit.
func checkLimit(users int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if needed := uint64(users + upstreams + 200); limit.Max < needed { //nolint:gosec // not negative
		return fmt.Errorf("%d users need %d open files in one process, and the hard limit is %d: raise it (ulimit -Hn %d, as root) or use fewer with -users", users, needed, limit.Max, needed)
	}
	return nil
}

// runCrowd lets the users live with the two servers and returns what it was like.
func runCrowd(ctx context.Context, c *crowdOfUsers, token, edge service, progress func(string)) (figures crowdFigures, err error) {
	defer c.leave()
	reopened := wire.again.Load()
	if err := c.arrive(ctx, func(done int) { progress(fmt.Sprintf("%d of %d users have arrived", done, c.users)) }); err != nil {
		return figures, err
	}
	progress(fmt.Sprintf("%d users for %s", c.users, c.duration))
	began := time.Now()
	var tokenErr, edgeErr error
	var tokenCPU, edgeCPU time.Duration
	tokenCPU, tokenErr = spent(token.Pid(), func() error {
		edgeCPU, edgeErr = spent(edge.Pid(), func() error { c.live(ctx); return ctx.Err() })
		return edgeErr
	})
	if tokenErr != nil {
		return figures, tokenErr
	}
	wall := time.Since(began).Seconds()
	figures = c.journal.figures()
	figures.TokenCPU, figures.EdgeCPU = tokenCPU.Seconds()/wall, edgeCPU.Seconds()/wall
	figures.Connections, figures.Reopened = wire.open.Load(), wire.again.Load()-reopened
	for _, read := range []func() error{
		func() (err error) { figures.Sockets, err = openFiles(token.Pid()); return },
		func() (err error) { figures.TokenMemory, err = peakMemory(token.Pid()); return },
		func() (err error) { figures.EdgeMemory, err = peakMemory(edge.Pid()); return },
	} {
		if err := read(); err != nil {
			return figures, err
		}
	}
	return figures, nil
}

func (j *journal) figures() crowdFigures {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := crowdFigures{FirstError: j.first}
	var all []time.Duration
	failed := 0
	for o := range operations {
		f.Rows = append(f.Rows, rowOf(o.String(), j.taken[o], j.errors[o]))
		all = append(all, j.taken[o]...)
		failed += j.errors[o]
	}
	f.All = rowOf("all", all, failed)
	return f
}

func rowOf(name string, taken []time.Duration, failed int) row {
	r := row{Operation: name, Count: len(taken), Errors: failed}
	if len(taken) == 0 {
		return r
	}
	slices.Sort(taken)
	var sum time.Duration
	for _, d := range taken {
		sum += d
	}
	r.Mean, r.P50 = milliseconds(sum)/float64(len(taken)), milliseconds(quantile(taken, 0.5))
	r.P99, r.Max = milliseconds(quantile(taken, 0.99)), milliseconds(taken[len(taken)-1])
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
