package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

func bcryptOf(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func argonOf(password string) string {
	salt := []byte("saltsaltsaltsalt")
	sum := argon2.IDKey([]byte(password), salt, 1, 8, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

func htpasswd(name, prefix, users, roles string) snapshot.IdentitySource {
	return snapshot.IdentitySource{Name: name, SubjectPrefix: prefix, Htpasswd: &snapshot.Htpasswd{Users: secret.NewText(users), Roles: roles}}
}

func directory(t testing.TB, sources ...snapshot.IdentitySource) *Directory {
	t.Helper()
	d, err := New(sources, nil, NewHasher(2, 100))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAuthenticate(t *testing.T) {
	long := strings.Repeat("p", 72)
	d := directory(t,
		htpasswd("staff", "staff:", "# the staff\n\nalice:"+bcryptOf(t, "wonder")+"\r\nbob:"+strings.Replace(bcryptOf(t, "builder"), "$2a$", "$2y$", 1)+"\nlong:"+bcryptOf(t, long)+"\nshared:"+bcryptOf(t, "of staff")+"\n",
			"alice: admin\nbob:user\n"),
		htpasswd("guests", "", "carol:"+argonOf("sing")+"\nshared:"+argonOf("of guests")+"\nJürgen:"+argonOf("ü")+"\nempty:"+argonOf(""), "carol: guest"))
	tests := []struct {
		name, password string
		want           User
		err            error
	}{
		{"alice", "wonder", User{"staff:alice", "alice", "admin", "staff"}, nil},
		{"bob", "builder", User{"staff:bob", "bob", "user", "staff"}, nil},
		{"carol", "sing", User{"carol", "carol", "guest", "guests"}, nil},
		{"ａｌｉｃｅ", "wonder", User{"staff:alice", "alice", "admin", "staff"}, nil}, // full width
		{"Ju\u0308rgen", "ü", User{"Jürgen", "Jürgen", "", "guests"}, nil},       // decomposed
		{"long", long, User{"staff:long", "long", "", "staff"}, nil},
		{"shared", "of staff", User{"staff:shared", "shared", "", "staff"}, nil},
		{"empty", "", User{"empty", "empty", "", "guests"}, nil},
		{"shared", "of guests", User{}, ErrDenied}, // the first source that knows the name decides
		{"Alice", "wonder", User{}, ErrDenied},
		{"alice", "Wonder", User{}, ErrDenied},
		{"alice", "", User{}, ErrDenied},
		{"alice", "wonder\x00", User{}, ErrDenied},
		{"long", long + "x", User{}, ErrDenied}, // bcrypt would compare the first 72 bytes only
		{"nobody", "wonder", User{}, ErrDenied},
		{"", "wonder", User{}, ErrBadName},
		{"a:b", "wonder", User{}, ErrBadName},
		{" alice", "wonder", User{}, ErrBadName},
		{"alice\n", "wonder", User{}, ErrBadName},
		{"al\u200bice", "wonder", User{}, ErrBadName}, // zero-width space
		{"al\xffice", "wonder", User{}, ErrBadName},
		{strings.Repeat("a", 257), "wonder", User{}, ErrBadName},
		{strings.Repeat("ﷺ", 80), "wonder", User{}, ErrBadName}, // NFKC makes it 6 times as long
		{"alice", strings.Repeat("x", 1025), User{}, ErrPasswordTooLong},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%.20q %.20q", test.name, test.password), func(t *testing.T) {
			got, err := d.Authenticate(t.Context(), test.name, secret.NewText(test.password))
			if !errors.Is(err, test.err) || got != test.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, test.want, test.err)
			}
		})
	}
	if _, err := (&Directory{}).Authenticate(t.Context(), "alice", secret.NewText("wonder")); !errors.Is(err, ErrDenied) {
		t.Errorf("the zero directory: %v", err)
	}
}

func TestLookup(t *testing.T) {
	d := directory(t, htpasswd("staff", "s:", "alice:"+bcryptOf(t, "x"), "alice: admin"))
	if u, err := d.Lookup(t.Context(), "staff", "alice"); err != nil || u != (User{"s:alice", "alice", "admin", "staff"}) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, gone := range [][2]string{{"staff", "bob"}, {"guests", "alice"}, {"", "alice"}} {
		if _, err := d.Lookup(t.Context(), gone[0], gone[1]); !errors.Is(err, ErrGone) {
			t.Errorf("%v: %v", gone, err)
		}
	}
}

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
			_, err := New([]snapshot.IdentitySource{htpasswd("s", "", test.users, test.roles)}, nil, NewHasher(1, 1))
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

func TestBadSources(t *testing.T) {
	good := "alice:" + bcryptOf(t, "x")
	for name, sources := range map[string][]snapshot.IdentitySource{
		"same name":       {htpasswd("a", "a:", good, ""), htpasswd("a", "b:", good, "")},
		"same prefix":     {htpasswd("a", "", good, ""), htpasswd("b", "", good, "")},
		"a path for name": {htpasswd("../a", "", good, "")},
		"no kind":         {{Name: "a"}},
		"no users":        {htpasswd("a", "", "", "")},
	} {
		if _, err := New(sources, nil, NewHasher(1, 1)); err == nil {
			t.Errorf("%s: accepted", name)
		}
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

func TestHasherIsBounded(t *testing.T) {
	h := NewHasher(1, 1)
	h.slots <- struct{}{} // somebody hashes
	stored, err := parseHash(argonOf("x"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiter sync.WaitGroup
	waiter.Go(func() {
		if _, err := h.matches(ctx, stored, secret.NewText("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("a waiter whose client went away: %v", err)
		}
	})
	for h.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.matches(t.Context(), stored, secret.NewText("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("past the queue: %v", err)
	}
	cancel()
	waiter.Wait()
	<-h.slots
	if ok, err := h.matches(t.Context(), stored, secret.NewText("x")); !ok || err != nil {
		t.Errorf("after it: %t, %v", ok, err)
	}
	if h.Waiting() != 0 || h.Running() != 0 {
		t.Errorf("%d waiting, %d running at the end", h.Waiting(), h.Running())
	}
}

// writeMount writes files as kubelet does: a new directory, then one rename of the link ..data.
func writeMount(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	fresh := filepath.Join(dir, version)
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	root := t.TempDir()
	var log strings.Builder
	var logged sync.Mutex
	files := NewFiles(root, slog.New(slog.NewJSONHandler(lockedWriter{&logged, &log}, nil)), time.Now)
	d, err := New([]snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{}}}, files, NewHasher(1, 10))
	if err != nil {
		t.Fatal(err)
	}
	login := func(password string) (User, error) {
		return d.Authenticate(t.Context(), "alice", secret.NewText(password))
	}
	if _, err := login("one"); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("without a file: %v", err)
	}
	dir := filepath.Join(root, "staff")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	running.Go(func() { _ = files.Run(ctx) })
	defer running.Wait()
	defer stop()

	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 20 s: %s", what)
			}
		}
	}
	writeMount(t, dir, "v1", map[string]string{"htpasswd": "alice:" + bcryptOf(t, "one")})
	until("the first file", func() bool { u, err := login("one"); return err == nil && u.Role == "" })
	writeMount(t, dir, "v2", map[string]string{"htpasswd": "alice:" + bcryptOf(t, "two"), "roles": "alice: admin"})
	until("the new password and role", func() bool { u, err := login("two"); return err == nil && u.Role == "admin" })
	writeMount(t, dir, "v3", map[string]string{"htpasswd": "alice:" + bcryptOf(t, "three") + "\nbroken:canary-hash", "roles": "alice: user"})
	until("the new role", func() bool { u, err := d.Lookup(ctx, "staff", "alice"); return err == nil && u.Role == "user" })
	if _, err := login("two"); err != nil {
		t.Errorf("the old list must stay after a bad one: %v", err)
	}
	until("a report of the bad line", func() bool {
		logged.Lock()
		defer logged.Unlock()
		return strings.Contains(log.String(), "line 2")
	})
	logged.Lock()
	defer logged.Unlock()
	if strings.Contains(log.String(), "canary-hash") {
		t.Error("the log quotes the file")
	}
}

type lockedWriter struct {
	mu  *sync.Mutex
	out *strings.Builder
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
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
