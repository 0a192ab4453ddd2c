//go:build linux

package trace

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programs are the names of processes that only a node has.
var programs = []string{"containerd", "containerd-shim", "ctr", "runc", "kubelet", "kube-proxy", "pause", "keyturn-node"}

// directories are where the programs of a node would write if they were not kept from it.
var directories = []string{"/etc/cni", "/etc/kubernetes", "/opt", "/run", "/run/netns", "/usr/libexec", "/var/lib", "/var/lib/cni", "/var/log"}

// settings are kernel settings that a kubelet or kube-proxy changes.
var settings = []string{
	"kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/ipv4/ip_forward",
	"net/netfilter/nf_conntrack_max", "net/bridge/bridge-nf-call-iptables", "vm/overcommit_memory", "vm/panic_on_oom",
}

// State is what was found, one line a thing.
type State []string

// Take looks now.
func Take() (State, error) {
	var s State
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		s = append(s, "mount "+strings.TrimSpace(line))
	}
	for line := range strings.Lines(string(routes)) {
		if f := strings.Fields(line); len(f) > 7 {
			s = append(s, fmt.Sprintf("route %s %s/%s", f[0], f[1], f[7]))
		}
	}
	for _, l := range links {
		s = append(s, "link "+l.Name)
	}
	for _, name := range settings {
		value, _ := os.ReadFile("/proc/sys/" + name)
		s = append(s, fmt.Sprintf("setting %s = %s", name, strings.TrimSpace(string(value))))
	}
	s = append(s, files()...)
	s = append(s, cgroups()...)
	s = append(s, processes()...)
	return append(s, firewall()...), nil
}

func files() (s State) {
	for _, dir := range directories {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			s = append(s, "file "+filepath.Join(dir, e.Name()))
		}
	}
	return s
}

func cgroups() (s State) {
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*"} {
		found, _ := filepath.Glob(pattern)
		for _, dir := range found {
			if name := filepath.Base(dir); strings.HasPrefix(name, "keyturn") || strings.HasPrefix(name, "kubepods") || name == "k8s.io" {
				s = append(s, "cgroup "+dir)
			}
		}
	}
	return s
}

// processes lists the node's programs by name, and every network namespace that some process is in. The children of a
// node have the machine's process table as their parent's, so they are all found here.
func processes() (s State) {
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range found {
		if name, err := os.Readlink(filepath.Join(dir, "ns", "net")); err == nil {
			if line := "namespace " + name; !slices.Contains(s, line) {
				s = append(s, line)
			}
		}
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		first, _, _ := strings.Cut(string(cmdline), "\x00")
		if base := filepath.Base(first); slices.ContainsFunc(programs, func(p string) bool { return strings.HasPrefix(base, p) }) {
			s = append(s, fmt.Sprintf("process %s %s", filepath.Base(dir), base))
		}
	}
	return s
}

func firewall() (s State) {
	out, err := exec.Command("nft", "list", "ruleset").Output() //nolint:noctx // it does not wait
	if err != nil {
		return State{"firewall unknown: " + err.Error()}
	}
	for line := range strings.Lines(string(out)) {
		s = append(s, "firewall "+strings.TrimSpace(line))
	}
	return s
}

// Since lists what is there now and was not before.
func (s State) Since(before State) []string {
	return slices.DeleteFunc(slices.Clone(s), func(line string) bool { return slices.Contains(before, line) })
}
