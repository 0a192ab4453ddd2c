package ingress_test

import (
	"os"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/hack/debian"
	"github.com/keyturn/keyturn/hack/nginx"
)

// nginxProxy has each of Keyturn's servers twice.
var nginxProxy = proxy{name: "nginx", tries: 2, run: func(t *testing.T, at addresses) {
	t.Helper()
	recipe, err := os.ReadFile("nginx.conf")
	check(t, err)
	text := strings.Replace(string(recipe), "set $keyturn_cookies no;", "set $keyturn_cookies yes;", 1)
	dir := t.TempDir()
	check(t, nginx.Configure(dir, strings.Replace(text, "/authz/nginx/-/default", "/authz/nginx/shop/web", 1), nginx.Addresses{
		Listen: at.listen, ExtAuthz: at.extAuthz, TokenService: at.tokenService, Application: at.application,
	}))
	cache, err := debian.CacheDir()
	check(t, err)
	path, err := nginx.Find(t.Context(), cache, t.Output())
	check(t, err)
	server, err := nginx.Start(t.Context(), path, dir, at.listen)
	check(t, err)
	t.Cleanup(server.Stop)
}}
