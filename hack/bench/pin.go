package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pinnedRole becomes another program on one core. It has to be done before that program starts: Go counts the cores once,
// and a thread has the cores of the one that made it.
const pinnedRole = "pinned"

// loadRole is who makes the load.
const loadRole = "load"

// The cores of a pinned comparison: what is measured has one for itself, the load the other, if there are two.
func servedCore() int { return 0 }
func loadCore() int   { return min(1, runtime.NumCPU()-1) }

// pinned makes a command of another: the same on one core. role is this program's, or empty for another program.
func pinned(cmd *exec.Cmd, core int, role string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	on := exec.Command(self, append([]string{strconv.Itoa(core), role, cmd.Path}, cmd.Args[1:]...)...)
	on.Stdin, on.Stdout, on.Stderr = cmd.Stdin, cmd.Stdout, cmd.Stderr
	on.Env = append(slices.DeleteFunc(slices.Clone(cmd.Env), func(e string) bool { return strings.HasPrefix(e, roleEnv+"=") }), roleEnv+"="+pinnedRole)
	return on, nil
}

// playPinned is the role: core, role, program and its arguments.
func playPinned(args []string) error {
	if len(args) < 3 {
		return errors.New("pinned: core, role and program are needed")
	}
	core, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	var cores unix.CPUSet
	cores.Set(core)
	if err := unix.SchedSetaffinity(0, &cores); err != nil {
		return fmt.Errorf("run on core %d only: %w", core, err)
	}
	if args[1] == loadRole && loadCore() != servedCore() {
		hurry()
	}
	environment := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, roleEnv+"=") })
	if args[1] != "" {
		environment = append(environment, roleEnv+"="+args[1])
	}
	return syscall.Exec(args[2], args[2:], environment) //nolint:gosec // the program that the benchmark names
}

// hurry lets the load go before everything else on its core, where that is allowed: what comes late because the kernel had
// something else to do there would be taken for the server's. The report tells how late the load was.
func hurry() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
}
