package browser

import (
	"net/url"
	"strings"
	"testing"
)

func TestIsReturnPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/":                               true,
		"/orders":                         true,
		"/orders?page=2&sort=a%20b#row-7": true,
		"/orders%20and%20more":            true,
		"/a;v=1/b":                        true,
		"/login?return_to=//elsewhere":    true, // what stands in the query leads nowhere
		"/authors":                        true,

		"":                                   false,
		"orders":                             false,
		"https://elsewhere.example/":         false,
		"//elsewhere.example/":               false,
		"/%2felsewhere.example/":             false,
		"/%252felsewhere.example/":           false,
		"/\\elsewhere.example/":              false,
		"/%5celsewhere.example/":             false,
		"/a/../b":                            false,
		"/a/%2e%2e/b":                        false,
		"/a/..;x=1/b":                        false,
		"/./a":                               false,
		"/auth/continue":                     false,
		"/auth":                              false,
		"/%61uth/logout":                     false,
		"/a b":                               false,
		"/a\tb":                              false,
		"/a%0d%0ab":                          false,
		"/a%7fb":                             false,
		"/ä":                                 false,
		"/%zz":                               false,
		"/%2525252525252e":                   false, // encoded too often
		"/" + strings.Repeat("a", MaxReturn): false,
	} {
		if got := IsReturnPath(path); got != want {
			t.Errorf("%.60q: %t", path, got)
		}
	}
}

func TestLoginAt(t *testing.T) {
	for login, want := range map[string]string{
		"/login":                         "/login?return_to=%2Forders%3Fpage%3D2%26x%3D%23",
		"/login?tenant=shop":             "/login?tenant=shop&return_to=%2Forders%3Fpage%3D2%26x%3D%23",
		"https://id.example.com/sign-in": "https://id.example.com/sign-in?return_to=%2Forders%3Fpage%3D2%26x%3D%23",
	} {
		got := LoginAt(login, "/orders?page=2&x=#")
		if got != want {
			t.Errorf("%s: %s", login, got)
		}
		if at, err := url.Parse(got); err != nil || at.Query().Get("return_to") != "/orders?page=2&x=#" {
			t.Errorf("%s is read as %v (%v)", got, at, err)
		}
	}
}
