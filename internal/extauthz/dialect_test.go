package extauthz

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// Each dialect reads its own headers, each exactly once, and none of another's.
func TestDialects(t *testing.T) {
	w := newPolicyWorld(t)
	on, _ := w.serve(t, Drain{})
	raw := mint(t, signingKeys()[0])
	forwarded := []header{{"Host", "edge"}, {"X-Forwarded-Method", "GET"}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "app.example.test"}, {"X-Forwarded-Uri", "/orders"}, bearer(raw)}
	change := func(by ...func(*[]header)) []header {
		h := append([]header(nil), forwarded...)
		for _, f := range by {
			f(&h)
		}
		return h
	}
	for _, dialect := range []string{"traefik", "caddy", "haproxy"} {
		line := "GET /authz/" + dialect + "/shop/jwt HTTP/1.1"
		for name, row := range map[string]struct {
			line    string
			headers []header
			want    string
		}{
			"as it is":                   {line, change(), "200 ann admin jwt"},
			"the client's query":         {"GET /authz/" + dialect + "/shop/jwt?id=%zz&x=/authz HTTP/1.1", change(), "200 ann admin jwt"},
			"scheme in capitals":         {line, change(with("X-Forwarded-Proto", "HTTPS")), "200 ann admin jwt"},
			"host with all":              {line, change(with("X-Forwarded-Host", "APP.example.test.:443")), "200 ann admin jwt"},
			"version 6":                  {line, change(with("X-Forwarded-Host", "[fd00::1]:8443")), "200 ann admin jwt"},
			"of another dialect":         {line, change(with("X-Original-URL", "ftp://evil.test"), with("X-Original-Method", "CONNECT"), with("Forwarded", "host=evil.test")), "200 ann admin jwt"},
			"no method":                  {line, change(without("X-Forwarded-Method")), "403 missing_dialect_header"},
			"no scheme":                  {line, change(without("X-Forwarded-Proto")), "403 missing_dialect_header"},
			"no host":                    {line, change(without("X-Forwarded-Host")), "403 missing_dialect_header"},
			"empty host":                 {line, change(with("X-Forwarded-Host", "")), "403 missing_dialect_header"},
			"no target":                  {line, change(without("X-Forwarded-Uri")), "403 missing_dialect_header"},
			"empty target":               {line, change(with("X-Forwarded-Uri", "")), "403 missing_dialect_header"},
			"two methods":                {line, change(twice("X-Forwarded-Method", "GET")), "403 missing_dialect_header"},
			"two targets":                {line, change(twice("x-forwarded-uri", "/")), "403 missing_dialect_header"},
			"two hosts":                  {line, change(twice("X-Forwarded-Host", "b")), "403 missing_dialect_header"},
			"hosts joined":               {line, change(with("X-Forwarded-Host", "a, b")), "403 bad_request_target"},
			"schemes joined":             {line, change(with("X-Forwarded-Proto", "https,http")), "403 bad_request_target"},
			"CONNECT":                    {line, change(with("X-Forwarded-Method", "CONNECT")), "403 bad_request_target"},
			"star":                       {line, change(with("X-Forwarded-Uri", "*")), "403 bad_request_target"},
			"absolute":                   {line, change(with("X-Forwarded-Uri", "http://evil.test/")), "403 bad_request_target"},
			"fragment":                   {line, change(with("X-Forwarded-Uri", "/a#b")), "403 bad_request_target"},
			"a user in the host":         {line, change(with("X-Forwarded-Host", "a@b")), "403 bad_request_target"},
			"only nginx's":               {line, subRequest(raw), "403 missing_dialect_header"},
			"something behind":           {"GET /authz/" + dialect + "/shop/jwt/x HTTP/1.1", change(), "403 no_policy"},
			"another's policy, by query": {"GET /authz/" + dialect + "?policy=shop/jwt HTTP/1.1", change(), "403 no_policy"},
		} {
			if r, _ := ask(t, on.HTTP.Addr().String(), row.line, row.headers); verdictOf(r.StatusCode, r.Header) != row.want {
				t.Errorf("%s, %s: %s, want %s", dialect, name, verdictOf(r.StatusCode, r.Header), row.want)
			}
		}
	}
	for line, want := range map[string]string{
		"GET /authz/envoy/shop/jwt/":                      "200 ann admin jwt",
		"DELETE /authz/envoy/shop/jwt/a/../b?c":           "200 ann admin jwt",
		"GET /authz/envoy/shop/jwt//authz/envoy/-/none/x": "200 ann admin jwt",
		"GET /authz/envoy/shop/jwt":                       "403 no_policy",
		"GET /authz/envoy/shop/jwt?/x":                    "403 no_policy",
		"GET /authz/envoy/shop/none/../jwt/x":             "403 no_policy",
		"GET /authz/envoy/shop/admin/../../shop/jwt/x":    "200 ann admin jwt",
		"GET /authz/envoy/shop/rules/../jwt/x":            "403 ambiguous_path",
		"GET /authz/envoy/shop/jwt/a#b":                   "403 bad_request_target",
		"GET http://edge/authz/envoy/shop/jwt/":           "403 no_policy",
	} {
		r, _ := ask(t, on.HTTP.Addr().String(), line+" HTTP/1.1", []header{{"Host", "app.example.test"}, bearer(raw), {"X-Forwarded-Uri", "*"}, {"X-Original-URL", "*"}})
		if got := verdictOf(r.StatusCode, r.Header); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// FuzzForwarded: what is accepted has a path, a method that names a resource, a scheme and a host.
func FuzzForwarded(f *testing.F) {
	for _, s := range [][4]string{{"GET", "https", "a", "/"}, {"CONNECT", "http", "a:80", "/"}, {"GET", "wss", "[::1]", "/#"}, {"OPTIONS", "ws", "a, b", "*"}, {"", "", "", ""}} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, method, proto, host, target string) {
		r := &http.Request{Header: http.Header{"X-Forwarded-Method": {method}, "X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {host}, "X-Forwarded-Uri": {target}}}
		var q question
		if reason := readForwarded(r, "", &q); reason != "" {
			if reason != policy.MissingDialectHeader && reason != policy.BadRequestTarget {
				t.Fatal(reason)
			}
			return
		}
		if q.target == "" || q.target[0] != '/' || strings.ContainsAny(q.target, "#\r\n\x00") || q.method == "" || q.method == "CONNECT" ||
			q.host == "" || strings.ContainsAny(q.host, "/@?#\\ ,") || q.scheme != "http" && q.scheme != "https" {
			t.Fatalf("%q %q %q %q: %+v", method, proto, host, target, q)
		}
	})
}
