package stage

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyturn/keyturn/hack/nginx"
)

func (s *Stage) findNginx(ctx context.Context) error {
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	if s.NginxPath, err = nginx.Find(ctx, cache, s.options.Progress); err != nil {
		return err
	}
	listen, err := s.chooseListen()
	s.URL = "http://" + listen
	return err
}

func (s *Stage) startNginx(ctx context.Context) error { return s.StartNginx(ctx, Namespace) }

// StartNginx puts nginx, as docs/ingress documents it, in front of the TokenService web of a namespace and of the small
// application.
func (s *Stage) StartNginx(ctx context.Context, namespace string) (err error) {
	if s.application, err = startApplication(); err != nil {
		return err
	}
	recipe, err := os.ReadFile(filepath.Join(s.options.Root, "docs", "ingress", "nginx.conf"))
	if err != nil {
		return err
	}
	addresses := nginx.Addresses{Listen: strings.TrimPrefix(s.URL, "http://"), Application: s.application.address}
	if addresses.ExtAuthz, err = s.ServiceAddress(ctx, namespace, Service+"-extauthz", "http"); err != nil {
		return err
	}
	if addresses.TokenService, err = s.ServiceAddress(ctx, namespace, Service+"-tokenservice", "http"); err != nil {
		return err
	}
	dir := filepath.Join(s.options.Dir, "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := nginx.Configure(dir, string(recipe), addresses); err != nil {
		return err
	}
	s.nginx, err = nginx.Start(ctx, s.NginxPath, dir, addresses.Listen)
	return err
}
