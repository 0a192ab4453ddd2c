package node

import (
	"fmt"
	"os"
	"os/exec"
)

// Names under which this program is started again. A name cannot be an accident: no shell starts a program so.
const (
	roleInit    = "keyturn-node-init"    // process 1 before it enters its cgroup namespace
	roleNode    = "keyturn-node"         // process 1
	roleSweeper = "keyturn-node-sweeper" // waits for the end of the driver
)

// init takes the role before main, or a test, can begin. It does not return for a role.
func init() {
	var play func(args []string) error
	switch os.Args[0] {
	case roleInit:
		play = enter
	case roleNode:
		play = live
	case roleSweeper:
		play = watchAndSweep
	default:
		return
	}
	if err := play(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// again makes the command that starts this program in a role.
func again(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // its end is arranged by whoever starts it
	cmd.Args = append([]string{role}, args...)
	return cmd
}
