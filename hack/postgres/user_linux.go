package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// nobody is who runs the server for root. It owns no file of the system.
const nobody = 65534

func unprivileged() *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// give makes the server's user the owner of paths.
func give(paths ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, path := range paths {
		if err := os.Chown(path, nobody, nobody); err != nil {
			return err
		}
	}
	return nil
}

// reachable returns the cache directory, or one that the server's user can enter: the cache of root often lies where
// nobody else may look.
func reachable(cache string) (string, error) {
	if os.Geteuid() != 0 {
		return cache, nil
	}
	open := true
	for dir := filepath.Clean(cache); open && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		open = errors.Is(err, os.ErrNotExist) || err == nil && info.Mode()&0o001 != 0
	}
	if open {
		return cache, nil
	}
	dir := filepath.Join(os.TempDir(), "keyturn-programs-root")
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) { //nolint:gosec // others must enter
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 0 || !info.IsDir() || info.Mode()&0o022 != 0 {
		return "", errors.New(dir + " is not a directory of root's own: remove it")
	}
	return dir, nil
}
