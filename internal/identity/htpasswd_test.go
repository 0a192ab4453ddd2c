package identity

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestBadLists(t *testing.T) {
	good := bcryptOf(t, "x")
	argon := func(params string) string {
		return strings.Replace(argonOf("x"), "m=8,t=1,p=1", params, 1)
	}
	tests := []struct{ name, users, roles, want string }{
		{"no colon", "alice", "", "line 1: must be name:hash"},
		{"the number counts comments", "# x\n\nalice:" + good + "\nbob", "", "line 4"},
		{"plain text", "alice:secretword", "", "line 1: the hash must be"},
		{"crypt", "alice:$1$abc$defghijklmnopqrstuvwx.", "", "line 1"},
		{"sha", "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "", "line 1"},
		{"bcrypt cost too high", "alice:" + strings.Replace(good, "$04$", "$31$", 1), "", "bcrypt cost"},
		{"bcrypt cost too low", "alice:" + strings.Replace(good, "$04$", "$03$", 1), "", "bcrypt cost"},
		{"bcrypt cut", "alice:" + good[:59], "", "line 1"},
		{"bcrypt with more", "alice:" + good + ":more", "", "line 1"},
		{"2x", "alice:" + strings.Replace(good, "$2a$", "$2x$", 1), "", "line 1"},
		{"argon2 memory", "alice:" + argon("m=262145,t=1,p=1"), "", "argon2id needs"},
		{"argon2 memory of all the machine", "alice:" + argon("m=4294967295,t=1,p=1"), "", "argon2id needs"},
		{"argon2 memory past 32 bits", "alice:" + argon("m=4294967304,t=1,p=1"), "", "argon2id needs"},
		{"argon2 passes", "alice:" + argon("m=8,t=1000,p=1"), "", "argon2id needs"},
		{"argon2 product", "alice:" + argon("m=262144,t=16,p=1"), "", "argon2id needs"},
		{"argon2 threads", "alice:" + argon("m=8192,t=1,p=200"), "", "argon2id needs"},
		{"argon2 threads without memory", "alice:" + argon("m=8,t=1,p=4"), "", "argon2id needs"},
		{"argon2 zero", "alice:" + argon("m=8,t=0,p=1"), "", "line 1"},
		{"argon2i", "alice:" + strings.Replace(argon("m=8,t=1,p=1"), "argon2id", "argon2i", 1), "", "line 1"},
		{"argon2 version", "alice:" + strings.Replace(argon("m=8,t=1,p=1"), "v=19", "v=16", 1), "", "line 1"},
		{"argon2 short salt", "alice:$argon2id$v=19$m=8,t=1,p=1$c2FsdA$" + strings.Repeat("A", 43), "", "argon2id needs a salt"},
		{"argon2 short hash", "alice:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA", "", "argon2id needs a salt"},
		{"twice", "alice:" + good + "\nalice:" + good, "", "line 2: the name is there already"},
		{"twice in another spelling", "alice:" + good + "\nａlice:" + good, "", "line 2: the name is there already"},
		{"empty name", ":" + good, "", "line 1: a user name"},
		{"long line", "alice:" + strings.Repeat("x", 2000), "", "line 1: is too long"},
		{"too many", strings.Repeat("bad\n", 50), "", "and more"},
		{"role without name", "alice:" + good, "admin", "roles: line 1"},
		{"role with a space", "alice:" + good, "alice: super user", "roles: line 1: a role"},
		{"no role", "alice:" + good, "alice:", "roles: line 1: a role"},
		{"role twice", "alice:" + good, "alice: a\nalice: b", "roles: line 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New("", []snapshot.IdentitySource{htpasswdSource("s", "", test.users, test.roles)}, nil, NewHasher(1, 1))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			for _, leak := range []string{"secretword", good[7:], "{SHA}", "c2FsdHNhbHQ", "xxxxx"} {
				if strings.Contains(err.Error(), leak) {
					t.Errorf("the error quotes the file: %v", err)
				}
			}
		})
	}
}

func TestTooManyUsers(t *testing.T) {
	h := bcryptOf(t, "x")
	var text strings.Builder
	for i := range MaxUsers {
		fmt.Fprintf(&text, "user%d:%s\n", i, h)
	}
	if _, err := parseUsers(secret.NewText(text.String())); err != nil {
		t.Errorf("%d users: %v", MaxUsers, err)
	}
	text.WriteString("onemore:" + h)
	if _, err := parseUsers(secret.NewText(text.String())); err == nil || !strings.Contains(err.Error(), "line 5001: more than 5000 users") {
		t.Errorf("one more: %v", err)
	}
}

// The work for a name that nobody knows must be that of the most common hash, or the time tells who exists.
func TestDummyCostsTheSame(t *testing.T) {
	list, err := parseUsers(secret.NewText("a:" + argonOf("x") + "\nb:" + bcryptOf(t, "x") + "\nc:" + bcryptOf(t, "y")))
	if err != nil {
		t.Fatal(err)
	}
	if list.howMany != 2 || list.dummy.cost != (cost{bcrypt: 4}) || list.dummy.text.Empty() {
		t.Errorf("dummy %+v of %d", list.dummy.cost, list.howMany)
	}
	if got, err := bcrypt.Cost(list.dummy.text.Reveal()); err != nil || got != 4 {
		t.Errorf("the dummy is no bcrypt hash: %d, %v", got, err)
	}
	argon := cost{memory: 8, time: 1, threads: 1, saltLen: 16, tag: 32}
	if d := argon.dummy(); d.matches([]byte("x")) || len(d.sum.Reveal()) != 32 {
		t.Error("the argon2id dummy matches or is incomplete")
	}
}

func FuzzParseUsers(f *testing.F) {
	good := "alice:" + bcryptOf(f, "x")
	for _, seed := range []string{good, good + "\n" + good, "b:" + argonOf("y"), "", "\n#\n", ":", "a:b:c", "\x00:" + good[6:], "a:$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$AAAA", strings.Repeat("x", 3000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseUsers(secret.NewText(text))
		if err != nil {
			if !strings.Contains(err.Error(), "line ") {
				t.Errorf("an error without a line: %v", err)
			}
			return
		}
		for name, h := range list.byName {
			if c, err := Canonical(name); err != nil || c != name {
				t.Errorf("name %q is not canonical: %q, %v", name, c, err)
			}
			if h.bcrypt > maxBcryptCost || h.memory > maxArgonMemory || uint64(h.memory)*uint64(h.time) > maxArgonTotal {
				t.Errorf("a hash too dear: %+v", h.cost)
			}
		}
	})
}
