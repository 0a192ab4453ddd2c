package stage

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// FindHelm returns the pinned Helm, built into the cache when it is not there or the pin has moved.
func FindHelm(ctx context.Context, root string, progress io.Writer) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join(cache, "helm", "helm"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		fmt.Fprintf(progress, "first run: compiling helm from its pinned module, about two minutes on two cores, kept in %s\n", path)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "helm.sh/helm/v4/cmd/helm")
	cmd.Dir = filepath.Join(root, "hack", "helm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling helm: %w\n%s", err, out)
	}
	return path, nil
}

// Release is what a `helm install` or `helm upgrade` of the chart on a real node is followed by.
var Release = []string{
	"keyturn", "charts/keyturn", "--namespace", "keyturn-system", "--create-namespace", "--wait", "--timeout", "120s",
	"--set", "image.tag=dev",
}

// Helm runs Helm against the cluster, without the configuration of whoever runs it.
func (s *Stage) Helm(ctx context.Context, args ...string) (string, error) {
	helm, err := FindHelm(ctx, s.options.Root, s.options.Progress)
	if err != nil {
		return "", err
	}
	home := filepath.Join(s.options.Dir, "helm")
	cmd := exec.CommandContext(ctx, helm, append(args, "--kubeconfig", s.Cluster.Kubeconfig())...)
	cmd.Dir = s.options.Root
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("helm %v: %w\n%s", args, err, out)
	}
	return string(out), nil
}
