package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tunables are what the kubelet wants the kernel to be set to. They belong to the whole machine, so the node is shown
// the wanted values and nothing is changed.
var tunables = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// mounts makes the node's private view: its own /proc, /sys, cgroups and /run, and a /var whose changes stay in memory.
// Only Plan.Dir is the machine's.
func (p plan) mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	dir, err := unix.Open(p.Dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir) //nolint:errcheck // a path, nothing is written
	if err := errors.Join(mount("proc", "/proc", "proc", ""), mount("sysfs", "/sys", "sysfs", "")); err != nil {
		return err
	}
	if err := p.cgroups(); err != nil {
		return err
	}
	if err := mount("tmpfs", "/run", "tmpfs", "mode=755"); err != nil {
		return err
	}
	upper, work := "/run/var/upper", "/run/var/work"
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	if err := mount("overlay", "/var", "overlay", fmt.Sprintf("lowerdir=/var,upperdir=%s,workdir=%s", upper, work)); err != nil {
		return err
	}
	// Dir may lie below what has been covered; the descriptor still leads to it.
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", dir), p.Dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", p.Dir, err)
	}
	return p.tunables()
}

func mount(source, target, kind, options string) error {
	if err := unix.Mount(source, target, kind, 0, options); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", kind, target, err)
	}
	return nil
}

// cgroups mounts the hierarchies again. In the cgroup namespace their root is the node's own subtree.
func (p plan) cgroups() error {
	if len(p.Hierarchies) == 1 && p.Hierarchies[0].Options == "" {
		return p.unified()
	}
	if err := mount("tmpfs", "/sys/fs/cgroup", "tmpfs", "mode=755"); err != nil {
		return err
	}
	for _, h := range p.Hierarchies {
		if err := os.Mkdir(h.Mount, 0o755); err != nil {
			return err
		}
		if err := mount("cgroup", h.Mount, "cgroup", h.Options); err != nil {
			return err
		}
		name := filepath.Base(h.Mount)
		if !strings.Contains(name, ",") {
			continue
		}
		for one := range strings.SplitSeq(name, ",") { // cpu,cpuacct is found as cpu too
			if err := os.Symlink(name, filepath.Join(filepath.Dir(h.Mount), one)); err != nil {
				return err
			}
		}
	}
	return nil
}

// unified is version 2, where a group that has processes cannot have children with controllers: the programs of the
// node go into a child.
func (p plan) unified() error {
	root := p.Hierarchies[0].Mount
	if err := mount("cgroup2", root, "cgroup2", ""); err != nil {
		return err
	}
	programs := filepath.Join(root, "programs")
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(programs, "cgroup.procs"), []byte("1"), 0o644); err != nil {
		return err
	}
	return enableControllers(root)
}

func (p plan) tunables() error {
	for name, value := range tunables {
		file := filepath.Join("/run/tunables", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(value+"\n"), 0o644)); err != nil {
			return err
		}
		if err := unix.Mount(file, filepath.Join("/proc/sys", name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("covering %s: %w", name, err)
		}
	}
	return nil
}
