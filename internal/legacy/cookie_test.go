package legacy

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/hack/legacyapp"
)

func TestReadID(t *testing.T) {
	secrets := []string{"keyboard cat", "the one before"}
	// As the module cookie-signature writes it: sign('hello', 'tobiiscool').
	const published = "s%3Ahello.DGDUkGlIkCzPz%2BC0B064FNgHdEjox7ch8tOBGslZ5QI"
	signed := legacyapp.SignedCookie("abc-DEF_123", "keyboard cat")
	b64 := base64.StdEncoding.EncodeToString
	uuid := "6f1e2d3c-0000-4000-8000-1234567890ab"
	tests := []struct {
		name, format, cookie string
		secrets              []string
		want                 string // empty: refused
	}{
		{"plain", Plain, "abc-DEF_123", nil, "abc-DEF_123"},
		{"plain by default", "", "abc-DEF_123", nil, "abc-DEF_123"},
		{"plain with a route", Plain, "0123ABC.node-1", nil, "0123ABC.node-1"},
		{"plain of one byte", Plain, "a", nil, "a"},
		{"plain of the most bytes", Plain, strings.Repeat("a", 256), nil, strings.Repeat("a", 256)},
		{"plain and long", Plain, strings.Repeat("a", 257), nil, ""},
		{"plain and empty", Plain, "", nil, ""},
		{"plain with a colon", Plain, "expires:abc", nil, ""},
		{"plain with a space", Plain, "a b", nil, ""},
		{"plain with a line break", Plain, "a\r\nDEL x", nil, ""},
		{"plain with NUL", Plain, "a\x00", nil, ""},
		{"plain with a star", Plain, "*", nil, ""},
		{"plain with braces", Plain, "{id}", nil, ""},
		{"plain, percent-encoded", Plain, "abc%2DDEF", nil, ""},
		{"plain in quotes", Plain, `"abc"`, nil, ""},
		{"plain with a letter of another alphabet", Plain, "аbc", nil, ""},
		{"plain that looks signed", Plain, signed, nil, ""},

		{"signed", Signed, signed, secrets, "abc-DEF_123"},
		{"signed, a published vector", Signed, published, []string{"tobiiscool"}, "hello"},
		{"signed by the one before", Signed, legacyapp.SignedCookie("abc", "the one before"), secrets, "abc"},
		{"signed with a dot in the id", Signed, legacyapp.SignedCookie("a.b", "keyboard cat"), secrets, "a.b"},
		{"signed with a colon in the id", Signed, legacyapp.SignedCookie("u:1", "keyboard cat"), secrets, "u:1"},
		{"signed by another", Signed, legacyapp.SignedCookie("abc", "another"), secrets, ""},
		{"signed by nothing", Signed, legacyapp.SignedCookie("abc", ""), secrets, ""},
		{"signed, no secrets", Signed, signed, nil, ""},
		{"signed, in another spelling", Signed, strings.Replace(signed, "s%3A", "s%3a", 1), secrets, ""},
		{"signed, not encoded", Signed, strings.Replace(signed, "s%3A", "s:", 1), secrets, ""},
		{"signed, encoded more than needed", Signed, strings.Replace(signed, "s%3Aabc", "s%3A%61bc", 1), secrets, ""},
		{"signed, encoded twice", Signed, strings.Replace(signed, "%", "%25", 1), secrets, ""},
		{"signed, padded", Signed, signed + "%3D", secrets, ""},
		{"signed, cut", Signed, signed[:len(signed)-1], secrets, ""},
		{"signed, longer", Signed, signed + "A", secrets, ""},
		{"signed, another id", Signed, strings.Replace(signed, "abc", "abd", 1), secrets, ""},
		{"signed, no mark", Signed, strings.TrimPrefix(signed, "s%3A"), secrets, ""},
		{"signed, other mark", Signed, strings.Replace(signed, "s%3A", "j%3A", 1), secrets, ""},
		{"signed, no signature", Signed, "s%3Aabc", secrets, ""},
		{"signed, empty signature", Signed, "s%3Aabc.", secrets, ""},
		{"signed, empty id", Signed, legacyapp.SignedCookie("", "keyboard cat"), secrets, ""},
		{"signed, a space in the id", Signed, strings.ReplaceAll(legacyapp.SignedCookie("a b", "keyboard cat"), "+", "%20"), secrets, ""},
		{"signed, broken encoding", Signed, signed + "%", secrets, ""},
		{"signed, plain", Signed, "abc", secrets, ""},

		{"base64", Base64, b64([]byte(uuid)), nil, uuid},
		{"base64 with padding", Base64, b64([]byte("abcd")), nil, "abcd"},
		{"base64 without its padding", Base64, strings.TrimRight(b64([]byte("abcd")), "="), nil, ""},
		{"base64 with a line break", Base64, b64([]byte(uuid)) + "\n", nil, ""},
		{"base64 with bits left over", Base64, "YWJjZB==", nil, ""},
		{"base64 for URLs", Base64, "_-_-", nil, ""},
		{"base64 of a colon", Base64, b64([]byte("expires:" + uuid)), nil, ""},
		{"base64 of bytes", Base64, b64([]byte{0xff, 0}), nil, ""},
		{"base64 of nothing", Base64, "", nil, ""},
		{"base64 of much", Base64, b64([]byte(strings.Repeat("a", 257))), nil, ""},
	}
	for _, test := range tests {
		got, ok := readID(test.format, test.cookie, test.secrets)
		if ok != (test.want != "") || ok && got != test.want {
			t.Errorf("%s: %q, %t; want %q", test.name, got, ok, test.want)
		}
	}
}

func TestSecretLines(t *testing.T) {
	if got := lines("one\r\n\ntwo words\n"); len(got) != 2 || got[0] != "one" || got[1] != "two words" {
		t.Errorf("%q", got)
	}
	if got := lines("\n\r\n"); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestHash(t *testing.T) {
	// FIPS 180-2, appendix B.1.
	if got := Hash(text("abc")); got != "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" {
		t.Error(got)
	}
}

// FuzzReadID: no cookie makes the reader fail, what it takes can be an id, and each id has one spelling.
func FuzzReadID(f *testing.F) {
	for _, cookie := range []string{"", "abc", "a:b", legacyapp.SignedCookie("abc", "k"), "s%3Aabc.", "YWJjZA==", "%zz", "s:a.b.c", "*", "a\x00b"} {
		f.Add(cookie)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		if !plausible(cookie) {
			return
		}
		for _, format := range []string{Plain, Signed, Base64} {
			id, ok := readID(format, cookie, []string{"k", "l"})
			if !ok {
				continue
			}
			if id == "" || len(id) > maxID || strings.ContainsAny(id, " \r\n\x00{}") && format != Signed || format != Signed && strings.Contains(id, ":") {
				t.Errorf("%s: %q is an id", format, id)
			}
			again := map[string][]string{Plain: {id}, Base64: {base64.StdEncoding.EncodeToString([]byte(id))}, Signed: {encodeComponent("s:" + id + "." + sign(id, "k")), encodeComponent("s:" + id + "." + sign(id, "l"))}}[format]
			if cookie != again[0] && cookie != again[len(again)-1] {
				t.Errorf("%s: %q is another spelling of %q", format, cookie, again)
			}
		}
	})
}
