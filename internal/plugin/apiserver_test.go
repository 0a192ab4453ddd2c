package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// assetsVariable names the directory that has kube-apiserver and etcd.
const assetsVariable = "KUBEBUILDER_ASSETS"

// startAPIServer starts a real API server without Keyturn. Without its programs the test fails under CI, and elsewhere is
// skipped in capitals.
func startAPIServer(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv(assetsVariable) == "" {
		message := "NOTHING OF THE PLUGIN WAS TESTED ON A REAL API SERVER: " + assetsVariable + " is not set; run `make test`, which sets it"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		fmt.Fprintln(os.Stderr, "SKIPPED:", message)
		t.Skip("SKIPPED: " + message)
	}
	environment := &envtest.Environment{}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error("stopping the API server:", err)
		}
	})
	return config
}

// TestOnAnAPIServer goes through every command as a user does: first on a cluster without Keyturn.
func TestOnAnAPIServer(t *testing.T) {
	config := startAPIServer(t)
	c := &call{time: now, ctx: t.Context()}
	c.Session = Session{Namespace: "demo", Out: &c.out, Err: &c.err, Screen: fineScreen, Now: time.Now, After: time.After}
	connect(t, c, config)
	t.Run("without CRDs", func(t *testing.T) {
		for name, do := range map[string]func() error{
			"keys":      func() error { return c.Keys(c.ctx, KeysOptions{}) },
			"keys main": func() error { return c.Keys(c.ctx, KeysOptions{Set: "main"}) },
			"status":    func() error { return c.Status(c.ctx, false) },
			"rollout":   func() error { return c.RolloutStatus(c.ctx, "", false) },
			"promote":   func() error { return c.RolloutCommand(c.ctx, RolloutOptions{Name: "web", Action: "promote"}) },
			"rotate":    func() error { return c.Rotate(c.ctx, RotateOptions{Set: "main"}) },
			"user list": func() error { return c.ListUsers(c.ctx, UserScope{}) },
		} {
			if err := do(); err == nil || !strings.Contains(Explain(err, "demo").What, "does not know Keyturn") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfPathMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	connect(t, c, config)
	createAll(t, c)
	t.Run("rollout", func(t *testing.T) { testRolloutOnServer(t, c, config) })
	t.Run("rights", func(t *testing.T) { testRights(t, c, config) })
	t.Run("rotate", func(t *testing.T) { testRotateOnServer(t, c) })
	t.Run("users", func(t *testing.T) { testUsersOnServer(t, c) })
}

func connect(t *testing.T, c *call, config *rest.Config) {
	t.Helper()
	var err error
	if c.Client, err = Connect(config); err != nil {
		t.Fatal(err)
	}
}

func createAll(t *testing.T, c *call) {
	t.Helper()
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo"}}, settledSet(), healthyService(), webPolicy(), bakingRollout(), usersSecret(),
	}
	for _, object := range objects {
		wanted := object.DeepCopyObject().(client.Object)
		if err := c.Client.Create(c.ctx, object); err != nil {
			t.Fatal(err)
		}
		if object.GetName() == "demo" || object.GetName() == "users" {
			continue // a Namespace and a Secret have no status of ours
		}
		wanted.SetResourceVersion(object.GetResourceVersion())
		if err := c.Client.Status().Update(c.ctx, wanted); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Keys(c.ctx, KeysOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Status(c.ctx, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SigningKeySet demo/main  ready", "b41e02aa", "Everything is in order in namespace demo", "https://auth.example.com"} {
		if !strings.Contains(c.out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &c.out)
		}
	}
}

// testRights asks as somebody who may do nothing.
func testRights(t *testing.T, c *call, config *rest.Config) {
	nobody := rest.CopyConfig(config)
	nobody.Impersonate = rest.ImpersonationConfig{UserName: "jane", Groups: []string{"system:authenticated"}}
	jane := &call{ctx: c.ctx}
	jane.Session = c.Session
	connect(t, jane, nobody)
	for want, do := range map[string]func() error{
		`user "jane" may not list signingkeysets in namespace demo`: func() error { return jane.Status(c.ctx, false) },
		`user "jane" may not get signingkeysets in namespace demo`:  func() error { return jane.Rotate(c.ctx, RotateOptions{Set: "main"}) },
		`user "jane" may not list tokenservices in namespace demo`:  func() error { return jane.ListUsers(c.ctx, UserScope{}) },
	} {
		if err := do(); err == nil || Explain(err, "demo").What != want {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := c.Rotate(c.ctx, RotateOptions{Set: "mian"}); err == nil || !strings.Contains(err.Error(), "it has: main") {
		t.Errorf("a set that does not exist: %v", err)
	}
}

// testRotateOnServer plays the manager while rotate waits.
func testRotateOnServer(t *testing.T, c *call) {
	c.After = func(time.Duration) <-chan time.Time {
		var set v1alpha1.SigningKeySet
		if err := c.Client.Get(c.ctx, client.ObjectKey{Namespace: "demo", Name: "main"}, &set); err != nil {
			t.Error(err)
		}
		set.Status.RotateRequestObserved = set.Annotations[v1alpha1.AnnotationRotateRequestedAt]
		set.Status.ActiveKid = kid3
		if err := c.Client.Status().Update(c.ctx, &set); err != nil {
			t.Error(err)
		}
		done := make(chan time.Time, 1)
		done <- time.Time{}
		return done
	}
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	if err := c.Rotate(ctx, RotateOptions{Set: "main", Wait: true, Timeout: 30 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.err.String(), "done: 9f2c01aa signs in place of b41e02aa") {
		t.Errorf("it says %q", &c.err)
	}
}

// testUsersOnServer lets six calls edit one Secret at once: nobody is lost.
func testUsersOnServer(t *testing.T, c *call) {
	const rivals = 6
	results := make(chan error, rivals)
	for i := range rivals {
		go func() {
			rival := &call{}
			rival.Session = c.Session
			rival.Session.Err = &rival.err
			err := errors.New("conflict")
			for tries := 0; err != nil && tries < 5; tries++ {
				err = rival.SetUser(c.ctx, SetUserOptions{Name: fmt.Sprintf("rival%d", i), Role: role("ops"), Passwords: fixedPassword(newPassword)})
			}
			results <- err
		}()
	}
	for range rivals {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	stored := c.secret(t, "users")
	if user, err := login(t, stored, "alice", "sample-password-alice"); err != nil || user.Role != "admin" {
		t.Errorf("alice: %+v, %v", user, err)
	}
	for i := range rivals {
		if user, err := login(t, stored, fmt.Sprintf("rival%d", i), newPassword); err != nil || user.Role != "ops" {
			t.Errorf("rival%d: %+v, %v", i, user, err)
		}
	}
}
