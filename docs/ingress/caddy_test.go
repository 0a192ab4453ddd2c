package ingress_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/hack/caddy"
	"github.com/keyturn/keyturn/hack/debian"
)

// caddyProxy asks again once where a connection that it kept breaks.
var caddyProxy = proxy{name: "caddy", tries: 2, run: func(t *testing.T, at addresses) {
	t.Helper()
	cache, err := debian.CacheDir()
	check(t, err)
	path, err := caddy.Find(t.Context(), cache, t.Output())
	check(t, err)
	runCaddy(t, path, at)
}}

// currentCaddy is the newest version that was tried. Building it takes minutes, so it is one of `make soak` only.
var currentCaddy = proxy{name: "current caddy", tries: 2, run: func(t *testing.T, at addresses) {
	t.Helper()
	cache, err := debian.CacheDir()
	check(t, err)
	path, err := caddy.Build(t.Context(), cache, filepath.Join("..", "..", "hack", "caddy", "current"), t.Output())
	check(t, err)
	runCaddy(t, path, at)
}}

func init() {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		proxies = append(proxies, currentCaddy)
	}
}

func runCaddy(t *testing.T, path string, at addresses) {
	t.Helper()
	recipe, err := os.ReadFile("Caddyfile")
	check(t, err)
	dir := t.TempDir()
	check(t, caddy.Configure(dir, strings.Replace(string(recipe), "/authz/caddy/-/default", "/authz/caddy/shop/web", 1), caddy.Addresses{
		Listen: at.listen, ExtAuthz: at.extAuthz, TokenService: at.tokenService, Application: at.application,
	}))
	server, err := caddy.Start(t.Context(), path, dir, at.listen)
	check(t, err)
	t.Cleanup(server.Stop)
}
