package extauthz

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/keyturn/keyturn/internal/deadline"
)

// Listeners are where the three ports listen. [Authorizer.Serve] closes them.
type Listeners struct{ HTTP, GRPC, Internal net.Listener }

// Drain tells how a replica ends: it is not ready at once and goes on answering for Delay, until no proxy sends it new
// checks; then it finishes what runs, and is gone after Grace in any case, counted from the beginning.
type Drain struct{ Delay, Grace time.Duration }

// Serve follows the document, runs the tasks and answers on all ports until ctx ends; then it drains, the tasks last. It
// returns nil after an orderly end. A port or a task that fails ends all.
func (a *Authorizer) Serve(ctx context.Context, on Listeners, drain Drain, tasks ...func(context.Context) error) error {
	check, private, rpc := a.HTTP(), a.Internal(), a.GRPC()
	background, stopTasks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTasks()
	group, running := errgroup.WithContext(background)
	group.Go(func() error { return ended(check.Serve(deadline.Listen(on.HTTP, boundsPeriod))) })
	group.Go(func() error { return ended(private.Serve(on.Internal)) })
	group.Go(func() error { return rpc.Serve(on.GRPC) })
	for _, task := range append(tasks, a.edges.Run) {
		group.Go(func() error {
			if err := task(background); background.Err() == nil {
				return errors.Join(errors.New("a background task ended"), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-running.Done(): // something failed
		}
		a.Drain()
		a.log.Info("draining", "delay", drain.Delay.String(), "grace", drain.Grace.String())
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain.Grace)
		defer cancel()
		linger(end, running, drain.Delay)
		stop(end, rpc, check)
		stopTasks() // not before: what still runs is decided with fresh revocations
		_ = private.Close()
		return nil
	})
	defer a.tellAllDropped()
	return group.Wait()
}

// linger waits for delay, or less if the grace is over or a port failed.
func linger(end, running context.Context, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-end.Done():
	case <-running.Done():
	}
}

// stop lets what runs finish until end.
func stop(end context.Context, rpc *grpc.Server, check *http.Server) {
	graceful := make(chan struct{})
	go func() {
		rpc.GracefulStop()
		close(graceful)
	}()
	if check.Shutdown(end) != nil {
		_ = check.Close()
	}
	select {
	case <-graceful:
	case <-end.Done():
		rpc.Stop()
	}
}

func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
