// Package caddy finds, configures and runs a real Caddy as an unprivileged process, for the tests.
//
// The configuration is docs/ingress/Caddyfile, the file that the documentation tells people to use; only the addresses are
// replaced.
package caddy

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

// Addresses are host:port of what Caddy stands in front of and of Caddy itself.
type Addresses struct{ Listen, ExtAuthz, TokenService, Application string }

// documented are the addresses that docs/ingress/Caddyfile names.
var documented = Addresses{
	Listen: "http://:8080 {", ExtAuthz: "web-extauthz.demo.svc.cluster.local:8080",
	TokenService: "web-tokenservice.demo.svc.cluster.local:8080", Application: "app.demo.svc.cluster.local:80",
}

// options are what a test needs beside the documented part: no administration port, no certificate.
const options = "{\n\tadmin off\n\tauto_https off\n}\n"

// Find returns the path of a caddy: the one on PATH, or else Debian's package, unpacked into the cache directory. Nothing
// is installed. What it does is told on progress.
func Find(ctx context.Context, cache string, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("caddy"); err == nil {
		return path, nil
	}
	root := filepath.Join(cache, "caddy")
	if err := debian.Unpack(ctx, root, progress, "caddy"); err != nil {
		return "", fmt.Errorf("caddy is not on PATH: %w", err)
	}
	return filepath.Join(root, "usr", "bin", "caddy"), nil
}

// Configure writes the configuration for addresses into dir. recipe is the content of docs/ingress/Caddyfile.
func Configure(dir, recipe string, addresses Addresses) error {
	host, port, _ := strings.Cut(addresses.Listen, ":")
	for _, r := range []struct{ from, to string }{
		{documented.Listen, "http://:" + port + " {\n\tbind " + host},
		{documented.ExtAuthz, addresses.ExtAuthz}, {documented.TokenService, addresses.TokenService}, {documented.Application, addresses.Application},
	} {
		if !strings.Contains(recipe, r.from) {
			return fmt.Errorf("the recipe does not name %q: bring hack/caddy and docs/ingress/Caddyfile together", r.from)
		}
		recipe = strings.ReplaceAll(recipe, r.from, r.to)
	}
	return os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(options+recipe), 0o600)
}

// Start runs the caddy at path with the configuration in dir and returns when it accepts connections on listen.
func Start(ctx context.Context, path, dir, listen string) (*daemon.Server, error) {
	return daemon.Program{
		Name: "caddy", Path: path, Args: []string{"run", "--config", "Caddyfile", "--adapter", "caddyfile"}, Dir: dir, Listen: listen,
	}.Start(ctx)
}
