// Package haproxy finds, configures and runs a real HAProxy as an unprivileged process, for the tests.
//
// The configuration is docs/ingress/haproxy.cfg with haproxy.lua, the files that the documentation tells people to use; only
// the addresses and the path of the script are replaced.
package haproxy

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/keyturn/keyturn/hack/daemon"
	"github.com/keyturn/keyturn/hack/debian"
)

// Addresses are host:port of what HAProxy stands in front of and of HAProxy itself.
type Addresses struct{ Listen, ExtAuthz, TokenService, Application string }

// documented are the addresses that docs/ingress/haproxy.cfg names.
var documented = Addresses{
	Listen: "bind :8080", ExtAuthz: "web-extauthz.demo.svc.cluster.local:8080",
	TokenService: "web-tokenservice.demo.svc.cluster.local:8080", Application: "app.demo.svc.cluster.local:80",
}

// Find returns the path of an haproxy: the one on PATH, or else Debian's package, unpacked into the cache directory.
// Nothing is installed. What it does is told on progress.
func Find(ctx context.Context, cache string, progress io.Writer) (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	root := filepath.Join(cache, "haproxy")
	if err := debian.Unpack(ctx, root, progress, "haproxy"); err != nil {
		return "", fmt.Errorf("haproxy is not on PATH: %w", err)
	}
	return filepath.Join(root, "usr", "sbin", "haproxy"), nil
}

// Configure writes the configuration for addresses into dir. recipe and script are the contents of
// docs/ingress/haproxy.cfg and haproxy.lua.
func Configure(dir, recipe, script string, addresses Addresses) error {
	lua := filepath.Join(dir, "keyturn.lua")
	for _, r := range []struct{ from, to string }{
		{documented.Listen, "bind " + addresses.Listen}, {documented.ExtAuthz, addresses.ExtAuthz},
		{documented.TokenService, addresses.TokenService}, {documented.Application, addresses.Application},
		{"/etc/haproxy/keyturn.lua", lua},
	} {
		if !strings.Contains(recipe, r.from) {
			return fmt.Errorf("the recipe does not name %q: bring hack/haproxy and docs/ingress/haproxy.cfg together", r.from)
		}
		recipe = strings.ReplaceAll(recipe, r.from, r.to)
	}
	if err := os.WriteFile(lua, []byte(script), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "haproxy.cfg"), []byte(recipe), 0o600)
}

// Start runs the haproxy at path with the configuration in dir and returns when it accepts connections on listen.
func Start(ctx context.Context, path, dir, listen string) (*daemon.Server, error) {
	program := daemon.Program{Name: "haproxy", Path: path, Args: []string{"-db", "-f", "haproxy.cfg"}, Dir: dir, Listen: listen}
	// The program is in the cache with its libraries, if it is not installed: <cache>/haproxy/usr/sbin/haproxy.
	root := filepath.Dir(filepath.Dir(filepath.Dir(path)))
	if environment := debian.Environment(root); root != "/" && len(environment) > 0 {
		program.Path, program.Args = "/usr/bin/env", append(append(environment, path), program.Args...)
	}
	return program.Start(ctx)
}
