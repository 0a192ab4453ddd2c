package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// enter is process 1 from its start until its driver has put it into its cgroups and linked its network, which the end
// of the standard input tells. Then it enters a cgroup namespace, so that the node sees its own subtree as the root.
func enter(args []string) error {
	if word, err := io.ReadAll(os.Stdin); err != nil || string(word) != "go" {
		return fmt.Errorf("the driver gave up: %q, %w", word, err)
	}
	runtime.LockOSThread() // the namespace belongs to the thread, and exec keeps the thread that calls it
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("cgroup namespace: %w", err)
	}
	return syscall.Exec("/proc/self/exe", append([]string{roleNode}, args...), os.Environ())
}

// live is process 1 of the node. It prepares the file system, starts the programs, and ends when one of them does.
func live(args []string) error {
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	if err := errors.Join(p.mounts(), unix.Sethostname([]byte(p.Hostname)), os.MkdirAll(runDir, 0o755)); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return err
	}
	running := map[int]string{}
	for i, c := range p.Programs {
		pid, err := c.start()
		if err != nil {
			return fmt.Errorf("starting %s: %w", c.Path, err)
		}
		running[pid] = c.Path
		if i == 0 {
			if err := listening(containerdSocket, pid); err != nil {
				return fmt.Errorf("%s: %w", c.Path, err)
			}
		}
	}
	for { // process 1 inherits orphans, and nobody else reaps them
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if name, ok := running[pid]; ok {
			return fmt.Errorf("%s ended with status %#x; its log tells why", name, uint32(status))
		}
	}
}

// start uses no os/exec, whose waiting would compete with that of process 1.
func (c command) start() (int, error) {
	path := c.Path
	if !strings.ContainsRune(path, '/') {
		for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
			if _, err := os.Stat(filepath.Join(dir, path)); err == nil {
				path = filepath.Join(dir, path)
				break
			}
		}
	}
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close() //nolint:errcheck // the program has its own descriptor
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close() //nolint:errcheck // as above
	return syscall.ForkExec(path, append([]string{path}, c.Args...), &syscall.ProcAttr{
		Dir: "/", Env: environment(), Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
	})
}

// environment is short: nothing of who started the driver should change how a node works.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
}

// listening waits until a server listens on a socket, or the process that should do so has ended.
func listening(socket string, pid int) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		conn, err := net.Dial("unix", socket) //nolint:noctx // refused at once or open
		if err == nil {
			return conn.Close()
		}
		if got, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); got == pid {
			return errors.New("it ended at once; its log tells why")
		}
	}
	return fmt.Errorf("nothing listens on %s after a minute", socket)
}
