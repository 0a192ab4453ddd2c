package policy

import (
	"testing"
)

func TestPath(t *testing.T) {
	for target, want := range map[string]string{
		"/": "/", "/?": "/", "/a": "/a", "/a/": "/a/", "/a/b?c=//%2f..": "/a/b", "/a/...": "/a/...", "/.a/b.": "/.a/b.", "/a,b=c:d@e!$&'()*+": "/a,b=c:d@e!$&'()*+",
		"/%61dmin": "/admin", "/%41%5a%7E%2d%5F": "/AZ~-_", "/a%20b": "/a b", "/a%2Bb": "/a+b", "/%C3%A4": "/ä", "/%e2%82%ac": "/€", "/100%25": "/100%",
		"/100%25off": "/100%off", "/a%3Db%26c": "/a=b&c", "/%7b%7D|": "/{}|",
	} {
		if got, ok := Path(target); !ok || got != want {
			t.Errorf("%q: %q %t, want %q", target, got, ok, want)
		}
	}
	for _, target := range []string{
		"", "*", "a", "?", "//", "//a", "/a//b", "/a//", "/a%2Fb", "/a%2fb", "/a%5Cb", "/a\\b", "/.", "/..", "/./a", "/../a", "/a/.", "/a/..", "/a/../b", "/a/./b",
		"/%2e", "/%2E%2e/a", "/.%2e/a", "/%2e./a", "/a/%2e%2E", "/a;b", "/a;b=c/d", "/a%3Bb", "/..;/a", "/a%3fb", "/a%23b", "/a#b",
		"/a%00", "/a%0d%0a", "/a%1f", "/a%7F", "/%", "/%6", "/%6g", "/%g6", "/a%u002fb", "/%252e%252e/a", "/%252fa", "/a%25%32%66", "/a b", "/a\tb", "/a\x00b", "/a\x7f",
		"/\xe4", "/ä", "/%e4", "/%c0%af", "/%e0%80%af", "/%f0%80%80%af", "/%ed%a0%80", "/%ff", "/%c2%85", "/%ef%bc%8f", "/%e2%81%84", "/%ef%bc%8e%ef%bc%8e/a",
		"/%e2%80%a5/a", "/%ef%bc%9b", "/%ef%bc%85", "/%ef%bc%bc",
	} {
		if got, ok := Path(target); ok {
			t.Errorf("%q has a reading: %q", target, got)
		}
	}
	for target, most := range map[string]float64{"/a/b/c?d": 0, "/..": 0, "/a//b": 0, "/%61/b": 2, "/%61/%2e%2e": 2} {
		if n := testing.AllocsPerRun(100, func() { Path(target) }); n > most {
			t.Errorf("%q: %v allocations", target, n)
		}
	}
	if got, ok := Path("/a/?b/../%2f;#c"); !ok || got != "/a/" {
		t.Errorf("the query is the path: %q %t", got, ok)
	}
}

func TestWithin(t *testing.T) {
	for _, row := range []struct {
		path, prefix string
		want         bool
	}{
		{"/", "/", true}, {"/a", "/", true}, {"/a", "/a", true}, {"/a/", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/A", "/a", false},
		{"/a", "/a/", true}, {"/a/b", "/a/", true}, {"/ab", "/a/", false}, {"/b/a", "/a", false}, {"", "/", false}, {"/a", "/a/b", false},
	} {
		r := Rule{Path: row.prefix, Prefix: true}
		if got := r.matches("GET", row.path); got != row.want {
			t.Errorf("%q within %q: %t", row.path, row.prefix, got)
		}
	}
	if r := (Rule{Path: "/a"}); r.matches("GET", "/a/") || r.matches("GET", "/a/b") || !r.matches("", "/a") {
		t.Error("exact is not exact")
	}
	if r := (Rule{Methods: []string{"GET"}}); r.matches("get", "/") || r.matches("HEAD", "/") || !r.matches("GET", "") {
		t.Error("methods")
	}
}

// The first rule that matches decides, also where a later one is looser or stricter.
func TestRulesInOrder(t *testing.T) {
	p := &Policy{AcceptJWT: true, Roles: []string{"admin"}, Rules: []Rule{
		{Path: "/api/health", Anonymous: true}, {Path: "/api", Prefix: true, Methods: []string{"GET"}}, {Path: "/api", Prefix: true, Roles: []string{"editor"}},
		{Path: "/", Prefix: true, Methods: []string{"GET"}, Anonymous: true},
	}}
	reader, editor, none := Credential{Outcome: Valid, User: "r"}, Credential{Outcome: Valid, User: "e", Role: "editor"}, Credential{Outcome: Absent}
	for _, row := range []struct {
		method, target string
		c              Credential
		want           Reason
	}{
		{"GET", "/api/health", none, Anonymous}, {"POST", "/api/health", none, Anonymous}, {"GET", "/api/health/", none, NoCredential},
		{"GET", "/api/health", reader, OK}, {"GET", "/api/health", Credential{Outcome: Invalid}, MalformedToken}, {"GET", "/api/health", Credential{Outcome: Expired}, ReasonExpired},
		{"GET", "/api/health", Credential{Outcome: Revoked}, ReasonRevoked}, {"GET", "/api", reader, OK}, {"GET", "/api/x", none, NoCredential},
		{"POST", "/api/x", reader, InsufficientRole}, {"POST", "/api/x", editor, OK}, {"GET", "/", none, Anonymous}, {"POST", "/", editor, InsufficientRole},
		{"GET", "/%61pi/x", none, NoCredential}, {"GET", "/a/..%2fapi", editor, AmbiguousPath}, {"GET", "/API", none, Anonymous},
	} {
		in := Input{Edge: EdgeFresh, Policy: p, Request: Request{Method: row.method, Target: row.target}, Header: row.c}
		if got := Decide(in); got.Reason != row.want {
			t.Errorf("%s %s by %+v: %+v, want %s", row.method, row.target, row.c, got, row.want)
		}
	}
}
