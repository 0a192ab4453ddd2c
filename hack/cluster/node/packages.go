package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// needed maps a program to the Debian package that holds it.
var needed = []struct{ program, pkg string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{filepath.Join(pluginDir, "bridge"), "containernetworking-plugins"},
	{filepath.Join(pluginDir, "host-local"), "containernetworking-plugins"},
	{filepath.Join(pluginDir, "loopback"), "containernetworking-plugins"},
	{filepath.Join(pluginDir, "portmap"), "containernetworking-plugins"},
	{"iptables", "iptables"},
	{"nft", "nftables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
}

// missing lists the Debian packages of which a program is not there.
func missing() []string {
	var pkgs []string
	for _, n := range needed {
		if _, err := exec.LookPath(n.program); err != nil && !slices.Contains(pkgs, n.pkg) {
			pkgs = append(pkgs, n.pkg)
		}
	}
	return pkgs
}

// Install installs the Debian packages that a node needs and this machine lacks. It tells log what it does.
func Install(ctx context.Context, log io.Writer) error {
	pkgs := missing()
	if len(pkgs) == 0 {
		return nil
	}
	names := strings.Join(pkgs, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("a real node needs the Debian packages %s, and this machine has no apt-get: install their like by hand", names)
	}
	fmt.Fprintf(log, "installing Debian packages that are missing: apt-get install --no-install-recommends %s\n", names)
	install := append([]string{"install", "-y", "-q", "--no-install-recommends"}, pkgs...)
	if out, err := aptGet(ctx, install...); err != nil {
		fmt.Fprintf(log, "that failed; running apt-get update first\n")
		if updated, updateErr := aptGet(ctx, "update", "-q"); updateErr != nil {
			return fmt.Errorf("apt-get update: %w\n%s%s", updateErr, out, updated)
		}
		if out, err = aptGet(ctx, install...); err != nil {
			return fmt.Errorf("apt-get install %s: %w\n%s", names, err, out)
		}
	}
	if pkgs := missing(); len(pkgs) > 0 {
		return fmt.Errorf("after the installation the programs of %s are still not there", strings.Join(pkgs, " "))
	}
	return nil
}

func aptGet(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
