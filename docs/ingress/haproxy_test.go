package ingress_test

import (
	"os"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/hack/debian"
	"github.com/keyturn/keyturn/hack/haproxy"
)

// haproxyProxy asks again three times after a failure.
var haproxyProxy = haproxyWith(func(recipe, script string) (string, string) {
	return strings.Replace(recipe, "lua.keyturn -/default", "lua.keyturn shop/web", 1), script
})

// haproxyWith is HAProxy with a change of its recipe.
func haproxyWith(change func(recipe, script string) (string, string)) proxy {
	return proxy{name: "haproxy", tries: 4, run: func(t *testing.T, at addresses) {
		t.Helper()
		recipe, err := os.ReadFile("haproxy.cfg")
		check(t, err)
		script, err := os.ReadFile("haproxy.lua")
		check(t, err)
		dir := t.TempDir()
		text, lua := change(string(recipe), string(script))
		check(t, haproxy.Configure(dir, text, lua, haproxy.Addresses{
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
}

// HAProxy goes on with the next rule where a script fails, as one does that gets no memory: nothing passes.
func TestHAProxyFailingScript(t *testing.T) {
	for name, before := range map[string]string{
		"at once":          "  local asked = {}\n",
		"before it asks":   "  local ok, answer = pcall(",
		"with the answer":  "  if not ok or not answer",
		"when it refuses":  "  txn:done(txn:reply{",
		"when it allows":   "      txn.http:req_del_header(name)\n",
		"at the very last": "    txn:set_var(\"txn.keyturn_allowed\", true)",
	} {
		t.Run(name, func(t *testing.T) {
			f := haproxyWith(func(recipe, script string) (string, string) {
				if strings.Count(script, before) != 1 {
					t.Fatalf("the script has no %q", before)
				}
				return recipe, strings.Replace(script, before, "  error(\"injected\")\n"+before, 1)
			}).put(t, "")
			allowing := name == "when it allows" || name == "at the very last"
			for _, headers := range [][]string{
				nil, {"Authorization: " + f.bearer(t, "admin")},
				{"X-Keyturn-Allowed: true", "txn.keyturn_allowed: true", "keyturn_allowed: 1", "Cookie: txn.keyturn_allowed=true"},
			} {
				good := len(headers) == 1
				want := 503
				switch {
				case allowing && !good:
					want = 401
				case name == "when it refuses" && good:
					want = 200
				}
				got := f.ask(t, "GET /admin/x?txn.keyturn_allowed=1", headers...)
				if asked := len(f.application.take()); got.status != want || (asked > 0) != (want == 200) {
					t.Errorf("%.40q: %d, want %d; the application is asked %d times", headers, got.status, want, asked)
				}
			}
			if got := f.ask(t, "GET /auth/continue"); got.status != 200 {
				t.Errorf("the token service: %d", got.status)
			}
		})
	}
}

// The page's lines for two hosts with two policies.
func TestHAProxyTwoHosts(t *testing.T) {
	page, err := os.ReadFile("haproxy.md")
	check(t, err)
	_, lines, found := strings.Cut(string(page), "```haproxy\n")
	lines, _, closed := strings.Cut(lines, "```")
	if !found || !closed {
		t.Fatal("haproxy.md has no lines for several hosts")
	}
	f := haproxyWith(func(recipe, script string) (string, string) {
		const one = "  http-request lua.keyturn -/default unless tokenservice\n"
		if strings.Count(recipe, one) != 1 {
			t.Fatal("the recipe has no line for one policy")
		}
		return strings.Replace(recipe, one, lines, 1), script
	}).put(t, "")
	buyer, admin := "Authorization: "+f.bearer(t, "buyer"), "Authorization: "+f.bearer(t, "admin")
	for _, row := range []struct {
		target, host, credential string
		status                   int
	}{
		{"/x", "orders.example.com", "", 401},
		{"/x", "orders.example.com", buyer, 403}, // shop/orders is for admins
		{"/x", "ORDERS.example.com:8080", buyer, 403},
		{"/open/x", "orders.example.com", "", 401}, // the other policy's exception
		{"/%6frders", "orders.example.com", buyer, 403},
		{"//orders", "orders.example.com", buyer, 403},
		{"/x", "orders.example.com", admin, 200},
		{"/x", "shop.example.com", "", 401},
		{"/x", "shop.example.com", buyer, 200},
		{"/x", "Shop.Example.com:80", buyer, 200},
		{"/open/x", "shop.example.com", "", 200},
		{"/admin", "shop.example.com", buyer, 403},
		{"/x", "orders.example.com.", admin, 421},
		{"/x", "other.example.com", admin, 421},
		{"/open/x", "xshop.example.com", "", 421},
		{"http://orders.example.com/x", "shop.example.com", buyer, 400},
	} {
		raw := "GET " + row.target + " HTTP/1.1\r\nHost: " + row.host + "\r\n"
		if row.credential != "" {
			raw += row.credential + "\r\n"
		}
		got := f.send(t, raw+"\r\n", "GET")[0]
		if asked := len(f.application.take()); got.status != row.status || (asked == 1) != (row.status == 200) {
			t.Errorf("%s of %s, %.30q: %d %s, want %d; the application is asked %d times", row.target, row.host, row.credential, got.status, got.body, row.status, asked)
		}
	}
}
