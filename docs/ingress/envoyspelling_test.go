package ingress_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	authz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/keyturn/keyturn/internal/policy"
)

// By HTTP Envoy shows the authorizer some headers only. An identity header in any spelling is refused by it, or removed or
// overwritten by what it answers.
func TestEnvoyByHTTPHidesNoSpelling(t *testing.T) {
	var named manager.HttpFilter
	read(t, "envoy-http.yaml", &named)
	var filter authz.ExtAuthz
	unpack(t, named.GetTypedConfig(), &filter)
	shown := func(name string) bool {
		for _, p := range filter.GetAllowedHeaders().GetPatterns() {
			expression := p.GetSafeRegex().GetRegex() // of RE2, as Go's, and about the whole name
			if name == p.GetExact() || p.GetPrefix() != "" && strings.HasPrefix(name, p.GetPrefix()) || expression != "" && regexp.MustCompile("^(?:"+expression+")$").MatchString(name) {
				return true
			}
		}
		return false
	}
	f := &front{}
	f.authorize(t)
	f.at.listen = f.at.extAuthz // it is asked as Envoy does
	good := "Authorization: " + f.bearer(t, "buyer")
	refused := 0
	for _, name := range policy.IdentityHeaders {
		parts := strings.Split(strings.ToLower(name), "-")
		for _, first := range []string{"-", "_", ".", "~"} {
			for _, second := range []string{"-", "_", ".", "~"} {
				spelled := parts[0] + first + parts[1] + second + parts[2]
				headers := []string{good}
				if shown(spelled) {
					headers = append(headers, spelled+": root")
				}
				got := f.ask(t, "GET /authz/envoy/shop/web/orders", headers...)
				removed := slices.Contains(strings.Split(got.header.Get("X-Envoy-Auth-Headers-To-Remove"), ","), spelled)
				overwritten := got.header.Get(spelled) != "" && got.header.Get(spelled) != "root"
				switch {
				case got.status == 403 && strings.Contains(got.body, "spoofed_identity") && spelled != strings.ToLower(name):
					refused++
				case got.status != 200 || !removed && !overwritten:
					t.Errorf("%s: %d %s; shown to the authorizer: %v", spelled, got.status, got.body, shown(spelled))
				}
			}
		}
	}
	if refused != 3*15 {
		t.Errorf("%d spellings are refused", refused)
	}
	for _, name := range []string{"x-auth-users", "x-auth-token", "ax-auth_user", "x-author-role"} {
		if shown(name) {
			t.Errorf("%s is shown", name)
		}
	}
}
