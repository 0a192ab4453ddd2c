// Package redis finds and runs real Redis or Valkey servers for tests: one, a primary with replicas and sentinels, or a
// cluster, all on loopback ports that are free, with their data in a directory of the test.
//
// Every server is a child of the test process and ends with it, however that ends.
package redis

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/keyturn/keyturn/hack/debian"
)

// Program is a server program that runs here.
type Program struct {
	// Path is the executable, Environment what it needs in addition to the process's own.
	Path        string
	Environment []string
}

// Find returns redis-server or valkey-server from PATH, or else Debian's, which it unpacks into the cache directory and
// does not install. What it does is told on progress.
func Find(ctx context.Context, progress io.Writer) (Program, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return Program{Path: path}, nil
		}
	}
	cache, err := debian.CacheDir()
	if err != nil {
		return Program{}, err
	}
	root := filepath.Join(cache, "redis")
	// The program of redis-server is a link into redis-tools.
	if err := debian.Unpack(ctx, root, progress, "redis-server", "redis-tools"); err != nil {
		return Program{}, fmt.Errorf("neither redis-server nor valkey-server is on PATH: %w", err)
	}
	p := Program{Path: filepath.Join(root, "usr", "bin", "redis-server"), Environment: debian.Environment(root)}
	cmd := exec.CommandContext(ctx, p.Path, "--version")
	cmd.Env = append(os.Environ(), p.Environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return Program{}, fmt.Errorf("%s does not run here (install redis-server by hand): %w: %s", p.Path, err, out)
	}
	return p, nil
}
