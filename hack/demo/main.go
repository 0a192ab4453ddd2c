// Command demo shows the main job of Keyturn for real: a Kubernetes API server, the operator, the token service, the
// edge and an nginx, all on this machine; a user logs in, calls, refreshes and logs out through nginx, and the signing
// key is rotated twice while requests run; users of an old application move to tokens by percentage and back. It exits
// with 0 if everything was as it should be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/hack/stage"
)

func main() {
	keep := flag.Bool("keep", os.Getenv("KEEP") == "1", "leave everything running at the end until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once; what was started dies with this process
	err := run(ctx, *keep)
	stop()
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "\ndemo: interrupted; nothing is left running")
		os.Exit(130)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, keep bool) (err error) {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "keyturn-demo-")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return err
	}
	show := newScreen(os.Stdout)
	began := time.Now()
	show.title("Keyturn on this machine")
	show.text("Everything listens on loopback addresses and lives in " + dir + ".")
	defer func() {
		if ctx.Err() != nil {
			err = ctx.Err() // whatever an interrupted step said
		}
		if err == nil || errors.Is(err, context.Canceled) {
			err = errors.Join(err, os.RemoveAll(dir))
		} else {
			show.text("Logs are left in " + dir)
		}
	}()
	s, err := stage.Set(ctx, stage.Options{Root: root, Dir: dir, Listen: 8080, Progress: os.Stdout, Log: log})
	if err != nil {
		return err
	}
	defer func() {
		show.text("\nStopping everything that was started …")
		err = errors.Join(err, s.Strike())
	}()
	show.text(fmt.Sprintf("Ready after %.0f s.", time.Since(began).Seconds()))
	play := &play{stage: s, show: show, user: s.User(), dir: dir}
	defer play.end()
	if err := play.all(ctx); err != nil {
		return err
	}
	verdict := play.verdict()
	if keep {
		return errors.Join(verdict, play.keep(ctx))
	}
	return verdict
}
