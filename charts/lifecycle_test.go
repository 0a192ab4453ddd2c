package charts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"sigs.k8s.io/yaml"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/controllers"
)

// teams is where the objects of the life are: a namespace with restricted pod security.
const teams = "teams"

// TestLife is a release from helm install to helm uninstall on a real API server. The manager runs with the rights of
// the release's service account and no others; what it makes is admitted under restricted pod security; what it made is
// there after the release has gone.
func TestLife(t *testing.T) {
	needAPIServer(t)
	restricted(t, namespace)
	restricted(t, teams)
	kubeconfig := adminKubeconfig(t)
	onCluster := func(args ...string) string {
		t.Helper()
		return mustHelm(t, append(args, "--namespace", namespace, "--kubeconfig", kubeconfig)...)
	}
	account := rest.CopyConfig(adminConfig)
	account.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + release + "-manager",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	t.Cleanup(func() { removeKinds(t) })
	manager := buildManager(t)
	if out, err := checkAs(t, manager, account); err == nil || !strings.Contains(err.Error(), "apply config/crd") {
		t.Errorf("the check before the install: %q, %v; want it to miss the kinds", out, err)
	}

	notes := onCluster("install", release, chart)
	if !strings.Contains(notes, "kind: TokenService") || !strings.Contains(notes, "destroys no key") {
		t.Errorf("the notes do not tell the next step, or nothing of keys:\n%s", notes)
	}
	eventually(t, "the check passes after the install", func() error { _, err := checkAs(t, manager, account); return err })
	stop := startManager(t, account)
	applySamples(t)
	admitWorkloads(t)
	before := keySecrets(t)
	if len(before) < 2 {
		t.Errorf("the manager made %d Secrets for keys", len(before))
	}
	onCluster("upgrade", release, chart, "--set", "replicas=2")
	stop()

	onCluster("uninstall", release)
	if out, err := checkAs(t, manager, account); err == nil || !strings.Contains(err.Error(), "rights are missing") {
		t.Errorf("the check after the uninstall: %q, %v; want it to miss the rights", out, err)
	}
	var deployment appsv1.Deployment
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: release + "-manager"}, &deployment); !apierrors.IsNotFound(err) {
		t.Errorf("the manager's Deployment after the uninstall: %v, want it gone", err)
	}
	if after := keySecrets(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the keys before the uninstall %v, after it %v", before, after)
	}
	if found := listSets(t); found != 1 {
		t.Errorf("%d SigningKeySets after the uninstall, want the one that was declared", found)
	}

	onCluster("install", release, chart)
	if found := listSets(t); found != 1 {
		t.Errorf("%d SigningKeySets after another install", found)
	}
	onCluster("uninstall", release)
}

// adminKubeconfig is a file for Helm.
func adminKubeconfig(t *testing.T) string {
	t.Helper()
	user, err := environment.AddUser(envtest.User{Name: "administrator", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func buildManager(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manager")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../cmd/manager").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// checkAs runs `manager check`, as the release's test does, as the release's account.
func checkAs(t *testing.T, manager string, account *rest.Config) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	// A kubeconfig that impersonates: the API server sees the account.
	raw, err := os.ReadFile(adminKubeconfig(t))
	if err != nil {
		t.Fatal(err)
	}
	file := map[string]any{}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	users, _, _ := unstructured.NestedSlice(file, "users")
	for _, user := range users {
		inner := user.(map[string]any)["user"].(map[string]any)
		inner["as"] = account.Impersonate.UserName
		var groups []any
		for _, group := range account.Impersonate.Groups {
			groups = append(groups, group)
		}
		inner["as-groups"] = groups
	}
	file["users"] = users
	raw, err = (&unstructured.Unstructured{Object: file}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, append(os.Environ(), "KUBECONFIG="+path, "POD_NAMESPACE="+namespace), manager, "check")
}

// startManager runs the controllers as that account.
func startManager(t *testing.T, account *rest.Config) (stop func()) {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), keyturnv1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	skip := true
	mgr, err := ctrl.NewManager(account, ctrl.Options{
		Scheme: scheme, Cache: controllers.CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller:     config.Controller{SkipNameValidation: &skip},
		LeaderElection: true, LeaderElectionID: "manager.keyturn.dev", LeaderElectionNamespace: namespace, LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := controllers.Setup(mgr, controllers.Options{Image: "ghcr.io/keyturn/keyturn:dev"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// applySamples applies config/samples in the namespace of the teams.
func applySamples(t *testing.T) {
	t.Helper()
	for _, name := range []string{"users", "signingkeyset", "tokenpolicy", "tokenservice"} {
		raw, err := os.ReadFile(filepath.Join("..", "config", "samples", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects(t, string(raw)) {
			object.SetNamespace(teams)
			if err := admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), fieldOwner); err != nil {
				t.Fatalf("%s: %v", title(object), err)
			}
		}
	}
}

// admitWorkloads waits for the workloads of the TokenService and asks the API server to admit a pod of each. Their
// controllers are not here, so no pod exists: the first key signs without.
func admitWorkloads(t *testing.T) {
	t.Helper()
	var tokens appsv1.StatefulSet
	var edge appsv1.Deployment
	eventually(t, "the manager makes the workloads", func() error {
		return errors.Join(
			admin.Get(t.Context(), client.ObjectKey{Namespace: teams, Name: "web-tokenservice"}, &tokens),
			admin.Get(t.Context(), client.ObjectKey{Namespace: teams, Name: "web-extauthz"}, &edge))
	})
	for _, claim := range tokens.Spec.VolumeClaimTemplates { // as the StatefulSet's controller does
		volume := corev1.Volume{Name: claim.Name}
		volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name}
		tokens.Spec.Template.Spec.Volumes = append(tokens.Spec.Template.Spec.Volumes, volume)
	}
	for name, template := range map[string]*corev1.PodTemplateSpec{"token service": &tokens.Spec.Template, "edge": &edge.Spec.Template} {
		if err := admitPod(t.Context(), teams, template); err != nil {
			t.Errorf("a pod of the %s: %v", name, err)
		}
	}
}

// keySecrets are the Secrets that hold keys, and a digest of their content.
func keySecrets(t *testing.T) map[string]string {
	t.Helper()
	var list corev1.SecretList
	if err := admin.List(t.Context(), &list, client.InNamespace(teams), client.HasLabels{keyturnv1alpha1.LabelSigningKeySet}); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i := range list.Items {
		out[list.Items[i].Name] = string(list.Items[i].UID)
	}
	return out
}

func listSets(t *testing.T) int {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(keyturnv1alpha1.GroupVersion.String())
	list.SetKind("SigningKeySetList")
	if err := admin.List(t.Context(), list, client.InNamespace(teams)); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}
