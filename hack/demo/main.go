// Command demo shows the main job of Keyturn for real: a Kubernetes API server, the operator, the token service, the
// edge and an nginx, all on this machine; a user logs in, calls, refreshes and logs out through nginx, and the signing
// key is rotated twice while requests run. It exits with 0 if everything was as it should be.
package main

import (
	"context"
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
	err := run(ctx, *keep)
	stop()
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
	s, err := stage.Set(ctx, stage.Options{Root: root, Dir: dir, Listen: "127.0.0.1:8080", Progress: os.Stdout, Log: log})
	if err != nil {
		return fmt.Errorf("%w\ndetails: %s", err, log.Name())
	}
	defer func() {
		show.text("\nStopping everything that was started …")
		if stopErr := s.Strike(); err == nil {
			err = stopErr
		}
		if err == nil {
			err = os.RemoveAll(dir)
		} else {
			show.text("Logs are left in " + dir)
		}
	}()
	show.text(fmt.Sprintf("Ready after %.0f s.", time.Since(began).Seconds()))
	play := &play{stage: s, show: show, user: s.User()}
	if err := play.all(ctx); err != nil {
		return err
	}
	if keep {
		play.keep(ctx)
	}
	return play.verdict()
}
