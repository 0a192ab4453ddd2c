// Package process starts programs that cannot outlive this one.
//
// Every program gets a process group of its own. When its first process ends, the rest of the group is
// killed, as the end of a container's first process ends the container. When this process dies, in
// whatever way, the kernel kills the programs (on Linux; elsewhere only Stop does).
//
// The trap behind the package: the kernel's parent-death signal belongs to the *thread* that forked,
// not to the process. So one goroutine, locked to its thread for good, starts everything.
package process

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a started program. Its methods may be called from any goroutine.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}

	exitCode int
	signal   int
}

type request struct {
	cmd   *exec.Cmd
	reply chan error
}

var starter = sync.OnceValue(func() chan<- request {
	requests := make(chan request)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must live as long as the process
		for r := range requests {
			r.reply <- r.cmd.Start()
		}
	}()
	return requests
})

// Start starts cmd in a process group of its own. The output of cmd should be files or nil: a pipe
// would be held open by grandchildren. What cmd.SysProcAttr asks for besides, such as namespaces, is kept.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = attributes(cmd.SysProcAttr)
	reply := make(chan error, 1)
	starter() <- request{cmd, reply}
	if err := <-reply; err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go p.wait()
	return p, nil
}

func (p *Process) wait() {
	// The group is killed while its leader is still a zombie: until it is reaped, nobody else can get its id.
	awaitExit(p.cmd.Process.Pid)
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.exitCode = 255
	}
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		p.exitCode = ws.ExitStatus()
		if ws.Signaled() {
			p.signal = int(ws.Signal())
			p.exitCode = 128 + p.signal
		}
	}
	close(p.done)
}

// Pid is the id of the first process, which is also the id of the group.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the first process has ended and its group was killed.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit gives the exit code (128 + signal when a signal ended it) and the signal, or 0. Only after Done.
func (p *Process) Exit() (code, signal int) {
	<-p.done
	return p.exitCode, p.signal
}

// Signal sends a signal to the first process only, as a container runtime does.
func (p *Process) Signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// Kill kills the whole group and waits for the first process.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks with SIGTERM, kills after grace, and returns when the process has ended.
func (p *Process) Stop(grace time.Duration) {
	p.Signal(syscall.SIGTERM)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.Kill()
	}
}
