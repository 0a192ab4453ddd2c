// Package charts has no code: its tests hold the Helm chart to config/ and to a real API server, the alerts and the
// dashboard to the metrics that exist, and docs/metrics.md to what the programs expose.
package charts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keyturn/keyturn/hack/stage"
)

// The release of the tests, which has the names of config/.
const (
	release   = "keyturn"
	namespace = "keyturn-system"
	chart     = "keyturn"
)

const assetsVariable = "KUBEBUILDER_ASSETS"

var errNoAssets = errors.New(assetsVariable +
	" is not set: run `make test`, which sets it to a directory with kube-apiserver, etcd and kubectl")

func TestMain(m *testing.M) {
	code := m.Run()
	if admin != nil {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}
	os.Exit(code)
}

// needAssets gives the directory of kubectl and the API server. Without it a test fails under CI, and elsewhere is
// skipped in capitals.
func needAssets(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(assetsVariable)
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(errNoAssets)
		}
		t.Skipf("SKIPPED, THE CHART WAS NOT COMPARED WITH ANYTHING REAL: %v", errNoAssets)
	}
	return dir
}

// The one API server of this package. It has none of our objects: Helm brings the CRDs.
var (
	environment = &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("testdata", "monitoring-crds.yaml")}, ErrorIfCRDPathMissing: true}
	admin       client.Client
	adminConfig *rest.Config
)

var startAPIServer = sync.OnceValue(func() (err error) {
	// The order of a pod's admission is that of a real cluster but for service accounts, whose controller is not here.
	if adminConfig, err = environment.Start(); err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	adminConfig.QPS = -1
	admin, err = client.New(adminConfig, client.Options{})
	return err
})

// needAPIServer starts the API server for the first test that needs it.
func needAPIServer(t *testing.T) {
	t.Helper()
	needAssets(t)
	if err := startAPIServer(); err != nil {
		t.Fatal(err)
	}
}

// helmBinary is the pinned Helm.
var helmBinary = sync.OnceValues(func() (string, error) { return stage.FindHelm(context.Background(), "..", os.Stderr) })

// helm runs Helm without the configuration of whoever runs the test.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := helmBinary()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return run(t, append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home), binary, args...)
}

func run(t *testing.T, env []string, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

func mustHelm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// render gives the objects of the chart with the values of a file; an empty name takes none.
func render(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	args := []string{"template", release, chart, "--namespace", namespace}
	if values != "" {
		args = append(args, "--values", values)
	}
	return objects(t, mustHelm(t, args...))
}

// objects reads a stream of manifests.
func objects(t *testing.T, manifests string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("not a manifest: %v", err)
		}
		if len(object.Object) > 0 {
			out = append(out, object)
		}
	}
}

func title(object *unstructured.Unstructured) string {
	return strings.TrimPrefix(object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName(), "/")
}

// valueFiles are the documented combinations of values.
func valueFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chart, "ci", "*-values.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the chart's ci/ has %d files, %v", len(files), err)
	}
	return files
}
