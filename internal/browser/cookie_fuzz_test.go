package browser

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// FuzzCookie: a value is one that Keyturn sets, the same however the lines are divided, the same that net/http finds, and
// the only one.
func FuzzCookie(f *testing.F) {
	for _, seed := range []string{"", "a=b; n=v", "n=v; n=w", `n="v; n=w"`, "n", "n=", "=n=v", " n=v", "n=v,n=w", "N=v", "n=\x00", ";;n=v;;"} {
		f.Add(seed, "x=y")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		value, err := Cookie([]string{a, b}, "n")
		if err != nil && value != "" || len(value) > MaxCookie || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
			t.Fatalf("%q, %q: %q, %v", a, b, value, err)
		}
		if joined, err2 := Cookie([]string{a + ";" + b}, "n"); joined != value || !errors.Is(err2, err) {
			t.Fatalf("%q, %q: joined %q, %v; apart %q, %v", a, b, joined, err2, value, err)
		}
		if strings.Count(a, ";")+strings.Count(b, ";") > 2000 {
			return // of thousands, the library reads none
		}
		found := (&http.Request{Header: http.Header{"Cookie": {a, b}}}).CookiesNamed("n")
		if err == nil && len(found) > 1 || err == nil && len(found) == 1 && found[0].Value != value || value != "" && len(found) != 1 {
			t.Fatalf("%q, %q: %q, %v; the library finds %v", a, b, value, err, found)
		}
		if err == nil && value != "" {
			if _, err := Cookie([]string{a, b, "n=v"}, "n"); !errors.Is(err, ErrDoubled) {
				t.Fatalf("%q, %q: a second is not noticed", a, b)
			}
		}
	})
}
