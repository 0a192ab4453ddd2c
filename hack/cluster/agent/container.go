package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyturn/keyturn/hack/cluster/process"
)

// steady is how long a container must have run for its restarts to begin anew without a wait.
const steady = 10 * time.Minute

// containerRun is one container of a pod, across its restarts. The fields below spec are guarded by pod.mu.
type containerRun struct {
	pod     *podRun
	spec    *corev1.Container
	sidecar bool // an init container that keeps running
	init    bool // an init container that must end
	dir     string
	startup chan struct{} // closed when the container has started for the first time

	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	ready    bool
	started  bool
	proc     *process.Process
	number   int          // of starts
	env      *environment // of the last start
	done     bool
}

func newContainerRun(p *podRun, spec *corev1.Container, isInit bool) *containerRun {
	always := spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
	return &containerRun{
		pod: p, spec: spec, init: isInit && !always, sidecar: isInit && always,
		dir: filepath.Join(p.dir, "containers", spec.Name), startup: make(chan struct{}),
		state: waiting("ContainerCreating", ""),
	}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// run keeps the container going as its restart policy says, until it ends for good or ctx ends. It
// returns the last exit code.
func (c *containerRun) run(ctx context.Context) int {
	delay := time.Duration(0)
	for {
		began := time.Now()
		code := c.once(ctx)
		if ctx.Err() != nil || !c.again(code) {
			c.edit(func() { c.done = true })
			return code
		}
		if time.Since(began) > steady {
			delay = 0
		}
		if delay > 0 {
			c.edit(func() {
				c.last = c.state
				c.state = waiting("CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s", delay, c.spec.Name))
			})
			c.pod.event(corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s", c.spec.Name)
			if !pause(ctx, delay) {
				return code
			}
		}
		delay = min(max(2*delay, c.pod.agent.opts.RestartDelay), c.pod.agent.opts.RestartDelayMax)
		c.edit(func() {
			c.restarts++
			if c.state.Terminated != nil {
				c.last = c.state
			}
		})
		c.pod.remount(ctx)
	}
}

func (c *containerRun) again(code int) bool {
	switch c.pod.pod().Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return c.sidecar
	case corev1.RestartPolicyOnFailure:
		return c.sidecar || code != 0
	default:
		return c.sidecar || !c.init || code != 0
	}
}

// edit changes the state and has it reported.
func (c *containerRun) edit(f func()) {
	c.pod.mu.Lock()
	f()
	c.pod.mu.Unlock()
	signal(c.pod.dirty)
}

func (c *containerRun) setReady(ok bool) { c.edit(func() { c.ready = ok && c.proc != nil }) }

func (c *containerRun) setStarted() {
	c.edit(func() {
		if c.proc == nil {
			return // it ended meanwhile
		}
		c.started = true
		select {
		case <-c.startup:
		default:
			close(c.startup)
		}
	})
}

// once runs the container one time and gives its exit code.
func (c *containerRun) once(ctx context.Context) int {
	cmd, ok := c.prepare(ctx)
	if !ok {
		return 128
	}
	log, err := os.OpenFile(LogPath(c.pod.agent.opts.Dir, c.pod.pod().Namespace, c.pod.pod().Name, c.spec.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return c.failed(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := process.Start(cmd)
	if err != nil {
		return c.failed(err)
	}
	began := metav1.Now()
	c.edit(func() {
		c.number++
		c.proc = proc
		c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}
	})
	c.pod.agent.log.Info("container started", "pod", c.pod.name(), "container", c.spec.Name, "pid", proc.Pid())
	c.pod.event(corev1.EventTypeNormal, "Started", "Started container %s", c.spec.Name)
	c.serve(ctx, proc)
	code, sig := proc.Exit()
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	c.edit(func() {
		c.proc, c.ready, c.started = nil, false, false
		c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(code), Signal: int32(sig), Reason: reason, StartedAt: began, FinishedAt: metav1.Now(), ContainerID: c.id(),
		}}
	})
	c.pod.agent.log.Info("container ended", "pod", c.pod.name(), "container", c.spec.Name, "code", code)
	return code
}

// prepare makes the command. What is missing (a key of a Secret) is waited for.
func (c *containerRun) prepare(ctx context.Context) (*exec.Cmd, bool) {
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		c.failed(err)
		return nil, false
	}
	for said := ""; ; {
		cmd, reason, err := c.command(ctx)
		if err == nil {
			return cmd, true
		}
		if ctx.Err() != nil {
			return nil, false
		}
		if said != err.Error() {
			said = err.Error()
			c.edit(func() { c.state = waiting(reason, said) })
			c.pod.event(corev1.EventTypeWarning, "Failed", "Error: %s", said)
		}
		if !pause(ctx, time.Second) {
			return nil, false
		}
	}
}

func (c *containerRun) command(ctx context.Context) (*exec.Cmd, string, error) {
	env, err := c.resolve(ctx)
	if err != nil {
		return nil, "CreateContainerConfigError", err
	}
	c.edit(func() { c.env = env })
	c.awaitServices(ctx, env)
	argv, err := c.commandLine(env)
	if err != nil {
		return nil, "ErrImagePull", err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = c.workingDir(), c.finalEnvironment(env)
	return cmd, "", nil
}

func (c *containerRun) failed(err error) int {
	now := metav1.Now()
	c.edit(func() {
		c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 128, Reason: "StartError", Message: err.Error(), FinishedAt: now,
		}}
	})
	c.pod.event(corev1.EventTypeWarning, "Failed", "Error: %v", err)
	return 128
}

// serve watches over a started process and returns when it has ended.
func (c *containerRun) serve(ctx context.Context, proc *process.Process) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	kills := make(chan *int64, 1)
	var once sync.Once
	kill := func(grace *int64, message string) {
		once.Do(func() {
			c.pod.event(corev1.EventTypeNormal, "Killing", "Container %s %s", c.spec.Name, message)
			kills <- grace
		})
	}
	go func() {
		if l := c.spec.Lifecycle; l != nil && l.PostStart != nil {
			if err := c.hook(inner, l.PostStart); err != nil && inner.Err() == nil {
				c.pod.event(corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: %v", err)
				kill(nil, "failed postStart hook")
				return
			}
		}
		c.startProbes(inner, kill)
	}()
	select {
	case <-proc.Done():
	case grace := <-kills:
		c.setReady(false)
		seconds := c.pod.grace()
		c.terminate(proc, func() time.Duration {
			if ctx.Err() != nil { // the pod is being deleted meanwhile: its grace holds
				return c.pod.grace()
			}
			if grace != nil {
				return time.Duration(*grace) * time.Second
			}
			return seconds
		})
	case <-ctx.Done():
		c.pod.event(corev1.EventTypeNormal, "Killing", "Stopping container %s", c.spec.Name)
		c.terminate(proc, c.pod.grace)
	}
}

// id names one start of the container. pod.mu is held.
func (c *containerRun) id() string {
	return fmt.Sprintf("process://%s/%s/%d", c.pod.uid, c.spec.Name, c.number)
}
