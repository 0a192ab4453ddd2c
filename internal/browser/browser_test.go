package browser

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/deptest"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

func TestCookie(t *testing.T) {
	long := strings.Repeat("a", MaxCookie-len("__Host-t"))
	for _, row := range []struct {
		lines []string
		want  string
		err   error
	}{
		{nil, "", nil},
		{[]string{""}, "", nil},
		{[]string{";;; ;"}, "", nil},
		{[]string{"__Host-t=v"}, "v", nil},
		{[]string{"a=b; __Host-t=v.w-x_Y9; c"}, "v.w-x_Y9", nil},
		{[]string{"a=b;__Host-t=v;"}, "v", nil},
		{[]string{"a=b", "__Host-t=v"}, "v", nil},
		{[]string{"\t __Host-t=v \t"}, "v", nil},
		{[]string{"__Host-t="}, "", nil},
		{[]string{"__Host-t"}, "", nil},
		{[]string{"__host-t=v"}, "", nil},
		{[]string{"__HOST-T=v"}, "", nil},
		{[]string{"x__Host-t=v"}, "", nil},
		{[]string{"__Host-tt=v"}, "", nil},
		{[]string{"__Host-t =v"}, "", nil},
		{[]string{"a=__Host-t=v"}, "", nil},
		{[]string{"=__Host-t=v"}, "", nil},
		{[]string{"a=b, __Host-t=v"}, "", nil},
		{[]string{"$Version=1; __Host-t=v; $Path=/"}, "v", nil},
		{[]string{"__Host-t=" + long}, long, nil},
		{[]string{"__Host-t=" + long + "a"}, "", ErrMalformed},
		{[]string{"__Host-t=v w"}, "", ErrMalformed},
		{[]string{`__Host-t="v"`}, "", ErrMalformed},
		{[]string{"__Host-t=v,w"}, "", ErrMalformed},
		{[]string{"__Host-t=v%2E"}, "", ErrMalformed},
		{[]string{"__Host-t=v="}, "", ErrMalformed},
		{[]string{"__Host-t==v"}, "", ErrMalformed},
		{[]string{"__Host-t=v\x00"}, "", ErrMalformed},
		{[]string{"__Host-t=v\r\n"}, "", ErrMalformed},
		{[]string{"__Host-t=\x80"}, "", ErrMalformed},
		{[]string{"__Host-t=[v"}, "", ErrMalformed},
		{[]string{"__Host-t={v"}, "", ErrMalformed},
		{[]string{"__Host-t=@"}, "", ErrMalformed},
		{[]string{"__Host-t=`"}, "", ErrMalformed},
		{[]string{"__Host-t=/"}, "", ErrMalformed},
		{[]string{"__Host-t=:"}, "", ErrMalformed},
		{[]string{"__Host-t=v; __Host-t=v"}, "", ErrDoubled},
		{[]string{"__Host-t=v", "__Host-t=w"}, "", ErrDoubled},
		{[]string{"__Host-t=; __Host-t=v"}, "", ErrDoubled},
		{[]string{"__Host-t; __Host-t"}, "", ErrDoubled},
		{[]string{`__Host-t=v; a="x; __Host-t=w; y"`}, "", ErrDoubled},
	} {
		got, err := Cookie(row.lines, "__Host-t")
		if got != row.want || !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
			t.Errorf("%.80q: %.20q, %v; want %.20q, %v", row.lines, got, err, row.want, row.err)
		}
	}
}

func TestFrom(t *testing.T) {
	const own, friend = "https://app.example.com", "https://friend.example.com"
	h := func(v ...string) []string { return v }
	for _, row := range []struct {
		site, origin []string
		target       string
		want         Source
	}{
		{nil, nil, own, Untold},
		{h("same-origin"), nil, own, Same},
		{h("same-origin"), h(own), own, Same},
		{h("same-origin"), h(own), "", Same},
		{h("none"), nil, own, Same},
		{h("same-site"), h(friend), own, Allowed},
		{h("cross-site"), h(friend), own, Allowed},
		{nil, h(own), own, Same},
		{nil, h(friend), own, Allowed},
		{nil, h(friend), "", Allowed},
		{h("same-site"), nil, own, Elsewhere},
		{h("cross-site"), nil, own, Elsewhere},
		{h("cross-site"), h(own), own, Elsewhere},
		{h("same-site"), h("https://www.example.com"), own, Elsewhere},
		{h("cross-site"), h("null"), own, Elsewhere},
		{h(""), h(own), own, Elsewhere},
		{h("Same-Origin"), nil, own, Elsewhere},
		{h("same-origin "), nil, own, Elsewhere},
		{h("same-origin,cross-site"), nil, own, Elsewhere},
		{h("same-origin", "same-origin"), nil, own, Elsewhere},
		{h("same-origin"), h(own, own), own, Elsewhere},
		{nil, h(own, own), own, Elsewhere},
		{nil, h("null"), own, Elsewhere},
		{nil, h(""), own, Elsewhere},
		{nil, h(""), "", Elsewhere},
		{nil, h("http://app.example.com"), own, Elsewhere},
		{nil, h(own + ":443"), own, Elsewhere},
		{nil, h(own + "/"), own, Elsewhere},
		{nil, h(own + ".evil.test"), own, Elsewhere},
		{nil, h("https://friend.example.com.evil.test"), own, Elsewhere},
		{nil, h("https://x.friend.example.com"), own, Elsewhere},
		{nil, h("HTTPS://friend.example.com"), own, Elsewhere},
	} {
		if got := From(row.site, row.origin, row.target, []string{friend}); got != row.want {
			t.Errorf("%q %q at %q: %d, want %d", row.site, row.origin, row.target, got, row.want)
		}
	}
	var zero Source
	if zero != Elsewhere {
		t.Error("the zero value is not the worst")
	}
}

func TestTarget(t *testing.T) {
	for _, row := range [][3]string{
		{"https", "app.example.com", "https://app.example.com"},
		{"https", "APP.example.com:443", "https://app.example.com"},
		{"HTTP", "app:80", "http://app"},
		{"http", "app:443", "http://app:443"},
		{"https", "app:8443", "https://app:8443"},
		{"https", "[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"},
		{"https", "[::1]", "https://[::1]"},
		{"http", "127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"https", "", ""}, {"", "app", ""}, {"ws", "app", ""}, {"javascript", "app", ""}, {"https", "a b", ""}, {"https", "a/b", ""}, {"https", "user@app", ""},
		{"https", "app:", ""}, {"https", "app:x", ""}, {"https", "app:123456", ""}, {"https", "::1", ""}, {"https", "[::1", ""}, {"https", "[]", ""}, {"https", "[x]", ""},
		{"https", "ä.example", ""}, {"https", "a,b", ""}, {"https", "a\\b", ""}, {"https", "a?b", ""}, {"https", "a#b", ""}, {"https", "*.example.com", ""}, {"https", strings.Repeat("a", 300), ""},
	} {
		if got := Target(row[0], row[1]); got != row[2] {
			t.Errorf("%s, %s: %q, want %q", row[0], row[1], got, row[2])
		}
	}
	for origin, want := range map[string]bool{
		"https://app.example.com": true, "http://localhost:8080": true, "https://[::1]:8443": true,
		"": false, "null": false, "*": false, "https://*.example.com": false, "https://": false, "app.example.com": false, "https://app.example.com/": false, "https://APP.example.com": false,
		"https://app.example.com:443": false, "http://app.example.com:80": false, "https://u@app.example.com": false, "https://app.example.com?x": false, "ftp://app.example.com": false, "HTTPS://app.example.com": false,
	} {
		if IsOrigin(origin) != want {
			t.Errorf("%q: %t", origin, !want)
		}
	}
}
