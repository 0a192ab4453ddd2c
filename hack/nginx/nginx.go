// Package nginx finds, configures and runs a real nginx as an unprivileged process, for the demo and the tests.
//
// The configuration is docs/ingress/nginx.conf, the file that the documentation tells people to use; only its three
// addresses and its port are replaced.
package nginx

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
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

// Server is a running nginx.
type Server struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

// Start runs the nginx at path with the configuration in dir and returns when it accepts connections on listen.
// It ends with Stop, and with this process however that ends.
func Start(ctx context.Context, path, dir, listen string) (*Server, error) {
	log, err := os.OpenFile(filepath.Join(dir, "nginx.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(path, "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	s := &Server{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(s.ended)
	}()
	if err := s.accepting(ctx, listen); err != nil {
		s.Stop()
		text, _ := os.ReadFile(filepath.Join(dir, "nginx.log"))
		return nil, fmt.Errorf("nginx does not come up: %w\n%s", err, text)
	}
	return s, nil
}

func (s *Server) accepting(ctx context.Context, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listen)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s: %w", listen, err)
		case <-tick.C:
		}
	}
}

// Stop ends nginx and waits for it.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // graceful: requests under way are finished
	select {
	case <-s.ended:
	case <-time.After(3 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}
