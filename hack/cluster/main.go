// Command cluster runs a Kubernetes on this machine in one command, without root and without containers; or, with
// --real, one with a real kubelet and containers, which needs Linux and root.
//
//	go run ./hack/cluster up [--dir D] [--bin-dir B] [--detach]   until Ctrl-C, or in the background
//	go run ./hack/cluster up --real                               the same, with the image of this repository
//	go run ./hack/cluster down [--dir D] [--purge]                stops one in the background
//	go run ./hack/cluster assets                                  prints a directory for KUBEBUILDER_ASSETS
//	go run ./hack/cluster kubectl [--dir D] -- get pods           a kubectl of the same version
//
// See the package docs of hack/cluster/local, hack/cluster/agent and hack/cluster/node for what such clusters are and
// are not.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/hack/cluster/binaries"
	"github.com/keyturn/keyturn/hack/cluster/image"
	"github.com/keyturn/keyturn/hack/cluster/local"
	"github.com/keyturn/keyturn/hack/cluster/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	root := &cobra.Command{
		Use: "cluster", Short: "A Kubernetes of plain processes on this machine, for trying and testing",
		SilenceUsage: true,
	}
	root.AddCommand(upCommand(), downCommand(), assetsCommand(), kubectlCommand())
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(1)
	}
}

func defaultDir() string {
	if dir := os.Getenv("KEYTURN_CACHE"); dir != "" {
		return filepath.Join(dir, "cluster")
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "keyturn", "cluster")
}

func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", defaultDir(), "directory that keeps the cluster: its objects, logs and kubeconfig")
}

func pidFile(dir string) string { return filepath.Join(dir, "pid") }

func upCommand() *cobra.Command {
	var o local.Options
	var detach, real bool
	cmd := &cobra.Command{
		Use: "up", Short: "Start a cluster and run it until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if real {
				if err := realNode(cmd.Context(), &o); err != nil {
					return err
				}
			}
			if detach {
				return background(cmd.Context(), o)
			}
			return foreground(cmd.Context(), o)
		},
	}
	dirFlag(cmd, &o.Dir)
	cmd.Flags().StringVar(&o.BinDir, "bin-dir", "bin", "directory of the programs that pods run")
	cmd.Flags().StringVar(&o.AuditLog, "audit-log", "", "file for the API server's audit log")
	cmd.Flags().DurationVar(&o.Agent.SyncPeriod, "sync-period", time.Minute, "how long a changed Secret can stay unnoticed in a mount")
	cmd.Flags().BoolVar(&real, "real", false, "a real node with containerd and a kubelet, and the image of this repository in it; needs Linux and root")
	cmd.Flags().BoolVar(&detach, "detach", false, "return when the cluster is ready, and let it run until \"down\"")
	return cmd
}

// realNode asks for a real node with Keyturn's image. What the machine lacks is said before anything is built.
func realNode(ctx context.Context, o *local.Options) error {
	if err := node.Check(); err != nil {
		return err
	}
	o.Node = local.RealNode
	fmt.Fprintf(os.Stderr, "compiling and packing the image %s\n", image.Keyturn)
	built, err := image.Build(ctx, "", filepath.Join(o.Dir, "images"))
	o.Images = []string{built.Path}
	return err
}

func foreground(ctx context.Context, o local.Options) (err error) {
	o.Log = os.Stderr
	c, err := local.Start(ctx, o)
	if err != nil {
		return err
	}
	pid := pidFile(c.Dir())
	defer os.Remove(pid) // after the stop: "down" waits for that
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return err
	}
	tell(c.Kubeconfig(), c.KubectlPath())
	select {
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "stopping")
		return nil
	case <-c.NodeEnded():
		return errors.New("the node ended by itself:\n" + c.Node().Logs())
	}
}

func tell(kubeconfig, kubectl string) {
	fmt.Printf("\nkubeconfig: %s\nkubectl:    %s\n\nexport KUBECONFIG=%s\n", kubeconfig, kubectl, kubeconfig)
}

// background starts this program again in a session of its own, and waits until it has written its pid.
func background(ctx context.Context, o local.Options) error {
	found, err := (binaries.Finder{Log: os.Stderr}).Ensure(ctx, local.Programs(o.Node)...)
	if err != nil {
		return err
	}
	if pid := running(o.Dir); pid != 0 {
		return fmt.Errorf("a cluster of %s is running (pid %d): stop it with \"down\"", o.Dir, pid)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// "go run" removes its program when it returns: a copy stays beside the cluster.
	program := filepath.Join(o.Dir, "cluster")
	if err := copyProgram(self, program); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(o.Dir, "cluster.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"up", "--dir", o.Dir, "--bin-dir", o.BinDir, "--audit-log", o.AuditLog, "--sync-period", o.Agent.SyncPeriod.String()}
	if o.Node == local.RealNode {
		args = append(args, "--real")
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(ended)
	}()
	for running(o.Dir) == 0 {
		select {
		case <-ended:
			b, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the cluster did not start:\n%s", strings.TrimSpace(string(b)))
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM)
			<-ended
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	fmt.Fprintf(os.Stderr, "the cluster runs in the background (pid %d); its log: %s\n", cmd.Process.Pid, log.Name())
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	tell(filepath.Join(dir, "kubeconfig"), found[binaries.Kubectl])
	return nil
}

func copyProgram(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	_ = os.Remove(to) // it may be running: write a new file
	return os.WriteFile(to, b, 0o755)
}

// running gives the pid of the cluster of a directory; 0 if none runs.
func running(dir string) int {
	b, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	// After a crash the number may belong to another program by now.
	if exe, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && !strings.Contains(string(exe), "\x00up") {
		return 0
	}
	return pid
}

// awaitEnd waits until the cluster's process is gone.
func awaitEnd(ctx context.Context, dir string, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for syscall.Kill(pid, 0) == nil && running(dir) != 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster (pid %d) has not ended after 30 s; its log: %s", pid, filepath.Join(dir, "cluster.log"))
		case <-tick.C:
		}
	}
	return nil
}

func downCommand() *cobra.Command {
	var dir string
	var purge bool
	cmd := &cobra.Command{
		Use: "down", Short: "Stop a cluster that runs in the background", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if pid := running(dir); pid != 0 {
				if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
					return err
				}
				if err := awaitEnd(cmd.Context(), dir, pid); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(os.Stderr, "no cluster of %s is running\n", dir)
			}
			if !purge {
				return nil
			}
			// Only what looks like a cluster is ever removed.
			if _, err := os.Stat(filepath.Join(dir, "slot")); err == nil {
				return os.RemoveAll(dir)
			}
			return nil
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the directory too")
	return cmd
}

func assetsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "assets", Short: "Get etcd, kube-apiserver and kubectl and print their directory, for KUBEBUILDER_ASSETS", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := (binaries.Finder{Log: os.Stderr}).Directory(cmd.Context(), binaries.Etcd, binaries.APIServer, binaries.Kubectl)
			if err == nil {
				fmt.Println(dir)
			}
			return err
		},
	}
}

func kubectlCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "kubectl -- ARGS", Short: "Run a kubectl of the same version against the cluster",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := (binaries.Finder{Log: os.Stderr}).Ensure(cmd.Context(), binaries.Kubectl)
			if err != nil {
				return err
			}
			env := append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
			return syscall.Exec(found[binaries.Kubectl], append([]string{"kubectl"}, args...), env)
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
