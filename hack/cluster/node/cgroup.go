package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchy is a cgroup hierarchy of this machine: one of several of version 1, or the only one of version 2.
type hierarchy struct {
	// Mount is where this machine has it.
	Mount string
	// Options names its controllers, as mount(8) wants them; empty for version 2.
	Options string
}

// hierarchies reads the mount table. Where version 1 is in use, a version 2 beside it has no controllers and is left out.
func hierarchies() ([]hierarchy, error) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	found := parseMounts(string(table))
	if len(found) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted: a node needs one under /sys/fs/cgroup")
	}
	return found, nil
}

func parseMounts(table string) []hierarchy {
	var first, second []hierarchy
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 4 || filepath.Dir(f[1]) != "/sys/fs/cgroup" && f[1] != "/sys/fs/cgroup" {
			continue
		}
		switch f[2] {
		case "cgroup":
			if options := controllers(f[3]); options != "" {
				first = append(first, hierarchy{f[1], options})
			}
		case "cgroup2":
			second = append(second, hierarchy{Mount: f[1]})
		}
	}
	if len(first) > 0 {
		return first
	}
	return second
}

// controllers drops from the options of a mount what does not say which hierarchy it is.
func controllers(options string) string {
	kept := slices.DeleteFunc(strings.Split(options, ","), func(o string) bool {
		switch o {
		case "rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "xattr", "clone_children":
			return true
		}
		return strings.HasPrefix(o, "release_agent=")
	})
	named := slices.ContainsFunc(kept, func(o string) bool { return strings.HasPrefix(o, "name=") })
	if named {
		return "none," + strings.Join(kept, ",")
	}
	return strings.Join(kept, ",")
}

func (h hierarchy) dir(slot int) string { return filepath.Join(h.Mount, CgroupName(slot)) }

// make creates the node's subtree and gives it what it needs before a process can enter.
func (h hierarchy) make(slot int) error {
	dir := h.dir(slot)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if h.Options == "" {
		if err := enableControllers(h.Mount); err != nil {
			return err
		}
		weigh(filepath.Join(dir, "cpu.weight"), 10_000)
		return nil
	}
	if slices.Contains(strings.Split(h.Options, ","), "cpu") {
		weigh(filepath.Join(dir, "cpu.shares"), 102_400)
	}
	if !slices.Contains(strings.Split(h.Options, ","), "cpuset") {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(h.Mount, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// weigh lets a node with all its pods weigh a hundred processes of this machine, and not one: what is measured in it shall not
// depend on what else runs. Without that it works, too.
func weigh(file string, weight int) {
	_ = os.WriteFile(file, fmt.Append(nil, weight), 0o644)
}

// enter moves a process with all its threads into the node's subtree.
func (h hierarchy) enter(slot, pid int) error {
	return os.WriteFile(filepath.Join(h.dir(slot), "cgroup.procs"), fmt.Append(nil, pid), 0o644)
}

// enableControllers lets the children of a version 2 cgroup have every controller that it has.
func enableControllers(dir string) error {
	names, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(names)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0o644); err != nil {
			return fmt.Errorf("controller %s: %w", name, err)
		}
	}
	return nil
}

// removeCgroups removes the node's subtree from every hierarchy. It fails while a process is inside.
func removeCgroups(slot int) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var failed []error
	for _, h := range all {
		var dirs []string
		err := filepath.WalkDir(h.dir(slot), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // gone meanwhile
		})
		failed = append(failed, err)
		slices.Reverse(dirs) // children first
		for _, dir := range dirs {
			if err := os.Remove(dir); !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}
