package browser

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzCookie: a value is one that Keyturn sets, the same however the lines are divided, the same that net/http finds, and
// the only one.
func FuzzCookie(f *testing.F) {
	for _, seed := range []string{"", "a=b; n=v", "n=v; n=w", `n="v; n=w"`, "n", "n=", "=n=v", " n=v", "n=v,n=w", "N=v", "n=\x00", ";;n=v;;"} {
		f.Add(seed, "x=y")
	}
	spaced := regexp.MustCompile(`n[ \t]+=`)
	f.Fuzz(func(t *testing.T, a, b string) {
		value, err := Cookie([]string{a, b}, "n")
		if err != nil && value != "" || len(value) > MaxCookie || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
			t.Fatalf("%q, %q: %q, %v", a, b, value, err)
		}
		if joined, err2 := Cookie([]string{a + ";" + b}, "n"); joined != value || !errors.Is(err2, err) {
			t.Fatalf("%q, %q: joined %q, %v; apart %q, %v", a, b, joined, err2, value, err)
		}
		if strings.ContainsAny(a+b, "\r\n") || strings.Count(a+b, ";") > 2000 {
			return // the library trims line breaks, which no header has, and of thousands of cookies reads none
		}
		found := (&http.Request{Header: http.Header{"Cookie": {a, b}}}).CookiesNamed("n")
		same := func(c *http.Cookie) bool { return c.Value == value }
		if value != "" && !slices.ContainsFunc(found, same) {
			t.Fatalf("%q, %q: %q; the library finds %v", a, b, value, found)
		}
		// To the library a name may have spaces behind it: it finds more, but never another where there are none.
		if err == nil && !spaced.MatchString(a+";"+b) && len(found) > 0 && (len(found) > 1 || !same(found[0])) {
			t.Fatalf("%q, %q: %q; the library finds %v", a, b, value, found)
		}
		if err == nil && value != "" {
			if _, err := Cookie([]string{a, b, "n=v"}, "n"); !errors.Is(err, ErrDoubled) {
				t.Fatalf("%q, %q: a second is not noticed", a, b)
			}
		}
	})
}
