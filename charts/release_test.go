package charts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/hack/cluster/local"
)

// TestRelease installs the chart as its README says on the local cluster, where controllers and a garbage collector run
// and pods are processes: two managers become ready, helm test passes in its Job, the samples serve; and after helm
// uninstall they serve still, with every key.
func TestRelease(t *testing.T) {
	needAssets(t)
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin")+"/", "../cmd/manager", "../cmd/tokenservice", "../cmd/extauthz")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cluster, err := local.Start(t.Context(), local.Options{Dir: filepath.Join(dir, "cluster"), BinDir: filepath.Join(dir, "bin")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := run(t, os.Environ(), cluster.KubectlPath(), append([]string{"--kubeconfig", cluster.Kubeconfig()}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	onCluster := func(args ...string) string {
		t.Helper()
		return mustHelm(t, append(args, "--namespace", namespace, "--kubeconfig", cluster.Kubeconfig())...)
	}
	kubectl("create", "namespace", namespace)
	kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")

	onCluster("install", release, chart, "--set", "replicas=2", "--wait", "--timeout", "90s")
	if out := onCluster("test", release, "--timeout", "60s"); !strings.Contains(out, "Succeeded") {
		t.Errorf("helm test says\n%s", out)
	}
	kubectl("apply", "-k", filepath.Join("..", "config", "samples"))
	kubectl("wait", "-n", "demo", "--for=condition=Ready", "--timeout=90s", "tokenservice/web", "signingkeyset/main")
	keys := kubectl("get", "secrets", "-n", "demo", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}\n{end}")

	onCluster("uninstall", release)
	kubectl("wait", "-n", namespace, "--for=delete", "--timeout=60s", "pods", "-l", "app.kubernetes.io/component=manager")
	admin, err := client.New(cluster.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var pods corev1.PodList
	if err := admin.List(t.Context(), &pods, client.InNamespace("demo")); err != nil {
		t.Fatal(err)
	}
	ready := 0
	for i := range pods.Items {
		for _, condition := range pods.Items[i].Status.Conditions {
			if pods.Items[i].DeletionTimestamp == nil && condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	if ready != 3 {
		t.Errorf("%d replicas are ready after the uninstall, want the token service and two edges", ready)
	}
	if after := kubectl("get", "secrets", "-n", "demo", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}\n{end}"); after != keys || !strings.Contains(keys, "main-ring ") {
		t.Errorf("the Secrets before the uninstall\n%sand after it\n%s", keys, after)
	}

	onCluster("install", release, chart, "--wait", "--timeout", "90s")
	kubectl("annotate", "signingkeyset/main", "-n", "demo", "note=changed")
	kubectl("wait", "-n", "demo", "--for=condition=Ready", "--timeout=60s", "tokenservice/web")
}
