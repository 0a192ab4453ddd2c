package policy

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
)

// FuzzPath: a path that has a reading has the one that the standard library and a second decoding come to, and cleaning
// it changes nothing; a path of plain segments always has one.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b", "/%61?x", "/%2e%2e", "//", "/a;b", "/%252f", "/\xe4", "/%c3%a4", "*", "/%u002f", "/a#b", "/a/b-c_d/", "/%E2%82%AC"} {
		f.Add(seed)
	}
	plain := regexp.MustCompile(`^/([A-Za-z0-9_-]+/)*([A-Za-z0-9_-]+)?$`)
	f.Fuzz(func(t *testing.T, target string) {
		raw, _, _ := strings.Cut(target, "?")
		got, ok := Path(target)
		if !ok {
			if got != "" || plain.MatchString(raw) {
				t.Fatalf("%q: refused, and %q", target, got)
			}
			return
		}
		if decoded, err := url.PathUnescape(raw); err != nil || decoded != got {
			t.Fatalf("%q: %q, the library says %q %v", target, got, decoded, err)
		}
		if twice, err := url.PathUnescape(got); err == nil && twice != got {
			t.Fatalf("%q: %q, decoded twice %q", target, got, twice)
		}
		if clean := path.Clean(got); clean != got && clean+"/" != got {
			t.Fatalf("%q: %q, cleaned %q", target, got, clean)
		}
		for i, segment := range strings.Split(got[1:], "/") {
			if segment == "." || segment == ".." || segment == "" && i < strings.Count(got, "/")-1 || strings.ContainsAny(segment, ";\\\x00\r\n?#") {
				t.Fatalf("%q: segment %q of %q", target, segment, got)
			}
		}
	})
}
