// Package debian fetches programs that tests need from Debian's packages without installing anything.
//
//	Unpack(root, "redis-server") ──▶ apt-get downloads the package and what this machine lacks of its dependencies
//	                             ──▶ dpkg-deb -x each of them into root ──▶ root/usr/bin/redis-server
//
// No maintainer script runs, no service starts, no file outside the cache directory changes; root is not needed.
package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// complete is the file that says what was unpacked into a root; a root without it is not complete.
const complete = ".keyturn-packages"

// CacheDir is where programs are kept that were fetched: $KEYTURN_CACHE, or keyturn in the user's cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("KEYTURN_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w; set KEYTURN_CACHE to a directory", err)
	}
	return filepath.Join(dir, "keyturn"), nil
}

// Unpack makes root hold the content of packages and of those dependencies that are not installed here. If it does
// already, nothing happens. Processes that ask for the same root at once wait for each other. What it does is told on
// progress. The error says what to do on a machine that is no Debian.
func Unpack(ctx context.Context, root string, progress io.Writer, packages ...string) error {
	names := strings.Join(packages, " ")
	for _, program := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("this is no Debian (there is no %s): install %s and put the programs on PATH", program, names)
		}
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, root+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if has(root, packages) {
		return nil
	}
	fmt.Fprintf(progress, "debian: unpacking %s and what they need into %s (nothing is installed)\n", names, root)
	work, err := os.MkdirTemp(filepath.Dir(root), filepath.Base(root)+".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary directory
	if err := unpack(ctx, work, progress, packages); err != nil {
		return fmt.Errorf("packages %s could not be had (install them by hand): %w", names, err)
	}
	if err := os.RemoveAll(root); err != nil { // of other packages, or left by somebody else
		return err
	}
	return os.Rename(filepath.Join(work, "root"), root)
}

// Environment is what a program under root needs in its environment to find its libraries: entries to append to
// os.Environ().
func Environment(root string) []string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib", "lib"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is well formed
		dirs = append(dirs, found...)
	}
	// Some keep private libraries one directory deeper.
	private, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*/*/lib*.so*")) // the pattern is well formed
	for _, library := range private {
		if dir := filepath.Dir(library); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if inherited := os.Getenv("LD_LIBRARY_PATH"); inherited != "" {
		dirs = append(dirs, inherited)
	}
	if len(dirs) == 0 {
		return nil
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
}

func has(root string, packages []string) bool {
	text, err := os.ReadFile(filepath.Join(root, complete))
	if err != nil {
		return false
	}
	there := strings.Fields(string(text))
	return !slices.ContainsFunc(packages, func(p string) bool { return !slices.Contains(there, p) })
}

func unpack(ctx context.Context, work string, progress io.Writer, packages []string) error {
	archives, root := filepath.Join(work, "archives"), filepath.Join(work, "root")
	for _, dir := range []string{filepath.Join(archives, "partial"), root} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := download(ctx, archives, progress, packages); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("apt-get downloaded nothing")
	}
	for _, file := range files {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", file, root).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(file), err, out)
		}
	}
	fmt.Fprintf(progress, "debian: %d packages unpacked\n", len(files))
	return os.WriteFile(filepath.Join(root, complete), []byte(strings.Join(packages, "\n")+"\n"), 0o644) //nolint:gosec // no secret
}

// download fetches the packages and their missing dependencies. A fresh machine has no package lists: then they are
// fetched too, into a directory of this user's own, so that no root is needed.
func download(ctx context.Context, archives string, progress io.Writer, packages []string) error {
	lists := filepath.Join(filepath.Dir(filepath.Dir(archives)), "apt-lists")
	args := append([]string{
		"install", "--download-only", "--reinstall", "-y", "-q", "--no-install-recommends",
		"-o", "Dir::Cache::archives=" + archives + "/", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=",
	}, packages...)
	first, err := apt(ctx, nil, args...)
	if err == nil {
		return nil
	}
	own := []string{"-o", "Dir::State::lists=" + lists + "/", "-o", "Dir::Cache=" + filepath.Dir(archives) + "/"}
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil {
		return err
	}
	fmt.Fprintf(progress, "debian: no (or old) package lists, fetching them into %s\n", lists)
	unlock, err := lock(ctx, lists+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if out, err := apt(ctx, own, "update", "-q", "-o", "APT::Sandbox::User="); err != nil {
		return fmt.Errorf("apt-get install: %s\napt-get update: %w: %s", first, err, out)
	}
	if out, err := apt(ctx, own, args...); err != nil {
		return fmt.Errorf("apt-get install: %w: %s", err, out)
	}
	return nil
}

func apt(ctx context.Context, options []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "apt-get", append(slices.Clone(options), args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return cmd.CombinedOutput()
}

// lock waits until no other process holds the lock file. It ends with the process, too.
func lock(ctx context.Context, path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644) //nolint:gosec // no secret
	if err != nil {
		return nil, err
	}
	got := make(chan error, 1)
	go func() { got <- syscall.Flock(int(file.Fd()), syscall.LOCK_EX) }()
	select {
	case err := <-got:
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return func() { _ = file.Close() }, nil
	case <-ctx.Done():
		go func() { _, _ = <-got, file.Close() }()
		return nil, fmt.Errorf("another process is fetching packages (%s): %w", path, ctx.Err())
	}
}
