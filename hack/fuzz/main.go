// Command fuzz runs every fuzz target of the module, one after the other, each for a number of executions, and tells
// what it did: the executions, the processor time of each, the inputs that reached new code, the time it took. A target that finds something leaves the input under its package's testdata/fuzz, where go test replays
// it from then on; the others are still run, and the exit status is 1.
//
//	go run ./hack/fuzz                          10 million executions each, hours on two cores
//	go run ./hack/fuzz -n 100000 -match token   a first look at some of them
//	go run ./hack/fuzz -match Claims -keep 50   and keep up to 50 of the inputs that reached something new
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"time"
)

func main() {
	n := flag.Int("n", 10_000_000, "executions of each target")
	match := flag.String("match", "", "only the targets whose `package.Name` this regular expression matches")
	keep := flag.Int("keep", 0, "how many inputs of each target to keep under testdata/fuzz that reached new code")
	parallel := flag.Int("parallel", runtime.GOMAXPROCS(0), "processes at once")
	list := flag.Bool("list", false, "only name the targets")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	wanted, err := regexp.Compile(*match)
	var all []target
	if err == nil {
		all, err = targets(ctx, wanted)
	}
	switch {
	case err != nil:
	case *list:
		for _, t := range all {
			fmt.Println(t.name())
		}
	default:
		err = fuzz(ctx, all, *n, *parallel, *keep)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// fuzz runs the targets and prints a line for each; the error tells how many found something.
func fuzz(ctx context.Context, all []target, n, parallel, keep int) error {
	findings := 0
	fmt.Printf("%-40s %12s %10s %6s %8s\n", "TARGET", "EXECUTIONS", "CPU us", "NEW", "TIME")
	for _, t := range all {
		started := time.Now()
		run := t.run(ctx, n, parallel)
		perExecution := float64(run.cpu.Microseconds()) / float64(max(run.executions, 1))
		fmt.Printf("%-40s %12d %10.0f %6d %8s\n", t.name(), run.executions, perExecution, run.interesting, time.Since(started).Round(time.Second))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if run.err != nil {
			findings++
			fmt.Printf("%s found something: %v\n%s\n", t.name(), run.err, run.tail)
		}
		if keep > 0 {
			if err := t.keep(ctx, keep); err != nil {
				return err
			}
		}
	}
	if findings > 0 {
		return fmt.Errorf("%d of %d targets found something", findings, len(all))
	}
	fmt.Printf("%d targets, no finding\n", len(all))
	return nil
}
