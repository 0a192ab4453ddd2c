// Package nginx finds, configures and runs a real nginx as an unprivileged process, for the demo and the tests.
//
// The configuration is docs/ingress/nginx.conf, the file that the documentation tells people to use; only its three
// addresses and its port are replaced.
package nginx

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/keyturn/keyturn/hack/daemon"
)

// Addresses are host:port of what nginx stands in front of and of nginx itself.
type Addresses struct{ Listen, ExtAuthz, TokenService, Application string }

// main is what surrounds the documented part: one process in the foreground that writes into its own directory only.
const main = `daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  include keyturn.conf;
}
`

// documented are the addresses that docs/ingress/nginx.conf names.
var documented = Addresses{
	Listen:       "listen      8080;",
	ExtAuthz:     "web-extauthz.demo.svc.cluster.local:8080",
	TokenService: "web-tokenservice.demo.svc.cluster.local:8080",
	Application:  "app.demo.svc.cluster.local:80",
}

// Configure writes the configuration for addresses into dir. recipe is the content of docs/ingress/nginx.conf.
func Configure(dir, recipe string, addresses Addresses) error {
	for _, r := range []struct{ from, to string }{
		{documented.Listen, "listen " + addresses.Listen + ";"},
		{documented.ExtAuthz, addresses.ExtAuthz},
		{documented.TokenService, addresses.TokenService},
		{documented.Application, addresses.Application},
	} {
		if !strings.Contains(recipe, r.from) {
			return fmt.Errorf("the recipe does not name %q: bring hack/nginx and docs/ingress/nginx.conf together", r.from)
		}
		recipe = strings.ReplaceAll(recipe, r.from, r.to)
	}
	if err := os.WriteFile(filepath.Join(dir, "keyturn.conf"), []byte(recipe), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(main), 0o600)
}

// Start runs the nginx at path with the configuration in dir and returns when it accepts connections on listen. Requests under
// way are finished when it is stopped.
func Start(ctx context.Context, path, dir, listen string) (*daemon.Server, error) {
	return daemon.Program{
		Name: "nginx", Path: path, Args: []string{"-p", dir, "-c", "nginx.conf", "-e", "stderr"},
		Dir: dir, Listen: listen, Quit: syscall.SIGQUIT,
	}.Start(ctx)
}
