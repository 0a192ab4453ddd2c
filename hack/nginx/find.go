package nginx

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	"github.com/keyturn/keyturn/hack/debian"
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
	fmt.Fprintln(progress, "nginx: not on PATH, looking for Debian's package")
	if err := debian.Unpack(ctx, root, progress, "nginx"); err != nil {
		return "", fmt.Errorf("nginx with its auth_request module is not on PATH: %w", err)
	}
	if !runs(ctx, path) {
		return "", fmt.Errorf("%s does not run here: install nginx by the system's package manager and try again", path)
	}
	return path, nil
}

func runs(ctx context.Context, path string) bool {
	return exec.CommandContext(ctx, path, "-v").Run() == nil
}
