package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"

	"github.com/keyturn/keyturn/hack/debian"
)

// debianPackage holds the server.
const debianPackage = "postgresql-15"

// Programs are the two programs that a server needs.
type Programs struct {
	Postgres, Initdb string
	// Environment is what they need besides that of this process.
	Environment []string
}

// Find returns the programs on PATH, or those of a Debian installation, which keeps them elsewhere, or else unpacks
// Debian's package into the cache directory. Nothing is installed. What it does is told on progress.
func Find(ctx context.Context, cache string, progress io.Writer) (Programs, error) {
	if server, err := exec.LookPath("postgres"); err == nil {
		if initdb, err := exec.LookPath("initdb"); err == nil {
			return Programs{Postgres: server, Initdb: initdb}, nil
		}
	}
	if p, found := below("/"); found {
		return p, nil
	}
	return unpacked(ctx, cache, progress)
}

// unpacked takes Debian's package.
func unpacked(ctx context.Context, cache string, progress io.Writer) (Programs, error) {
	cache, err := reachable(cache)
	if err != nil {
		return Programs{}, err
	}
	root := filepath.Join(cache, "postgres")
	if err := debian.Unpack(ctx, root, progress, debianPackage); err != nil {
		return Programs{}, fmt.Errorf("PostgreSQL is not on PATH: %w", err)
	}
	p, found := below(root)
	if !found {
		return Programs{}, fmt.Errorf("PostgreSQL is not on PATH, and package %s holds none: install it by hand", debianPackage)
	}
	p.Environment = debian.Environment(root)
	if out, err := p.command(ctx, p.Postgres, "--version").CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("%s does not run here: %w: %s", p.Postgres, err, out)
	}
	return p, nil
}

// below looks where Debian keeps the programs, the newest version first.
func below(root string) (Programs, bool) {
	dirs, _ := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin")) // the pattern is well formed
	sort.Sort(sort.Reverse(sort.StringSlice(dirs)))
	for _, dir := range dirs {
		p := Programs{Postgres: filepath.Join(dir, "postgres"), Initdb: filepath.Join(dir, "initdb")}
		if isFile(p.Postgres) && isFile(p.Initdb) {
			return p, true
		}
	}
	return Programs{}, false
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// command runs a program as somebody whom PostgreSQL accepts.
func (p Programs) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "TZ=UTC"), p.Environment...)
	cmd.Dir = "/"
	cmd.SysProcAttr = unprivileged()
	return cmd
}
