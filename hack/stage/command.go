package stage

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl runs kubectl against the cluster and returns what it printed.
func (s *Stage) Kubectl(ctx context.Context, args ...string) (string, error) {
	return s.kubectlWith(ctx, "", args...)
}

// Apply applies manifests.
func (s *Stage) Apply(ctx context.Context, manifests string) (string, error) {
	return s.kubectlWith(ctx, manifests, "apply", "-f", "-")
}

func (s *Stage) kubectlWith(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Cluster.KubectlPath(), append([]string{"--kubeconfig", s.Cluster.Kubeconfig()}, args...)...)
	cmd.Dir = s.options.Root
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

// Plugin runs `kubectl keyturn` and returns what it printed.
func (s *Stage) Plugin(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.binDir(), "kubectl-keyturn"), append(args, "--kubeconfig", s.Cluster.Kubeconfig())...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl keyturn %v: %w\n%s", args, err, out)
	}
	return string(out), nil
}
