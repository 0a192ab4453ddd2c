package binaries

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const heartbeat = 15 * time.Second

// buildOrder puts first what others may be waiting for.
var buildOrder = []string{Etcd, APIServer, ControllerManager, Kubectl, Scheduler, Kubelet, Proxy}

func (f Finder) build(ctx context.Context, names []string) error {
	module, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.built(), 0o755); err != nil {
		return err
	}
	fmt.Fprintf(f.Log, "first run: compiling %s of Kubernetes %s from the Go modules, about 5 minutes on two cores when nothing is cached, kept in %s\n",
		strings.Join(names, ", "), Version, f.built())
	start := time.Now()
	for _, name := range buildOrder {
		for _, n := range names {
			if n != name {
				continue
			}
			if err := f.buildOne(ctx, module, name); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(f.Log, "compiled in %d s\n", int(time.Since(start).Seconds()))
	return nil
}

func (f Finder) buildOne(ctx context.Context, module, name string) error {
	tmp := filepath.Join(f.built(), fmt.Sprintf(".%s.%d", name, os.Getpid()))
	defer os.Remove(tmp)
	var output strings.Builder
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", linkFlags(), "-o", tmp, packages[name])
	cmd.Dir = module
	cmd.Env = buildEnvironment()
	cmd.Stdout, cmd.Stderr = &output, &output
	// The go command starts compilers; an interrupt must reach it, so that it removes its temporary files.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second

	start := time.Now()
	fmt.Fprintf(f.Log, "  %s …\n", name)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		t := time.NewTicker(heartbeat)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				fmt.Fprintf(f.Log, "  %s … still compiling, %d s\n", name, int(time.Since(start).Seconds()))
			case <-stop:
				return
			}
		}
	}()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("compiling %s failed: %w\n%s", name, err, tail(output.String(), 30))
	}
	if err := os.Rename(tmp, filepath.Join(f.built(), name)); err != nil {
		return err
	}
	fmt.Fprintf(f.Log, "  %s compiled in %d s\n", name, int(time.Since(start).Seconds()))
	return nil
}

// linkFlags stamps the version. They, like the environment, must never differ between two runs: the
// build cache is keyed by them, and a miss costs minutes.
func linkFlags() string {
	number := strings.Split(strings.TrimPrefix(Version, "v"), ".")
	b := strings.Builder{}
	b.WriteString("-s -w")
	for _, p := range []string{"k8s.io/client-go/pkg/version", "k8s.io/component-base/version"} {
		for _, kv := range [][2]string{
			{"gitVersion", Version}, {"gitMajor", number[0]}, {"gitMinor", number[1]},
			{"gitTreeState", "archive"}, {"buildDate", "1970-01-01T00:00:00Z"},
		} {
			fmt.Fprintf(&b, " -X %s.%s=%s", p, kv[0], kv[1])
		}
	}
	return b.String()
}

func buildEnvironment() []string {
	return append(os.Environ(),
		"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
}

// moduleDir finds hack/cluster/kubernetes: beside this source file, or by the module that the working
// directory belongs to (a program built with -trimpath does not know its sources).
func moduleDir(ctx context.Context) (string, error) {
	var candidates []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		candidates = append(candidates, filepath.Join(filepath.Dir(file), "..", "kubernetes"))
	}
	if out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/keyturn/keyturn").Output(); err == nil {
		candidates = append(candidates, filepath.Join(strings.TrimSpace(string(out)), "hack", "cluster", "kubernetes"))
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", ErrNoModule
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
