package node

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestSlotsDoNotMeet(t *testing.T) {
	var all []netip.Prefix
	for slot := range 16 {
		n := NetworkOf(slot)
		pods, services, link := netip.MustParsePrefix(n.Pods), netip.MustParsePrefix(n.Services), netip.MustParsePrefix(n.Host+"/30").Masked()
		if !services.Contains(netip.MustParseAddr(n.FirstService)) || !services.Contains(netip.MustParseAddr(n.DNS)) || !link.Contains(netip.MustParseAddr(n.Node)) {
			t.Errorf("slot %d: %+v", slot, n)
		}
		for _, ours := range []netip.Prefix{pods, services, link} {
			if i := slices.IndexFunc(all, ours.Overlaps); i >= 0 {
				t.Errorf("slot %d: %s and %s overlap", slot, ours, all[i])
			}
			all = append(all, ours)
		}
		if len(LinkName(slot)) > 15 {
			t.Errorf("%s is too long for a link", LinkName(slot))
		}
	}
}

func TestHierarchies(t *testing.T) {
	const first = `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,release_agent=/x,name=systemd 0 0
cgroup /elsewhere/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`
	if got, want := parseMounts(first), []hierarchy{{"/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"}, {"/sys/fs/cgroup/systemd", "none,name=systemd"}}; !slices.Equal(got, want) {
		t.Errorf("version 1 with an empty version 2 beside it: %v, want %v", got, want)
	}
	if got, want := parseMounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"), []hierarchy{{Mount: "/sys/fs/cgroup"}}; !slices.Equal(got, want) {
		t.Errorf("version 2: %v, want %v", got, want)
	}
}

// Every placeholder of the templates must be filled in, or a program gets a path that is none.
func TestConfigurationIsComplete(t *testing.T) {
	o := Options{Dir: t.TempDir(), Kubelet: "/k", Proxy: "/p", KubeletConfig: "/kc", ProxyConfig: "/pc", ClientCA: "/ca", Cert: "/cert", Key: "/key", PauseRef: "pause:1"}
	for name, text := range o.files() {
		for _, left := range []string{"{dir}", "{pause}", "{pods}", "{dns}", "{name}", "{clientCA}", "{cert}", "{key}", "{proxyConfig}"} {
			if strings.Contains(text, left) {
				t.Errorf("%s still has %s", name, left)
			}
		}
	}
}
