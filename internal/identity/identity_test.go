package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

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

func htpasswdSource(name, prefix, users, roles string) snapshot.IdentitySource {
	return snapshot.IdentitySource{Name: name, SubjectPrefix: prefix, Htpasswd: &snapshot.Htpasswd{Users: secret.NewText(users), Roles: roles}}
}

// known is a user of a list.
func known(subject, name, role, source string) User {
	return User{Subject: subject, Name: name, Role: role, Source: source, Refreshable: true}
}

func directory(t testing.TB, sources ...snapshot.IdentitySource) *Directory {
	t.Helper()
	d, err := New("", sources, nil, NewHasher(2, 100))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAuthenticate(t *testing.T) {
	long := strings.Repeat("p", 72)
	d := directory(t,
		htpasswdSource("staff", "staff:", "# the staff\n\nalice:"+bcryptOf(t, "wonder")+"\r\nbob:"+strings.Replace(bcryptOf(t, "builder"), "$2a$", "$2y$", 1)+"\nlong:"+bcryptOf(t, long)+"\nshared:"+bcryptOf(t, "of staff")+"\n",
			"alice: admin\nbob:user\n"),
		htpasswdSource("guests", "guest:", "carol:"+argonOf("sing")+"\nshared:"+argonOf("of guests")+"\nJürgen:"+argonOf("ü")+"\nempty:"+argonOf(""), "carol: guest"))
	tests := []struct {
		name, password string
		want           User
		err            error
	}{
		{"alice", "wonder", known("staff:alice", "alice", "admin", "staff"), nil},
		{"bob", "builder", known("staff:bob", "bob", "user", "staff"), nil},
		{"carol", "sing", known("guest:carol", "carol", "guest", "guests"), nil},
		{"ａｌｉｃｅ", "wonder", known("staff:alice", "alice", "admin", "staff"), nil}, // full width
		{"Ju\u0308rgen", "ü", known("guest:Jürgen", "Jürgen", "", "guests"), nil}, // decomposed
		{"long", long, known("staff:long", "long", "", "staff"), nil},
		{"shared", "of staff", known("staff:shared", "shared", "", "staff"), nil},
		{"empty", "", known("guest:empty", "empty", "", "guests"), nil},
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
			if !errors.Is(err, test.err) || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, test.want, test.err)
			}
		})
	}
	if _, err := (&Directory{}).Authenticate(t.Context(), "alice", secret.NewText("wonder")); !errors.Is(err, ErrDenied) {
		t.Errorf("the zero directory: %v", err)
	}
}

func TestLookup(t *testing.T) {
	d := directory(t, htpasswdSource("staff", "s:", "alice:"+bcryptOf(t, "x"), "alice: admin"))
	if u, err := d.Lookup(t.Context(), known("s:alice", "alice", "", "staff")); err != nil || !reflect.DeepEqual(u, known("s:alice", "alice", "admin", "staff")) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, gone := range []User{
		known("s:bob", "bob", "", "staff"), known("s:alice", "alice", "", "guests"), known("s:alice", "alice", "", ""), {},
		known("t:alice", "alice", "", "staff"), known("alice", "alice", "", "staff"), // the prefix was another: somebody else
	} {
		if _, err := d.Lookup(t.Context(), gone); !errors.Is(err, ErrGone) {
			t.Errorf("%v: %v", gone, err)
		}
	}
}

func TestBadSources(t *testing.T) {
	good := "alice:" + bcryptOf(t, "x")
	for name, sources := range map[string][]snapshot.IdentitySource{
		"same name":          {htpasswdSource("a", "a:", good, ""), htpasswdSource("a", "b:", good, "")},
		"same prefix":        {htpasswdSource("a", "", good, ""), htpasswdSource("b", "", good, "")},
		"prefix of a prefix": {htpasswdSource("a", "a:", good, ""), htpasswdSource("b", "a:b:", good, "")},
		"prefix after":       {htpasswdSource("a", "a:b:", good, ""), htpasswdSource("b", "a:", good, "")},
		"empty prefix":       {htpasswdSource("a", "a:", good, ""), htpasswdSource("b", "", good, "")},
		"two kinds":          {{Name: "a", Htpasswd: &snapshot.Htpasswd{Users: secret.NewText(good)}, Webhook: &snapshot.Webhook{LoginURL: "https://x"}}},
		"a path for name":    {htpasswdSource("../a", "", good, "")},
		"no kind":            {{Name: "a"}},
		"no users":           {htpasswdSource("a", "", "", "")},
	} {
		if _, err := New("", sources, nil, NewHasher(1, 1)); err == nil {
			t.Errorf("%s: accepted", name)
		}
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
		runtime.Gosched()
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

// Hashes that are dear in memory run one after the other, however many slots there are.
func TestHashesWithinMemory(t *testing.T) {
	h := NewHasher(4, 10).Within(100 << 10)
	dear, cheap := cost{memory: 64, time: 1, threads: 1, saltLen: 16, tag: 16}.dummy(), cost{bcrypt: 4}.dummy()
	huge := cost{memory: 1024, time: 1, threads: 1, saltLen: 16, tag: 16}.dummy()
	for _, stored := range []hash{dear, cheap, huge} {
		if _, err := h.matches(t.Context(), stored, secret.NewText("x")); err != nil {
			t.Fatal(err)
		}
	}
	if !h.memory.TryAcquire(60 << 10) { // as one dear hash at work
		t.Fatal("memory was not given back")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, stored := range []hash{dear, huge} {
		if _, err := h.matches(ended, stored, secret.NewText("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("a second dear hash beside the first: %v", err)
		}
	}
	if _, err := h.matches(t.Context(), cheap, secret.NewText("x")); err != nil {
		t.Errorf("a cheap hash beside a dear one: %v", err)
	}
	if h.Running() != 0 {
		t.Errorf("%d slots are lost", h.Running())
	}
}
