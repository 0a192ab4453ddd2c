package agent

import (
	"context"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyturn/keyturn/hack/cluster/process"
)

// minimumAfterHook is what a container has for its SIGTERM when the preStop hook took all the time.
const minimumAfterHook = 2 * time.Second

// terminate runs the preStop hook, sends SIGTERM, and SIGKILL when the grace is over. grace is asked
// again and again, because it can be shortened.
func (c *containerRun) terminate(proc *process.Process, grace func() time.Duration) {
	began := time.Now()
	extra := time.Duration(0)
	if l := c.spec.Lifecycle; l != nil && l.PreStop != nil && grace() > 0 {
		ctx, cancel := context.WithCancel(context.Background())
		hook := make(chan error, 1)
		go func() { hook <- c.hook(ctx, l.PreStop) }()
		if err := c.awaitHook(proc, hook, func() bool { return time.Since(began) > grace() }); err != nil {
			c.pod.event(corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: %v", err)
		}
		cancel()
		if left := grace() - time.Since(began); left < minimumAfterHook {
			extra = minimumAfterHook - left
		}
	}
	proc.Signal(syscall.SIGTERM)
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-proc.Done():
			return
		case <-t.C:
			if time.Since(began) >= grace()+extra {
				proc.Kill()
				return
			}
		}
	}
}

func (c *containerRun) awaitHook(proc *process.Process, hook <-chan error, over func() bool) error {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case err := <-hook:
			return err
		case <-proc.Done():
			return nil
		case <-t.C:
			if over() {
				return context.DeadlineExceeded
			}
		}
	}
}
