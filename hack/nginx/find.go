package nginx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Find returns the path of an nginx: the one on PATH, one fetched earlier, or else Debian's package, downloaded and
// unpacked into the cache directory. Nothing is installed: no service starts, no file outside the cache changes. What
// it does is told on progress.
func Find(ctx context.Context, cache string, progress io.Writer) (string, error) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	root := filepath.Join(cache, "nginx")
	path := filepath.Join(root, "usr", "sbin", "nginx")
	if runs(ctx, path) {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("nginx is not on PATH and this is no Debian: install nginx with its auth_request module and try again")
	}
	fmt.Fprintf(progress, "nginx: not on PATH, unpacking Debian's package into %s (nothing is installed)\n", root)
	if err := unpack(ctx, root, progress); err != nil {
		return "", fmt.Errorf("nginx is not on PATH and Debian's package could not be had (install it by hand): %w", err)
	}
	if !runs(ctx, path) {
		return "", fmt.Errorf("%s does not run here: install nginx by the system's package manager and try again", path)
	}
	return path, nil
}

func runs(ctx context.Context, path string) bool {
	return exec.CommandContext(ctx, path, "-v").Run() == nil
}

// unpack downloads the package and extracts it; a fresh machine has no package lists yet, so it may fetch them first.
func unpack(ctx context.Context, root string, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "keyturn-nginx-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if err := run(ctx, dir, progress, "apt-get", "download", "nginx"); err != nil {
		fmt.Fprintln(progress, "nginx: no package lists yet, running apt-get update")
		update := []string{"apt-get", "update", "-q"}
		if os.Geteuid() != 0 {
			update = append([]string{"sudo", "-n"}, update...)
		}
		if err := run(ctx, dir, progress, update...); err != nil {
			return err
		}
		if err := run(ctx, dir, progress, "apt-get", "download", "nginx"); err != nil {
			return err
		}
	}
	packages, err := filepath.Glob(filepath.Join(dir, "nginx_*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("expected one package, got %v", packages)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	return run(ctx, dir, progress, "dpkg-deb", "-x", packages[0], root)
}

func run(ctx context.Context, dir string, output io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w", args, err)
	}
	return nil
}
