package plugin

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

const (
	newPassword = "a new password, long enough"
	sampleBob   = "sample-password-bob"
)

type fixedPassword string

func (p fixedPassword) New(string) (secret.Text, error) { return secret.NewText(string(p)), nil }

// nobodyAsks fails the call that asks for a password.
type nobodyAsks struct{}

func (nobodyAsks) New(string) (secret.Text, error) {
	return secret.Text{}, errors.New("asked for a password")
}

func (c *call) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	var stored corev1.Secret
	if err := c.Client.Get(c.ctx, client.ObjectKey{Namespace: "demo", Name: name}, &stored); err != nil {
		t.Fatal(err)
	}
	return &stored
}

// login asks the token service's own code.
func login(t *testing.T, stored *corev1.Secret, name, password string) (identity.User, error) {
	t.Helper()
	d, err := identity.New("", []snapshot.IdentitySource{{Name: "staff", SubjectPrefix: "staff:", Htpasswd: &snapshot.Htpasswd{
		Users: secret.NewText(string(stored.Data["htpasswd"])), Roles: string(stored.Data["roles"]),
	}}}, nil, identity.NewHasher(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	return d.Authenticate(t.Context(), name, secret.NewText(password))
}

func role(text string) *string { return &text }

func TestSetUser(t *testing.T) {
	for _, row := range []struct {
		name     string
		options  SetUserOptions
		password string // that logs in afterwards; empty: nobody does
		role     string
		said     string
	}{
		{"new", SetUserOptions{Name: "carol", Role: role("ops"), Passwords: fixedPassword(newPassword)}, newPassword, "ops", "user carol in Secret demo/users: added, role ops, sub staff:carol"},
		{"new without a role", SetUserOptions{Name: "carol", Passwords: fixedPassword(newPassword)}, newPassword, "", "added, sub staff:carol"},
		{"new is folded", SetUserOptions{Name: "ｃarol", Passwords: fixedPassword(newPassword)}, newPassword, "", "stored as carol"},
		{"password", SetUserOptions{Name: "bob", Passwords: fixedPassword(newPassword)}, newPassword, "", "password changed"},
		{"role alone asks for no password", SetUserOptions{Name: "bob", Role: role("ops"), Passwords: nobodyAsks{}}, sampleBob, "ops", "user bob in Secret demo/users: role ops"},
		{"role and password", SetUserOptions{Name: "bob", Role: role("ops"), AskPassword: true, Passwords: fixedPassword(newPassword)}, newPassword, "ops", "password changed, role ops"},
		{"role taken away", SetUserOptions{Name: "alice", Role: role(""), Passwords: nobodyAsks{}}, "", "", "no role"},
		{"weak", SetUserOptions{Name: "bob", Passwords: fixedPassword("short")}, "short", "", "warning: the password has fewer than 8 characters"},
		{"by service", SetUserOptions{Name: "bob", UserScope: UserScope{Service: "web"}, Passwords: fixedPassword(newPassword)}, newPassword, "", "password changed"},
		{"by secret", SetUserOptions{Name: "bob", UserScope: UserScope{Secret: "users"}, Passwords: fixedPassword(newPassword)}, newPassword, "", "password changed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCall(t, noFuncs, healthyService(), usersSecret())
			if err := c.SetUser(c.ctx, row.options); err != nil {
				t.Fatal(err)
			}
			stored := c.secret(t, "users")
			if !strings.Contains(c.err.String(), row.said) {
				t.Errorf("it says %q", &c.err)
			}
			if strings.Contains(c.err.String()+c.out.String(), "$") || strings.Contains(c.err.String(), newPassword) {
				t.Errorf("a hash or a password is printed: %q", &c.err)
			}
			if string(stored.Data["other"]) != "not ours" || !strings.HasPrefix(string(stored.Data["htpasswd"]), "# staff\nalice:"+aliceHash+"\n\n") {
				t.Errorf("something else changed: %q", stored.Data)
			}
			account, _ := identity.Canonical(row.options.Name)
			if row.password != "" {
				user, err := login(t, stored, account, row.password)
				if err != nil || user.Role != row.role {
					t.Errorf("login: %+v, %v", user, err)
				}
			} else if strings.Contains(string(stored.Data["roles"]), account) {
				t.Errorf("roles: %q", stored.Data["roles"])
			}
		})
	}
}

// TestNewHash holds the hash to the parameters that the token service's samples have.
func TestNewHash(t *testing.T) {
	a, b := hashOf(secret.NewText(newPassword)), hashOf(secret.NewText(newPassword))
	if !strings.HasPrefix(a.Reveal(), "$argon2id$v=19$m=19456,t=2,p=1$") || a.Equal(b) {
		t.Error("another algorithm, other parameters, or a salt used twice")
	}
}

func TestSetUserRefuses(t *testing.T) {
	second := healthyService()
	second.Name, second.Spec.Identity[0].HTPasswd.SecretRef.Name = "shop", "customers"
	immutable, yes := usersSecret(), true
	immutable.Immutable = &yes
	twice := usersSecret()
	twice.Data["htpasswd"] = []byte("bob:" + bobHash + "\nbob:" + bobHash + "\n")
	for _, row := range []struct {
		name    string
		options SetUserOptions
		objects []client.Object
		want    string
	}{
		{"colon", SetUserOptions{Name: "a:b"}, []client.Object{healthyService(), usersSecret()}, "colon"},
		{"line end", SetUserOptions{Name: "a\nroot"}, []client.Object{healthyService(), usersSecret()}, "line end"},
		{"another spelling", SetUserOptions{Name: "ａlice"}, []client.Object{healthyService(), usersSecret()}, "another spelling"},
		{"bad role", SetUserOptions{Name: "bob", Role: role("a b")}, []client.Object{healthyService(), usersSecret()}, "a role has"},
		{"role with a line end", SetUserOptions{Name: "bob", Role: role("a\nalice: root")}, []client.Object{healthyService(), usersSecret()}, "a role has"},
		{"empty password", SetUserOptions{Name: "bob", Passwords: fixedPassword("")}, []client.Object{healthyService(), usersSecret()}, "empty"},
		{"long password", SetUserOptions{Name: "bob", Passwords: fixedPassword(strings.Repeat("a", 1025))}, []client.Object{healthyService(), usersSecret()}, "at most 1024 bytes"},
		{"password that is not UTF-8", SetUserOptions{Name: "bob", Passwords: fixedPassword("\xff\xff\xff\xff")}, []client.Object{healthyService(), usersSecret()}, "UTF-8"},
		{"several lists", SetUserOptions{Name: "bob"}, []client.Object{healthyService(), second, usersSecret()}, "--secret customers (source staff of TokenService shop) or --secret users"},
		{"no such service", SetUserOptions{Name: "bob", UserScope: UserScope{Service: "wbe"}}, []client.Object{healthyService(), usersSecret()}, "it has: web"},
		{"service without that secret", SetUserOptions{Name: "bob", UserScope: UserScope{Service: "web", Secret: "x"}}, []client.Object{healthyService(), usersSecret()}, "takes no users from Secret x"},
		{"no secret", SetUserOptions{Name: "bob"}, []client.Object{healthyService()}, "--create"},
		{"immutable", SetUserOptions{Name: "bob"}, []client.Object{healthyService(), immutable}, "immutable"},
		{"two lines", SetUserOptions{Name: "bob"}, []client.Object{healthyService(), twice}, "lines 1 and 2"},
		{"no service at all", SetUserOptions{Name: "bob"}, []client.Object{usersSecret()}, "no TokenService of namespace demo"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCall(t, noFuncs, row.objects...)
			if row.options.Passwords == nil {
				row.options.Passwords = fixedPassword(newPassword)
			}
			err := c.SetUser(c.ctx, row.options)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "$") {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			var stored corev1.Secret
			if c.Client.Get(c.ctx, client.ObjectKey{Namespace: "demo", Name: "users"}, &stored) == nil && stored.ResourceVersion != "999" {
				t.Error("something was written")
			}
		})
	}
}

func TestSetUserCreates(t *testing.T) {
	c := newCall(t, noFuncs, healthyService())
	if err := c.SetUser(c.ctx, SetUserOptions{Name: "bob", Role: role("ops"), Create: true, Passwords: fixedPassword(newPassword)}); err != nil {
		t.Fatal(err)
	}
	if user, err := login(t, c.secret(t, "users"), "bob", newPassword); err != nil || user.Role != "ops" {
		t.Errorf("%+v, %v", user, err)
	}
}

// TestEditRetries lets somebody else add a user between each read and write, three times: nobody is lost.
func TestEditRetries(t *testing.T) {
	rivals := 0
	var c *call
	c = newCall(t, interceptor.Funcs{Update: func(ctx context.Context, under client.WithWatch, object client.Object, options ...client.UpdateOption) error {
		if rivals < 3 {
			rivals++
			stored := c.secret(t, "users")
			stored.Data["htpasswd"] = append(stored.Data["htpasswd"], []byte("rival"+string(rune('0'+rivals))+":"+bobHash+"\n")...)
			if err := under.Update(ctx, stored); err != nil {
				t.Fatal(err)
			}
		}
		return under.Update(ctx, object, options...)
	}}, healthyService(), usersSecret())
	if err := c.SetUser(c.ctx, SetUserOptions{Name: "carol", Passwords: fixedPassword(newPassword)}); err != nil {
		t.Fatal(err)
	}
	if rivals != 3 {
		t.Fatalf("%d rivals", rivals)
	}
	for name, password := range map[string]string{"alice": "sample-password-alice", "bob": sampleBob, "carol": newPassword, "rival1": sampleBob, "rival2": sampleBob, "rival3": sampleBob} {
		if _, err := login(t, c.secret(t, "users"), name, password); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEditGivesUp after a bounded number of conflicts, with an error that says so.
func TestEditGivesUp(t *testing.T) {
	tries := 0
	c := newCall(t, interceptor.Funcs{Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
		tries++
		return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, "users", errors.New("modified"))
	}}, healthyService(), usersSecret())
	err := c.RemoveUser(c.ctx, UserScope{}, "bob")
	if trouble := Explain(err, "demo"); tries < 2 || tries > 10 || !strings.Contains(trouble.What, "again and again") {
		t.Errorf("%d tries, %v", tries, trouble)
	}
}

func TestRemoveUser(t *testing.T) {
	c := newCall(t, noFuncs, healthyService(), usersSecret())
	if err := c.RemoveUser(c.ctx, UserScope{}, "alice"); err != nil {
		t.Fatal(err)
	}
	stored := c.secret(t, "users")
	if got := string(stored.Data["htpasswd"]); got != "# staff\n\nbob:"+bobHash+"\n" || string(stored.Data["roles"]) != "" {
		t.Errorf("left: %q, %q", got, stored.Data["roles"])
	}
	golden(t, "user-rm", c.err.String())
	err := c.RemoveUser(c.ctx, UserScope{}, "alice")
	if err == nil || !strings.Contains(err.Error(), "there is no user alice") || !strings.Contains(err.Error(), "it has: bob") {
		t.Errorf("a second time: %v", err)
	}
	if err := c.RemoveUser(c.ctx, UserScope{}, "bob"); err != nil {
		t.Errorf("the last one: %v", err)
	}
}

func TestListUsers(t *testing.T) {
	broken := usersSecret()
	broken.Name = "customers"
	broken.Data = map[string][]byte{
		"htpasswd": []byte("dora:$2y$05$4vQlwius0RhYBd8ls0uuKuQS1V/Z.ypwM71CGwuzlSb.mKgtSZbe6\nnonsense\nerin:plain\nzoë:" + bobHash + "\n山田:" + bobHash + "\n"),
		"roles":    []byte("ghost: admin\n山田: ops\n"),
	}
	shop := healthyService()
	shop.Name, shop.Spec.Identity[0].Name, shop.Spec.Identity[0].SubjectPrefix = "shop", "customers", ""
	shop.Spec.Identity[0].HTPasswd = &v1alpha1.HTPasswdSource{SecretRef: v1alpha1.SecretReference{Name: "customers"}}
	for _, row := range []struct {
		name   string
		scope  UserScope
		format Format
	}{{"user-list", UserScope{}, Text}, {"user-list-one", UserScope{Service: "web"}, Text}, {"user-list-json", UserScope{Secret: "users"}, JSON}} {
		c := newCall(t, noFuncs, healthyService(), shop, usersSecret(), broken)
		c.Format = row.format
		if err := c.ListUsers(c.ctx, row.scope); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.out.String(), "plain") || strings.Contains(c.out.String(), "$2y$05") || strings.Contains(c.out.String(), "MLsJUTP9") {
			t.Error("a hash is printed")
		}
		golden(t, row.name, c.out.String())
	}
}

func TestUserListUnread(t *testing.T) {
	c := newCall(t, noFuncs, usersSecret())
	if err := c.ListUsers(c.ctx, UserScope{Secret: "users"}); err != nil || !strings.Contains(c.out.String(), "read by no TokenService") {
		t.Errorf("%v: %s", err, &c.out)
	}
	stored := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "empty"}}
	if l := newUserList(source{secret: "empty"}, stored); l.Refused != "" || len(l.Users) != 0 {
		t.Errorf("an empty Secret: %+v", l)
	}
}
