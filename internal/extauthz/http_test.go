package extauthz

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/token"
)

// subRequest is what nginx sends for the documented recipe.
func subRequest(raw string, change ...func(*[]header)) []header {
	h := []header{{"Host", "app.example.test"}, {"X-Original-Method", "GET"}, {"X-Original-URL", "https://app.example.test/orders?id=1"}, {"X-Forwarded-For", "192.0.2.1"}}
	if raw != "" {
		h = append(h, bearer(raw))
	}
	for _, f := range change {
		f(&h)
	}
	return h
}

func with(name, value string) func(*[]header) {
	return func(h *[]header) {
		for i := range *h {
			if (*h)[i].name == name {
				(*h)[i].value = value
				return
			}
		}
		*h = append(*h, header{name, value})
	}
}

func twice(name, value string) func(*[]header) {
	return func(h *[]header) { *h = append(*h, header{name, value}) }
}

func without(name string) func(*[]header) {
	return func(h *[]header) {
		for i := range *h {
			if (*h)[i].name == name {
				*h = append((*h)[:i], (*h)[i+1:]...)
				return
			}
		}
	}
}

// ask sends a request as bytes: http.Client would tidy up what a proxy sends.
func ask(t *testing.T, address, requestLine string, headers []header) (*http.Response, string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	check(t, err)
	defer conn.Close() //nolint:errcheck // read to the end
	var b strings.Builder
	b.WriteString(requestLine + "\r\n")
	for _, h := range headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.name, h.value)
	}
	b.WriteString("Connection: close\r\n\r\n")
	_, err = conn.Write([]byte(b.String()))
	check(t, err)
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	check(t, err)
	body, err := io.ReadAll(r.Body)
	check(t, err)
	check(t, r.Body.Close())
	return r, string(body)
}

const nginxLine = "GET /authz/nginx/-/default HTTP/1.1"

func TestNginxAllow(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	raw := mint(t, signingKeys()[0])
	for name, c := range map[string]struct {
		line    string
		headers []header
	}{
		"the recipe":                {nginxLine, subRequest(raw)},
		"HTTP/1.0":                  {"GET /authz/nginx/-/default HTTP/1.0", subRequest(raw)},
		"a query at the end":        {"GET /authz/nginx/-/default?id=1 HTTP/1.1", subRequest(raw)},
		"another method":            {nginxLine, subRequest(raw, with("X-Original-Method", "DELETE"))},
		"scheme in lower case":      {nginxLine, subRequest(raw, with("Authorization", "bearer "+raw))},
		"host of another case":      {nginxLine, subRequest(raw, with("Host", "APP.example.test"))},
		"port on one side":          {nginxLine, subRequest(raw, with("Host", "app.example.test:8443"))},
		"version 6":                 {nginxLine, subRequest(raw, with("Host", "[fd00::1]"), with("X-Original-URL", "http://[fd00::1]:80/"))},
		"raw bytes and dots":        {nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test/a/../%2e%2e//b;v=1%zz\xe4"))},
		"other dialects by clients": {nginxLine, subRequest(raw, with("X-Forwarded-Uri", "*"), with("X-Forwarded-Method", "CONNECT"), with("X-Forwarded-Host", "evil.test"), with("X-Original-URI", "*"))},
		"names that only resemble":  {nginxLine, subRequest(raw, with("X-Auth-Users", "x"), with("X-Auth", "x"), with("XX-Auth-User", "x"))},
	} {
		r, body := ask(t, on.HTTP.Addr().String(), c.line, c.headers)
		if r.StatusCode != 200 || body != "" || r.Header.Get("X-Auth-User") != "ann" || r.Header.Get("X-Auth-Role") != "admin" || r.Header.Get("X-Auth-Method") != "jwt" {
			t.Errorf("%s: %d %v %s", name, r.StatusCode, r.Header, body)
		}
	}
	r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest(mint(t, signingKeys()[0], func(c *token.Claims) { c.Custom = nil })))
	if role, given := r.Header["X-Auth-Role"]; r.StatusCode != 200 || !given || role[0] != "" {
		t.Errorf("without a role: %d %v; the header must be there, or some proxies keep the client's", r.StatusCode, r.Header)
	}
}

func TestNginxDeny(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	raw := mint(t, signingKeys()[0])
	line := func(path string) string { return "GET " + path + " HTTP/1.1" }
	type row struct {
		name, line string
		headers    []header
		status     int
		code       string
	}
	cases := []row{
		{"no token", nginxLine, subRequest(""), 401, "no_credential"},
		{"garbage", nginxLine, subRequest("garbage"), 401, "invalid_token"},
		{"expired", nginxLine, subRequest(mint(t, signingKeys()[0], expired)), 401, "expired"},
		{"two credentials", nginxLine, subRequest(raw, twice("Authorization", "Bearer "+raw)), 401, "invalid_request"},
		{"no method", nginxLine, subRequest(raw, without("X-Original-Method")), 403, "missing_dialect_header"},
		{"no URL", nginxLine, subRequest(raw, without("X-Original-URL")), 403, "missing_dialect_header"},
		{"empty method", nginxLine, subRequest(raw, with("X-Original-Method", "")), 403, "missing_dialect_header"},
		{"two methods", nginxLine, subRequest(raw, twice("X-Original-Method", "GET")), 403, "missing_dialect_header"},
		{"two URLs", nginxLine, subRequest(raw, twice("X-Original-URL", "https://app.example.test/")), 403, "missing_dialect_header"},
		{"two URLs of two cases", nginxLine, subRequest(raw, twice("x-original-url", "https://app.example.test/")), 403, "missing_dialect_header"},
		{"headers of traefik", nginxLine, []header{{"Host", "app.example.test"}, bearer(raw), {"X-Forwarded-Method", "GET"}, {"X-Forwarded-Uri", "/"}, {"X-Forwarded-Host", "app.example.test"}}, 403, "missing_dialect_header"},
		{"another host", nginxLine, subRequest(raw, with("X-Original-URL", "https://evil.test/")), 403, "bad_request_target"},
		{"another port", nginxLine, subRequest(raw, with("Host", "app.example.test:1"), with("X-Original-URL", "https://app.example.test:2/")), 403, "bad_request_target"},
		{"longer host", nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test.evil.test/")), 403, "bad_request_target"},
		{"user in the URL", nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test@evil.test/")), 403, "bad_request_target"},
		{"host behind a user", nginxLine, subRequest(raw, with("X-Original-URL", "https://evil.test@app.example.test/")), 403, "bad_request_target"},
		{"no host in the URL", nginxLine, subRequest(raw, with("X-Original-URL", "https:///x")), 403, "bad_request_target"},
		{"only a path", nginxLine, subRequest(raw, with("X-Original-URL", "/orders")), 403, "bad_request_target"},
		{"no path", nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test")), 403, "bad_request_target"},
		{"query for a path", nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test?x=/")), 403, "bad_request_target"},
		{"fragment for a path", nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test#/")), 403, "bad_request_target"},
		{"star", nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test*")), 403, "bad_request_target"},
		{"other scheme", nginxLine, subRequest(raw, with("X-Original-URL", "ftp://app.example.test/")), 403, "bad_request_target"},
		{"CONNECT", nginxLine, subRequest(raw, with("X-Original-Method", "CONNECT")), 403, "bad_request_target"},
		{"method with a space", nginxLine, subRequest(raw, with("X-Original-Method", "GET /")), 403, "bad_request_target"},
		{"tab in the path", nginxLine, subRequest(raw, with("X-Original-URL", "https://app.example.test/a\tb")), 403, "bad_request_target"},
		{"unknown dialect", line("/authz/apache/-/default"), subRequest(raw), 403, "no_policy"},
		{"dialect of another case", line("/authz/Nginx/-/default"), subRequest(raw), 403, "no_policy"},
		{"unknown policy", line("/authz/nginx/shop/orders"), subRequest(raw), 403, "no_policy"},
		{"no policy", line("/authz/nginx"), subRequest(raw), 403, "no_policy"},
		{"no policy name", line("/authz/nginx/-/"), subRequest(raw), 403, "no_policy"},
		{"longer path", line("/authz/nginx/-/default/x"), subRequest(raw), 403, "no_policy"},
		{"slash at the end", line("/authz/nginx/-/default/"), subRequest(raw), 403, "no_policy"},
		{"double slash", line("//authz/nginx/-/default"), subRequest(raw), 403, "no_policy"},
		{"dot segments", line("/x/../authz/nginx/-/default"), subRequest(raw), 403, "no_policy"},
		{"encoded", line("/authz/nginx/%2d/default"), subRequest(raw), 403, "no_policy"},
		{"encoded slash", line("/authz/nginx/-%2fdefault"), subRequest(raw), 403, "no_policy"},
		{"root", line("/"), subRequest(raw), 403, "no_policy"},
		{"health of another port", line("/readyz"), subRequest(raw), 403, "no_policy"},
		{"OPTIONS of the check itself", "OPTIONS /authz HTTP/1.1", subRequest(raw), 403, "no_policy"},
	}
	for _, name := range []string{"X-Auth-User", "x-auth-user", "X_Auth_User", "X.Auth.User", "X-Auth_Role", "x_auth.method", "X-AUTH-METHOD", "X~Auth~User", "X-Auth-User"} {
		cases = append(cases, row{"spoofed " + name, nginxLine, subRequest(raw, twice(name, "root")), 403, "spoofed_identity"})
	}
	cases = append(cases, row{"spoofed and empty", nginxLine, subRequest(raw, twice("X-Auth-User", "")), 403, "spoofed_identity"})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, body := ask(t, on.HTTP.Addr().String(), c.line, c.headers)
			headers := map[string]string{}
			for name, values := range r.Header {
				if len(values) != 1 {
					t.Errorf("%s: %d values; nginx reads the first", name, len(values))
				}
				headers[name] = values[0]
			}
			checkDenial(t, r.StatusCode, headers, body, c.status, c.code)
		})
	}
	if got := len(w.log.lines(t, "denied")); got != len(cases) {
		t.Errorf("%d denials, %d lines", len(cases), got)
	}
	if strings.Contains(w.log.String(), "eyJ") {
		t.Error("the log holds a token")
	}
}

func TestHTTPWhenTheEdgeCannotDecide(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	raw := mint(t, signingKeys()[0])
	w.feed.set(false, false)
	if r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest(raw)); r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" {
		t.Errorf("not loaded: %d %v", r.StatusCode, r.Header)
	}
	w.feed.set(true, false)
	w.feed.broken.Store(true)
	r, body := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest(raw))
	if r.StatusCode != 503 || r.Header.Get("X-Auth-User") != "" || strings.Contains(body+w.log.String(), "SECRET") {
		t.Errorf("panic: %d %v %s", r.StatusCode, r.Header, body)
	}
	w.feed.broken.Store(false)
	if r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest(raw)); r.StatusCode != 200 {
		t.Errorf("afterwards: %d", r.StatusCode)
	}
}

func TestHTTPBounds(t *testing.T) {
	w := newWorld(t)
	on, _ := w.serve(t, Drain{})
	r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest("", with("X-Pad", strings.Repeat("x", 100<<10))))
	if r.StatusCode != 431 {
		t.Errorf("100 KiB of headers: %d", r.StatusCode)
	}
	if r, _ := ask(t, on.HTTP.Addr().String(), nginxLine, subRequest(strings.Repeat("a", 40<<10))); r.StatusCode != 401 {
		t.Errorf("a token of 40 KiB: %d", r.StatusCode)
	}
}

// Whoever does not finish a header is cut off, by the port as it is served.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	on, _ := newWorld(t).serve(t, Drain{})
	began := time.Now() // before the server can begin to count
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", on.HTTP.Addr().String())
	check(t, err)
	defer conn.Close() //nolint:errcheck // closed by the server
	_, err = io.WriteString(conn, nginxLine+"\r\nHost: app.example.test\r\n")
	check(t, err)
	check(t, conn.SetDeadline(began.Add(time.Minute)))
	answer, err := io.ReadAll(conn)
	if took := time.Since(began); err != nil || len(answer) > 0 || took < readTimeout || took > readTimeout+boundsPeriod+10*time.Second {
		t.Errorf("%q %v after %v", answer, err, took)
	}
}
