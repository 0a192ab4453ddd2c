package ingress_test

import (
	"os"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/hack/debian"
	"github.com/keyturn/keyturn/hack/haproxy"
)

// haproxyProxy asks again three times after a failure.
var haproxyProxy = proxy{name: "haproxy", tries: 4, run: func(t *testing.T, at addresses) {
	t.Helper()
	recipe, err := os.ReadFile("haproxy.cfg")
	check(t, err)
	script, err := os.ReadFile("haproxy.lua")
	check(t, err)
	dir := t.TempDir()
	text := strings.Replace(string(recipe), "lua.keyturn -/default", "lua.keyturn shop/web", 1)
	check(t, haproxy.Configure(dir, text, string(script), haproxy.Addresses{
		Listen: at.listen, ExtAuthz: at.extAuthz, TokenService: at.tokenService, Application: at.application,
	}))
	cache, err := debian.CacheDir()
	check(t, err)
	path, err := haproxy.Find(t.Context(), cache, t.Output())
	check(t, err)
	server, err := haproxy.Start(t.Context(), path, dir, at.listen)
	check(t, err)
	t.Cleanup(server.Stop)
}}
