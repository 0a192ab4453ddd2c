// Command fuzz runs every fuzz target of the module, one after the other, each for a number of executions. It tells on
// standard error how far it is, and at the end prints a table: the executions and the seconds of each, the processor time
// of one execution, the inputs that reached new code, the findings. A target that finds something leaves the input under
// its package's testdata/fuzz, where go test replays it from then on; the others are still run, and the exit status is 1.
//
//	go run ./hack/fuzz                          10 million executions each, hours on two cores
//	go run ./hack/fuzz -n 100000 -match token   a first look at some of them
//	go run ./hack/fuzz -match Claims -keep 40   and keep up to 40 of the inputs that reached something new
//
// go test -fuzz watches every package that is linked in, libraries too, and looks through all their counters after each
// execution: that takes most of the time, and what a library's caches do passes for something new. Here the package of
// the target is watched, and those that the target names in a line at the end of its comment:
//
//	//fuzz:with ./internal/snapshot encoding/json
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
)

func main() {
	n := flag.Int("n", 10_000_000, "executions of each target")
	match := flag.String("match", "", "only the targets whose `package.Name` this regular expression matches")
	keep := flag.Int("keep", 0, "keep inputs that reached new code under testdata/fuzz, up to so many of each target")
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

// fuzz runs the targets and prints the table; the error tells how many found something.
func fuzz(ctx context.Context, all []target, n, parallel, keep int) error {
	shop, err := newWorkshop(ctx)
	if err != nil {
		return err
	}
	defer shop.close()
	var done []result
	defer func() { printTable(os.Stdout, done) }()
	findings := 0
	for i, t := range all {
		p := newProgress(fmt.Sprintf("%d/%d %s", i+1, len(all), t.name()), n)
		r := shop.run(ctx, t, n, parallel, p)
		p.end()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		done = append(done, r)
		if r.err != nil {
			findings++
			fmt.Fprintf(os.Stderr, "%s found something: %v\n%s\n", t.name(), r.err, r.tail)
		}
		if keep > 0 && r.err == nil {
			kept, err := shop.keep(ctx, t, keep)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s: %d more inputs are kept\n", t.name(), kept)
		}
	}
	if findings > 0 {
		return fmt.Errorf("%d of %d targets found something", findings, len(all))
	}
	return nil
}
