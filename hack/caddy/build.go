package caddy

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Build returns the path of a current Caddy: the version that the module hack/caddy/current pins, built into the cache
// directory unless it is there. It takes minutes and 80 MB once. module is the path of that directory.
func Build(ctx context.Context, cache, module string, progress io.Writer) (string, error) {
	pinned, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, "caddy-current")
	path, mark := filepath.Join(root, "caddy"), filepath.Join(root, "go.sum")
	if built, err := os.ReadFile(mark); err == nil && string(built) == string(pinned) {
		return path, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	fmt.Fprintln(progress, "caddy: building the current version into", root)
	fresh := path + ".new"
	build := exec.CommandContext(ctx, "go", "build", "-o", fresh, ".")
	build.Dir, build.Env = module, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a current caddy: %w: %s", err, out)
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", err
	}
	return path, os.WriteFile(mark, pinned, 0o644) //nolint:gosec // no secret
}
