package process

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

func attributes(wanted *syscall.SysProcAttr) *syscall.SysProcAttr {
	var a syscall.SysProcAttr
	if wanted != nil {
		a = *wanted
	}
	a.Setpgid, a.Pdeathsig = true, syscall.SIGKILL
	return &a
}

// awaitExit returns when the child has ended, without reaping it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
