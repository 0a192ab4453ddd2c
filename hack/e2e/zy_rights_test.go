package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyturn/keyturn/config/rbac"
	"github.com/keyturn/keyturn/hack/stage"
)

const manager = "system:serviceaccount:keyturn-system:keyturn-manager"

// rarelyUsed are rights that a run of minutes does not use, each with its reason.
var rarelyUsed = map[string]string{
	"patch events.events.k8s.io":                   "an Event that repeats is patched, after minutes",
	"update authrollouts.keyturn.dev/finalizers":   "asked for by the same plugin as the next one",
	"update accesspolicies.keyturn.dev/finalizers": "asked for by an admission plugin that this API server does not run (OwnerReferencesPermissionEnforcement)",
	"update tokenservices.keyturn.dev/finalizers":  "asked for by an admission plugin that this API server does not run (OwnerReferencesPermissionEnforcement)",
}

// foreignGroups are the groups of kinds that this cluster does not have; controllers/accesspolicy_adapters_test.go uses every
// right to them on an API server that has.
var foreignGroups = []string{".gateway.networking.k8s.io", ".gateway.envoyproxy.io", ".traefik.io"}

func isForeign(resource string) bool {
	return slices.ContainsFunc(foreignGroups, func(group string) bool { return strings.HasSuffix(resource, group) })
}

// TestRights runs after all others (its file sorts late) and holds what the manager asked of the API server in the whole
// run, as the audit log tells, against what it may: nothing that it may is unused, and nothing that it asked was refused.
func TestRights(t *testing.T) {
	destroyASet(t)
	guardAnIngress(t)
	asked, refused := audited(t)
	if len(refused) > 0 {
		t.Errorf("the manager was refused: %v", slices.Sorted(maps.Keys(refused)))
	}
	for _, right := range granted(t) {
		verb, resource, _ := strings.Cut(right, " ")
		switch {
		case asked[right] || rarelyUsed[right] != "" || isForeign(resource):
		case verb == "create" && asked["patch "+resource]: // server-side apply is a patch that needs both
		case verb == "list" && asked["watch "+resource]: // an API server without streaming lists is asked for both
		default:
			t.Errorf("granted and never used: %s", right)
		}
	}
	if len(asked) < 20 {
		t.Errorf("the audit log knows %d rights only: the test sees nothing", len(asked))
	}
	t.Logf("%d different rights used", len(asked))
}

// TestDataPlaneHasNoAccess looks for anybody who speaks as one of the data plane's accounts.
func TestDataPlaneHasNoAccess(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(stageDir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{stage.Service + "-tokenservice", stage.Service + "-extauthz"} {
		if strings.Contains(string(raw), `"username":"system:serviceaccount:`+stage.Namespace+":"+account+`"`) {
			t.Errorf("%s has talked to the API server", account)
		}
	}
}

// destroyASet makes the manager delete what it has made: the one thing that the other tests do not ask of it.
func destroyASet(t *testing.T) {
	t.Helper()
	const set = `{"apiVersion":"keyturn.dev/v1alpha1","kind":"SigningKeySet","metadata":{"name":"short-lived","namespace":"demo"},"spec":{"algorithm":"ES256","deletionPolicy":"Destroy"}}`
	file := filepath.Join(t.TempDir(), "set.json")
	if err := os.WriteFile(file, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := theStage.Kubectl(t.Context(), "apply", "-f", file); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) (string, error) {
		out, err := theStage.Kubectl(ctx, "get", "sks", "short-lived", "-n", stage.Namespace, "-o", "jsonpath={.status.active}")
		if out == "" {
			return "it has no active key", err
		}
		return "", err
	})
	if _, err := theStage.Kubectl(t.Context(), "delete", "sks", "short-lived", "-n", stage.Namespace, "--timeout=30s"); err != nil {
		t.Fatal(err)
	}
}

// guardAnIngress declares a policy for an Ingress, which no other test has.
func guardAnIngress(t *testing.T) {
	t.Helper()
	const objects = `{"apiVersion":"v1","kind":"List","items":[
		{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"guarded","namespace":"demo"},"spec":{"defaultBackend":{"service":{"name":"shop","port":{"number":80}}}}},
		{"apiVersion":"keyturn.dev/v1alpha1","kind":"AccessPolicy","metadata":{"name":"guarded","namespace":"demo"},
		 "spec":{"tokenServiceRef":{"name":"web"},"targetRefs":[{"group":"networking.k8s.io","kind":"Ingress","name":"guarded"}]}}]}`
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(objects), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := theStage.Kubectl(t.Context(), "apply", "-f", file); err != nil {
		t.Fatal(err)
	}
	if _, err := theStage.Kubectl(t.Context(), "wait", "acp/guarded", "-n", stage.Namespace, "--for=condition=Ready", "--timeout=60s"); err != nil {
		t.Error(err)
	}
	if _, err := theStage.Kubectl(t.Context(), "delete", "-f", file, "--timeout=30s"); err != nil {
		t.Fatal(err)
	}
}

// audited returns the rights that the manager asked for, as "verb resource", and those it was refused.
func audited(t *testing.T) (asked, refused map[string]bool) {
	t.Helper()
	file, err := os.Open(filepath.Join(stageDir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	asked, refused = map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct {
			Verb string `json:"verb"`
			User struct {
				Username string `json:"username"`
			} `json:"user"`
			ObjectRef struct {
				Group       string `json:"apiGroup"`
				Resource    string `json:"resource"`
				Subresource string `json:"subresource"`
			} `json:"objectRef"`
			Annotations map[string]string `json:"annotations"`
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil || event.User.Username != manager || event.ObjectRef.Resource == "" {
			continue
		}
		resource := qualified(event.ObjectRef.Resource, event.ObjectRef.Group)
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		right := event.Verb + " " + resource
		if event.Annotations["authorization.k8s.io/decision"] == "forbid" {
			refused[right] = true
		} else {
			asked[right] = true
		}
	}
	for right := range asked { // an API server that has just started refuses everything until it has read the roles
		delete(refused, right)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return asked, refused
}

// granted lists what the manager may, as "verb resource".
func granted(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, manifest := range [][]byte{rbac.ManagerRole, rbac.LeaderElectionRole} {
		for document := range strings.SplitSeq(string(manifest), "\n---\n") {
			var role rbacv1.ClusterRole // a Role has the same rules
			if err := yaml.Unmarshal([]byte(document), &role); err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				for _, resource := range rule.Resources {
					name, sub, found := strings.Cut(resource, "/")
					resource = qualified(name, rule.APIGroups[0])
					if found {
						resource += "/" + sub
					}
					for _, verb := range rule.Verbs {
						out = append(out, fmt.Sprintf("%s %s", verb, resource))
					}
				}
			}
		}
	}
	return out
}

// qualified names a resource with its group, as kubectl does.
func qualified(resource, group string) string {
	if group == "" {
		return resource
	}
	return resource + "." + group
}
