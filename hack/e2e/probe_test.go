package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/daemon"
	"github.com/keyturn/keyturn/hack/nginx"
	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/hack/stage"
)

// TestProbesThroughNginx: behind the documented nginx a policy is Enforced, and no probe gets to the application; the same
// nginx with a configuration that does not ask the edge makes it NotEnforced.
func TestProbesThroughNginx(t *testing.T) {
	allowLoopback(t)
	var reached atomic.Int32
	application := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer application.Close()
	listen := port.For(t)
	asking := serveRecipe(t, listen, strings.TrimPrefix(application.URL, "http://"), "/authz/nginx/-/default", "/authz/nginx/demo/probed")
	applyPolicy(t, "http://"+listen+"/orders")
	awaitEnforced(t, "True", "Probed", "the ingress asked this policy, which refused a request without a credential")
	if n := reached.Load(); n > 0 {
		t.Errorf("%d probes got to the application", n)
	}
	asking.Stop()

	open := serveRecipe(t, listen, strings.TrimPrefix(application.URL, "http://"), "auth_request /_keyturn;", "", "proxy_pass http://$keyturn_upstream;", "proxy_pass http://application;")
	awaitEnforced(t, "False", "NotEnforced", "answered 200: the ingress does not ask the edge, the route is OPEN")
	open.Stop()

	other := serveRecipe(t, listen, strings.TrimPrefix(application.URL, "http://"))
	defer other.Stop()
	awaitEnforced(t, "False", "WrongPolicy", "401 invalid_token")
}

// allowLoopback lets the manager's probes go to this machine, where nginx is, until the test ends.
func allowLoopback(t *testing.T) {
	t.Helper()
	patch := func(ctx context.Context, operation string) error {
		if _, err := theStage.Kubectl(ctx, "patch", "deployment/keyturn-manager", "-n", "keyturn-system", "--type=json", "-p", operation); err != nil {
			return err
		}
		_, err := theStage.Kubectl(ctx, "rollout", "status", "deployment/keyturn-manager", "-n", "keyturn-system", "--timeout=120s")
		return err
	}
	if err := patch(t.Context(), `[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--probe-loopback-addresses"}]`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := patch(context.Background(), `[{"op":"replace","path":"/spec/template/spec/containers/0/args","value":["--leader-elect"]}]`); err != nil {
			t.Error(err)
		}
	})
}

// serveRecipe starts nginx with the documented configuration and these edits.
func serveRecipe(t *testing.T, listen, application string, edits ...string) *daemon.Server {
	t.Helper()
	recipe, err := os.ReadFile(filepath.Join("..", "..", "docs", "ingress", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	addresses := nginx.Addresses{Listen: listen, Application: application}
	if addresses.ExtAuthz, err = theStage.ServiceAddress(t.Context(), stage.Namespace, stage.Service+"-extauthz", "http"); err != nil {
		t.Fatal(err)
	}
	if addresses.TokenService, err = theStage.ServiceAddress(t.Context(), stage.Namespace, stage.Service+"-tokenservice", "http"); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(string(recipe), edits[i]) {
			t.Fatalf("the recipe has no %q", edits[i])
		}
	}
	dir := t.TempDir()
	if err := nginx.Configure(dir, strings.NewReplacer(edits...).Replace(string(recipe)), addresses); err != nil {
		t.Fatal(err)
	}
	server, err := nginx.Start(t.Context(), theStage.NginxPath, dir, listen)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func applyPolicy(t *testing.T, url string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	object := fmt.Sprintf(`{"apiVersion":"keyturn.dev/v1alpha1","kind":"AccessPolicy","metadata":{"name":"probed","namespace":%q},
		"spec":{"tokenServiceRef":{"name":%q},"probe":{"url":%q,"interval":"1m"}}}`, stage.Namespace, stage.Service, url)
	if err := os.WriteFile(file, []byte(object), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := theStage.Kubectl(t.Context(), "apply", "-f", file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := theStage.Kubectl(context.Background(), "delete", "acp/probed", "-n", stage.Namespace, "--timeout=30s"); err != nil {
			t.Error(err)
		}
	})
}

// awaitEnforced waits for the condition, and wants the column of kubectl get to have it.
func awaitEnforced(t *testing.T, status, reason, words string) {
	t.Helper()
	const condition = `jsonpath={range .status.conditions[?(@.type=="Enforced")]}{.status} {.reason} {.message}{end}`
	err := theStage.Await(t.Context(), 2*time.Minute, func(ctx context.Context) (string, error) {
		said, err := theStage.Kubectl(ctx, "get", "acp/probed", "-n", stage.Namespace, "-o", condition)
		if err != nil || !strings.HasPrefix(said, status+" "+reason+" ") || !strings.Contains(said, words) {
			return fmt.Sprintf("%s %s %q; it says %s", status, reason, words, said), err
		}
		return "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	row, err := theStage.Kubectl(t.Context(), "get", "acp/probed", "-n", stage.Namespace)
	if fields := strings.Fields(row); err != nil || len(fields) < 2 || fields[len(fields)-2] != status {
		t.Errorf("the column ENFORCED is not %s (%v):\n%s", status, err, row)
	}
}
