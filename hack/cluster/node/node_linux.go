package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/hack/cluster/process"
)

// Node is a running node. Its methods may be called from any goroutine.
type Node struct {
	options Options
	first   *process.Process
	relay   *relay
	sweeper *sweeper
	stop    sync.Once
	stopErr error
}

// Check tells why this machine cannot run a node; nil if it can.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("a real node needs root: it makes namespaces, mounts and cgroups; run this as root, or in a virtual machine or a privileged container")
	}
	_, err := hierarchies()
	return err
}

// Start starts a node and returns when its container runtime has the images and the kubelet runs; that the node is
// Ready is for the API server to say. Cancelling ctx stops the start, not the running node: call Stop.
func Start(ctx context.Context, o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if err := Check(); err != nil {
		return nil, err
	}
	if err := Install(ctx, o.Log); err != nil {
		return nil, err
	}
	// Another run may have been killed together with its sweeper.
	if err := sweep(o.Slot); err != nil {
		return nil, fmt.Errorf("sweeping what an earlier node left: %w", err)
	}
	if err := checkRoutes(o.Slot); err != nil {
		return nil, err
	}
	n := &Node{options: o}
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	o := n.options
	all, err := hierarchies()
	if err != nil {
		return err
	}
	plan, err := o.configure(all)
	if err != nil {
		return err
	}
	doomed := ""
	if o.Temporary {
		doomed = o.Dir
	}
	if n.sweeper, err = startSweeper(o.Slot, o.Lock, doomed); err != nil {
		return err
	}
	for _, h := range all {
		if err := h.make(o.Slot); err != nil {
			return fmt.Errorf("making a cgroup in %s: %w", h.Mount, err)
		}
	}
	if err := n.launch(ctx, plan, all); err != nil {
		return err
	}
	if n.relay, err = startRelay(ctx, fmt.Sprintf("%s:%d", NetworkOf(o.Slot).Host, APIServerPort), o.APIServer); err != nil {
		return err
	}
	if err := n.awaitContainerd(ctx); err != nil {
		return err
	}
	for _, tarball := range o.Images {
		if err := n.Import(ctx, tarball); err != nil {
			return err
		}
	}
	return nil
}

// launch starts process 1 in its namespaces, and tells it to go on when it is in its cgroups and linked.
func (n *Node) launch(ctx context.Context, plan string, all []hierarchy) error {
	o := n.options
	if err := os.MkdirAll(filepath.Dir(o.log("node")), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(o.log("node"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own descriptor
	cmd := again(roleInit, plan)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment(), "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	word, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer word.Close() //nolint:errcheck // closed below when it matters
	if n.first, err = process.Start(cmd); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	for _, h := range all {
		if err := h.enter(o.Slot, n.first.Pid()); err != nil {
			return fmt.Errorf("entering a cgroup of %s: %w", h.Mount, err)
		}
	}
	if err := connect(ctx, o.Slot, n.first.Pid()); err != nil {
		return err
	}
	if _, err := word.Write([]byte("go")); err != nil {
		return err
	}
	return word.Close()
}

// ctr runs containerd's client on this machine: it reads tarballs here, and the socket is in the node.
func (n *Node) ctr(ctx context.Context, args ...string) ([]byte, error) {
	socket := fmt.Sprintf("/proc/%d/root%s", n.first.Pid(), containerdSocket)
	return exec.CommandContext(ctx, "ctr", append([]string{"--address", socket, "--namespace", "k8s.io"}, args...)...).CombinedOutput()
}

func (n *Node) awaitContainerd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		out, err := n.ctr(ctx, "version")
		if err == nil {
			return nil
		}
		select {
		case <-n.first.Done():
			return fmt.Errorf("the node ended: %s", n.Logs())
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer: %w: %s\n%s", ctx.Err(), out, n.Logs())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Import gives the node the images of a tarball in the OCI layout.
func (n *Node) Import(ctx context.Context, tarball string) error {
	began := time.Now()
	if out, err := n.ctr(ctx, "images", "import", tarball); err != nil {
		return fmt.Errorf("importing %s: %w\n%s", tarball, err, out)
	}
	fmt.Fprintf(n.options.Log, "node: imported %s in %.1f s\n", filepath.Base(tarball), time.Since(began).Seconds())
	return nil
}

// Pid is process 1 of the node. Killing it removes the node.
func (n *Node) Pid() int { return n.first.Pid() }

// Done is closed when the node has ended, for whatever reason.
func (n *Node) Done() <-chan struct{} { return n.first.Done() }

// Logs are the ends of the logs of the node's programs.
func (n *Node) Logs() string {
	var b strings.Builder
	for _, name := range []string{"node", "containerd", "kubelet", "kube-proxy"} {
		text, _ := os.ReadFile(n.options.log(name))
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", n.options.log(name), strings.Join(lines[max(0, len(lines)-12):], "\n"))
	}
	return b.String()
}

// Stop kills the node with all its pods and returns when nothing of it is left but Options.Dir. What pods wrote to
// volumes is there as they left it. Calling it again does nothing.
func (n *Node) Stop() error {
	n.stop.Do(func() {
		if n.first != nil {
			n.first.Kill()
		}
		if n.relay != nil {
			n.relay.stop()
		}
		if n.sweeper != nil {
			n.stopErr = n.sweeper.sweep()
		}
	})
	return n.stopErr
}
