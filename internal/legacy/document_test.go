package legacy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
)

const springContext = `{"@class":"org.springframework.security.core.context.SecurityContextImpl","authentication":{"@class":"org.springframework.security.authentication.UsernamePasswordAuthenticationToken",` +
	`"authorities":["java.util.Collections$UnmodifiableRandomAccessList",[{"@class":"org.springframework.security.core.authority.SimpleGrantedAuthority","authority":"ROLE_USER"}]],` +
	`"authenticated":true,"principal":{"@class":"org.springframework.security.core.userdetails.User","username":"alice","accountNonExpired":true},"credentials":null}}`

func TestReadDocument(t *testing.T) {
	express := `{"cookie":{"originalMaxAge":1800000,"expires":"2030-01-01T00:00:00.000Z","httpOnly":true,"path":"/"},"passport":{"user":{"id":4711,"role":"admin"}},"cart":[1,{"id":"x"}]}`
	bad := errors.New("unreadable")
	tests := []struct {
		name, format, path, document, user string
		err                                error
	}{
		{"a number", JSON, "passport.user.id", express, "4711", nil},
		{"a text", JSON, "user", `{"user":"alice"}`, "alice", nil},
		{"by default", "", "user", `{"user":"alice"}`, "alice", nil},
		{"space around it", JSON, "user", " \n{ \"user\" : \"alice\" } ", "alice", nil},
		{"of a list", JSON, "cart.1.id", express, "x", nil},
		{"an escaped text", JSON, "user", `{"user":"\u0061lice"}`, "alice", nil},
		{"an escaped name", JSON, "user", `{"\u0075ser":"alice"}`, "alice", nil},
		{"another member of that name elsewhere", JSON, "a.user", `{"user":"root","a":{"user":"alice"}}`, "alice", nil},
		{"the largest number", JSON, "user", `{"user":9999999999999999999}`, "9999999999999999999", nil},
		{"zero", JSON, "user", `{"user":0}`, "0", nil},
		{"a name of a number", JSON, "users.0", `{"users":{"0":"alice"}}`, "alice", nil},
		{"a colon in the id", JSON, "user", `{"user":"urn:alice"}`, "urn:alice", nil},
		{"anonymous", JSON, "passport.user.id", `{"cookie":{},"flash":{}}`, "", errAbsent},
		{"logged out", JSON, "passport.user.id", `{"passport":{}}`, "", errAbsent},
		{"null", JSON, "user", `{"user":null}`, "", errAbsent},
		{"null on the way", JSON, "passport.user", `{"passport":null}`, "", errAbsent},
		{"empty", JSON, "user", `{"user":""}`, "", errAbsent},
		{"beyond a list", JSON, "cart.2.id", express, "", errAbsent},
		{"before a list", JSON, "cart.-1.id", express, "", errAbsent},
		{"another case", JSON, "User", `{"user":"alice"}`, "", errAbsent},
		{"twice", JSON, "user", `{"user":"alice","user":"root"}`, "", bad},
		{"twice on the way", JSON, "a.user", `{"a":{},"a":{"user":"root"}}`, "", bad},
		{"twice in other letters", JSON, "user", `{"user":"alice","\u0075ser":"root"}`, "", bad},
		{"a name in a list", JSON, "cart.id", express, "", bad},
		{"a path that goes on in a text", JSON, "user.id", `{"user":"alice"}`, "", bad},
		{"an object", JSON, "passport.user", express, "", bad},
		{"a list", JSON, "cart", express, "", bad},
		{"true", JSON, "user", `{"user":true}`, "", bad},
		{"below zero", JSON, "user", `{"user":-1}`, "", bad},
		{"a fraction", JSON, "user", `{"user":1.0}`, "", bad},
		{"an exponent", JSON, "user", `{"user":1e3}`, "", bad},
		{"a very long number", JSON, "user", `{"user":` + strings.Repeat("9", 20) + `}`, "", bad},
		{"a long text", JSON, "user", `{"user":"` + strings.Repeat("a", 257) + `"}`, "", bad},
		{"a line break", JSON, "user", `{"user":"a\nb"}`, "", bad},
		{"NUL", JSON, "user", `{"user":"a\u0000"}`, "", bad},
		{"a space at the end", JSON, "user", `{"user":"alice "}`, "", bad},
		{"not in normal form", JSON, "user", `{"user":"ａlice"}`, "", bad},
		{"a lone surrogate", JSON, "user", `{"user":"\ud800"}`, "", bad},
		{"turned around", JSON, "user", "{\"user\":\"a\u202eb\"}", "", bad},
		{"not JSON", JSON, "user", `user=alice`, "", bad},
		{"PHP", JSON, "user", `user|s:5:"alice";`, "", bad},
		{"cut", JSON, "user", `{"user":"alice"`, "", bad},
		{"something after it", JSON, "user", `{"user":"alice"}x`, "", bad},
		{"bytes", JSON, "user", "{\"user\":\"\xff\"}", "", bad},
		{"Java", JSON, "user", "\xac\xed\x00\x05t\x00\x05alice", "", bad},
		{"a text alone", JSON, "user", `"alice"`, "", bad},
		{"much", JSON, "user", `{"user":"alice"}` + strings.Repeat(" ", maxDocument), "", bad},
		{"deep", JSON, "user", `{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `,"user":"alice"}`, "", bad},

		{"a field", HashFields, "sessionAttr:userId", `"alice"`, "alice", nil},
		{"a number in a field", HashFields, "sessionAttr:userId", `4711`, "4711", nil},
		{"a typed number", HashFields, "sessionAttr:userId#1", `["java.lang.Long",4711]`, "4711", nil},
		{"the security context", HashFields, "sessionAttr:SPRING_SECURITY_CONTEXT#authentication.principal.username", springContext, "alice", nil},
		{"dots in the field", HashFields, "sessionAttr:com.example.User#name", `{"name":"alice"}`, "alice", nil},
		{"null in a field", HashFields, "sessionAttr:userId", `null`, "", errAbsent},
		{"an empty text in a field", HashFields, "sessionAttr:userId", `""`, "", errAbsent},
		{"a bare text in a field", HashFields, "sessionAttr:userId", `alice`, "", bad},
		{"Java in a field", HashFields, "sessionAttr:userId", "\xac\xed\x00\x05t\x00\x05alice", "", bad},
		{"an object in a field", HashFields, "sessionAttr:userId", `{"id":"alice"}`, "", bad},
	}
	for _, test := range tests {
		p, err := readPlace(test.format, test.path)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, err := p.user([]byte(test.document))
		if got != test.user || (err == nil) != (test.err == nil) || errors.Is(err, errAbsent) != errors.Is(test.err, errAbsent) {
			t.Errorf("%s: %q, %v; want %q, %v", test.name, got, err, test.user, test.err)
		}
		if err != nil && strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: the error quotes the document: %v", test.name, err)
		}
	}
}

func TestReadRole(t *testing.T) {
	for _, test := range []struct {
		path, document, want string
		bad                  bool
	}{
		{"role", `{"role":"admin"}`, "admin", false},
		{"role", `{"role":["admin","user"]}`, "admin", false},
		{"role", `{"role":[]}`, "", false},
		{"role", `{"role":""}`, "", false},
		{"role", `{"role":null}`, "", false},
		{"role", `{}`, "", false},
		{"a.role", `{"b":1}`, "", false},
		{"role", `{"role":"super user"}`, "", true},
		{"role", `{"role":7}`, "", true},
		{"role", `{"role":[7]}`, "", true},
		{"role", `{"role":[null]}`, "", true},
		{"role", `{"role":{"a":"b"}}`, "", true},
		{"role", `{"role":"` + strings.Repeat("a", 65) + `"}`, "", true},
		{"role", `{"role":"a\nb"}`, "", true},
		{"role", `{"role":"admin","role":"user"}`, "", true},
		{"sessionAttr:SPRING_SECURITY_CONTEXT#authentication.authorities.1.0.authority", springContext, "ROLE_USER", false},
	} {
		format := JSON
		if strings.Contains(test.path, "#") {
			format = HashFields
		}
		p, err := readPlace(format, test.path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.role([]byte(test.document))
		if got != test.want || (err != nil) != test.bad {
			t.Errorf("%s of %s: %q, %v", test.path, test.document, got, err)
		}
	}
}

func TestReadPlaceRefuses(t *testing.T) {
	for _, test := range [][2]string{
		{JSON, "."}, {JSON, "a..b"}, {JSON, ".a"}, {JSON, "a."}, {JSON, "a\nb"}, {JSON, strings.Repeat("a.", 16) + "a"}, {JSON, strings.Repeat("a", 513)},
		{HashFields, ""}, {HashFields, "#a"}, {HashFields, "a#"}, {HashFields, "a#b..c"}, {HashFields, "a\x00"},
	} {
		if p, err := readPlace(test[0], test[1]); err == nil {
			t.Errorf("%q is read as %+v", test, p)
		}
	}
}

func TestSpringEnd(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	for _, test := range []struct {
		accessed, idle string
		want           time.Time
		bad            bool
	}{
		{"1700000000000", "1800", at.Add(30 * time.Minute), false},
		{`["java.lang.Long",1700000000000]`, `["java.lang.Integer", 1800]`, at.Add(30 * time.Minute), false},
		{"1700000000000", "0", at, false},
		{"1700000000000", "-1", time.Time{}, false},
		{"", "1800", time.Time{}, false},
		{"1700000000000", "", time.Time{}, false},
		{`"1700000000000"`, "1800", time.Time{}, true},
		{"\xac\xed\x00\x05sr", "1800", time.Time{}, true},
		{"1700000000000", "PT30M", time.Time{}, true},
		{"9223372036854775807", "1800", time.Time{}, true},
		{"1700000000000", "9223372036854775807", time.Time{}, true},
		{"1e12", "1800", time.Time{}, true},
	} {
		got, err := springEnd([]byte(test.accessed), []byte(test.idle))
		if !got.Equal(test.want) || (err != nil) != test.bad {
			t.Errorf("%q + %q: %s, %v", test.accessed, test.idle, got, err)
		}
	}
}

// FuzzDocument: no document makes the reader fail, and what it takes is the id of a user and a role.
func FuzzDocument(f *testing.F) {
	for _, document := range []string{`{"passport":{"user":{"id":4711,"role":"admin"}}}`, `{"passport":{"user":{"id":"a\u0000"}}}`, `{"passport":[{"user":1}]}`, "\xac\xed\x00\x05", `null`, ``, `{"passport":{"user":{"id":1,"id":2}}}`, springContext} {
		f.Add([]byte(document), "passport.user.id")
	}
	f.Add([]byte(`[["x",[{"id":"a"}]]]`), "0.1.0.id")
	f.Fuzz(func(t *testing.T, document []byte, path string) {
		for _, format := range []string{JSON, HashFields} {
			p, err := readPlace(format, path)
			if err != nil {
				continue
			}
			if user, err := p.user(document); err == nil && !identity.IsID(user) {
				t.Errorf("%q is a user", user)
			}
			if role, err := p.role(document); err == nil && role != "" && !identity.IsRole(role) {
				t.Errorf("%q is a role", role)
			}
		}
		_, _ = springEnd(document, document)
		if s, err := parseSession(document); err == nil && !identity.IsID(s.User) {
			t.Errorf("%q is a user", s.User)
		}
	})
}
