package extauthz

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// FuzzBearerToken: what is taken for a token is the one thing behind the one scheme, and nothing is taken from a header
// that two readers could take two things from.
func FuzzBearerToken(f *testing.F) {
	for _, s := range []string{"", "Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "Bearer", "Bearer ", "Bearera.b.c", "Bearer\ta", "Bearer a b", "Bearer a,b", "Bearer a, Bearer b", "Basic YTpi", "DPoP a.b.c", " Bearer a", "Bearer a ",
		"Bearer \x00", "Bearer\u00a0a", "Bear\u017fer a", "Bearer =", "Bearer Bearer a", ",Bearer a"} {
		f.Add(s, "")
		f.Add(s, "Bearer x")
	}
	grammar := regexp.MustCompile(`^(?s:[Bb][Ee][Aa][Rr][Ee][Rr] +([^ ,][^,]*))$`)
	f.Fuzz(func(t *testing.T, one, two string) {
		token, reason := bearerToken([]string{one})
		if (token == "") != (reason != "") {
			t.Fatalf("%q: %q, %q", one, token, reason)
		}
		want := ""
		if m := grammar.FindStringSubmatch(one); m != nil {
			want = m[1]
		}
		if token != want {
			t.Fatalf("%q is taken for the token %q, want %q", one, token, want)
		}
		if _, reason := bearerToken([]string{one, two}); reason != policy.MultipleCredentials {
			t.Fatalf("%q and %q: %q", one, two, reason)
		}
		if _, reason := bearerToken([]string{one + "," + two}); reason != policy.MultipleCredentials {
			t.Fatalf("%q and %q, joined: %q", one, two, reason)
		}
	})
}

// checkQuestion holds what a dialect accepted: it has a path, a method that names a resource, a scheme and a host, and
// where the standard library reads the URL, it finds the same host and nobody's name.
func checkQuestion(t *testing.T, q *question) {
	t.Helper()
	if q.target == "" || q.target[0] != '/' || strings.ContainsAny(q.target, "#\r\n\x00") || q.method == "" || q.method == "CONNECT" || q.method != strings.ToUpper(q.method) ||
		q.host == "" || strings.ContainsAny(q.host, "/@?#\\ ") || q.scheme != "http" && q.scheme != "https" {
		t.Fatalf("accepted: %+v", q)
	}
	if u, err := url.Parse(q.scheme + "://" + q.host + q.target); err == nil && (u.Host != q.host && !strings.Contains(q.host, "%") || u.User != nil || u.Fragment != "") {
		t.Fatalf("accepted: %+v; the library finds %q, %v", q, u.Host, u.User)
	}
}

// FuzzNginxURL: an accepted URL is taken apart without a loss, and its host is the one that was routed.
func FuzzNginxURL(f *testing.F) {
	for _, s := range []string{"https://app.example.test/", "http://app.example.test:80/a?b#c", "https://a@app.example.test/", "https://app.example.test\\@evil.test/", "//x/", "https://[::1]:1/", "", "*", "https://app.example.test:/", "https://app.example.test /", "https://:80/"} {
		f.Add("GET", s, "app.example.test")
	}
	f.Fuzz(func(t *testing.T, method, original, host string) {
		r := &http.Request{Host: host, Header: http.Header{"X-Original-Method": {method}, "X-Original-Url": {original}}}
		var q question
		if readNginx(r, "", &q) != "" {
			return
		}
		checkQuestion(t, &q)
		if host == "" || q.method != method || q.scheme+"://"+q.host+q.target != original {
			t.Fatalf("%q %q %q: %+v", method, original, host, q)
		}
	})
}

// FuzzForwarded: what is accepted is what was told.
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
		checkQuestion(t, &q)
		if q.method != method || q.host != host || q.target != target || strings.Contains(host, ",") || q.page.upgrade != strings.HasPrefix(strings.ToLower(proto), "ws") {
			t.Fatalf("%q %q %q %q: %+v", method, proto, host, target, q)
		}
	})
}
