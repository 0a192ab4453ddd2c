package stage

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyturn/keyturn/hack/daemon"
	"github.com/keyturn/keyturn/hack/nginx"
	"github.com/keyturn/keyturn/hack/port"
)

func (s *Stage) findNginx(ctx context.Context) error {
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	if s.NginxPath, err = nginx.Find(ctx, cache, s.options.Progress); err != nil {
		return err
	}
	if s.kept, err = s.chooseListen(); err != nil {
		return err
	}
	s.URL = "http://" + s.kept.Address()
	return nil
}

func (s *Stage) startNginx(ctx context.Context) error { return s.StartNginx(ctx, Namespace) }

// StartNginx puts nginx, as docs/ingress documents it, in front of the TokenService web of a namespace and of the small
// application.
func (s *Stage) StartNginx(ctx context.Context, namespace string) (err error) {
	if s.application, err = startApplication(); err != nil {
		return err
	}
	s.nginx, err = s.runNginx(ctx, namespace, Service, s.kept.Address(), filepath.Join(s.options.Dir, "nginx"))
	return err
}

// Front is one more nginx, in front of another TokenService and the same application.
type Front struct {
	// URL is where it listens.
	URL    string
	server *daemon.Server
	kept   *port.Kept
}

// Stop ends it.
func (f *Front) Stop() { f.server.Stop() }

// User returns a client of this front with connections of its own.
func (f *Front) User() *User { return newUser(f.URL) }

// StartFront puts another nginx in front of a TokenService. The stage's own must run already.
func (s *Stage) StartFront(ctx context.Context, namespace, service string) (*Front, error) {
	return s.startFront(ctx, namespace, service, "nginx-"+namespace+"-"+service)
}

// StartPagesFront is StartFront for a TokenPolicy with cookies: a page whose token has expired leads to /auth/continue.
func (s *Stage) StartPagesFront(ctx context.Context, namespace, service string) (*Front, error) {
	return s.startFront(ctx, namespace, service, "nginx-pages-"+namespace+"-"+service, "set $keyturn_cookies no;", "set $keyturn_cookies yes;")
}

func (s *Stage) startFront(ctx context.Context, namespace, service, dir string, edits ...string) (*Front, error) {
	kept, err := port.Keep()
	if err != nil {
		return nil, err
	}
	server, err := s.runNginx(ctx, namespace, service, kept.Address(), filepath.Join(s.options.Dir, dir), edits...)
	if err != nil {
		return nil, err
	}
	return &Front{URL: "http://" + kept.Address(), server: server, kept: kept}, nil
}

func (s *Stage) runNginx(ctx context.Context, namespace, service, listen, dir string, edits ...string) (*daemon.Server, error) {
	recipe, err := os.ReadFile(filepath.Join(s.options.Root, "docs", "ingress", "nginx.conf"))
	if err != nil {
		return nil, err
	}
	addresses := nginx.Addresses{Listen: listen, Application: s.application.address}
	if addresses.ExtAuthz, err = s.ServiceAddress(ctx, namespace, service+"-extauthz", "http"); err != nil {
		return nil, err
	}
	if addresses.TokenService, err = s.ServiceAddress(ctx, namespace, service+"-tokenservice", "http"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := nginx.Configure(dir, strings.NewReplacer(edits...).Replace(string(recipe)), addresses); err != nil {
		return nil, err
	}
	return nginx.Start(ctx, s.NginxPath, dir, listen)
}
