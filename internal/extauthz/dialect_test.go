package extauthz

import "testing"

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

// What the ingress-nginx controller asks: nothing in it is compared with Host, which is the authorizer's own.
func TestDialectIngressNginx(t *testing.T) {
	w := newPolicyWorld(t)
	on, _ := w.serve(t, Drain{})
	raw := mint(t, signingKeys()[0])
	cookie := header{"Cookie", accessCookie + raw}
	for _, row := range []struct {
		name, policy, method, url string
		more                      []header
		want                      string
	}{
		{"as it is", "shop/jwt", "GET", "https://app.example.test/orders?a=b", []header{bearer(raw)}, "200 ann admin jwt"},
		{"an absolute-form request", "shop/jwt", "GET", "https://another.test/orders", []header{bearer(raw)}, "200 ann admin jwt"},
		{"a page of the host", "shop/jwt", "POST", "https://app.example.test/", []header{cookie, {"Origin", "https://app.example.test"}}, "200 ann admin jwt"},
		{"another's page", "shop/jwt", "POST", "https://app.example.test/", []header{cookie, {"Origin", "https://evil.test"}}, "403 cross_site"},
		{"the authorizer's page", "shop/jwt", "POST", "https://app.example.test/", []header{cookie, {"Origin", "https://web-extauthz.shop.svc"}}, "403 cross_site"},
		{"nobody", "shop/jwt", "GET", "https://app.example.test/", nil, "401 no_credential"},
		{"no host", "shop/jwt", "GET", "https:///orders", []header{bearer(raw)}, "403 bad_request_target"},
		{"a user", "shop/jwt", "GET", "https://a@b/orders", []header{bearer(raw)}, "403 bad_request_target"},
		{"no target", "shop/jwt", "GET", "https://app.example.test", []header{bearer(raw)}, "403 bad_request_target"},
		{"a host of two", "shop/jwt", "GET", "https://a,b/orders", []header{bearer(raw)}, "403 bad_request_target"},
		{"no URL", "shop/jwt", "GET", "", []header{bearer(raw)}, "403 missing_dialect_header"},
		{"no method", "shop/jwt", "", "https://app.example.test/", []header{bearer(raw)}, "403 missing_dialect_header"},
		{"two URLs", "shop/jwt", "GET", "https://app.example.test/", []header{bearer(raw), {"X-Original-URL", "https://app.example.test/open"}}, "403 missing_dialect_header"},
		{"two methods", "shop/jwt", "GET", "https://app.example.test/", []header{bearer(raw), {"x-original-method", "GET"}}, "403 missing_dialect_header"},
		{"what a client says", "shop/jwt", "GET", "https://app.example.test/", []header{{"X-Auth-User", "root"}}, "403 spoofed_identity"},
	} {
		headers := []header{
			{"Host", "web-extauthz.shop.svc"}, {"X-Request-ID", "9f86d081884c7d659a2feaa0c55ad015"}, {"X-Original-URI", "/open"}, {"X-Scheme", "https"},
			{"X-Original-URL", row.url}, {"X-Original-Method", row.method}, {"X-Sent-From", "nginx-ingress-controller"},
			{"X-Real-IP", "198.51.100.7"}, {"X-Forwarded-For", "198.51.100.7"}, {"X-Auth-Request-Redirect", "/open"},
		}
		line := "GET /authz/ingress-nginx/" + row.policy + " HTTP/1.1"
		if r, _ := ask(t, on.HTTP.Addr().String(), line, append(headers, row.more...)); verdictOf(r.StatusCode, r.Header) != row.want {
			t.Errorf("%s: %s, want %s", row.name, verdictOf(r.StatusCode, r.Header), row.want)
		}
		line = "GET /authz/nginx/" + row.policy + " HTTP/1.1"
		if r, _ := ask(t, on.HTTP.Addr().String(), line, append(headers, row.more...)); r.StatusCode == 200 {
			t.Errorf("%s: the dialect nginx does not compare the host", row.name)
		}
	}
}
