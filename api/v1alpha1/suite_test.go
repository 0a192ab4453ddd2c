package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// assetsVariable names the directory that has kube-apiserver and etcd.
const assetsVariable = "KUBEBUILDER_ASSETS"

// fieldOwner is the manager of every server-side apply of these tests, as if one user ran kubectl.
const fieldOwner = client.FieldOwner("test")

// apiServer is the one real API server of this package, with the generated CRDs. Tests use namespaces of their own
// kind and names, and dry runs wherever nothing needs to be stored.
var apiServer client.Client

// apiServerEnvironment is what apiServer talks to.
var apiServerEnvironment = &envtest.Environment{
	CRDDirectoryPaths:     []string{crdDirectory},
	ErrorIfCRDPathMissing: true,
}

var crdDirectory = filepath.Join("..", "..", "config", "crd", "bases")

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run starts the API server around the tests. Without one it fails under CI, and elsewhere says in capitals what was
// not tested and runs the tests that need none.
func run(m *testing.M) int {
	if os.Getenv(assetsVariable) == "" {
		mend := assetsVariable + " is not set: run `make test`, which sets it to a directory with kube-apiserver and etcd"
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, "FAIL: "+mend)
			return 1
		}
		fmt.Fprintln(os.Stderr, "SKIPPED: THE TESTS OF THE API ON A REAL API SERVER DID NOT RUN. "+mend)
		return m.Run()
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, corev1.AddToScheme, apiextensionsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: registering types:", err)
			return 1
		}
	}
	config, err := apiServerEnvironment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: starting the API server:", err)
		return 1
	}
	defer func() {
		if err := apiServerEnvironment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	apiServer, err = client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: making a client:", err)
		return 1
	}
	for _, name := range []string{"demo", "test"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := apiServer.Create(context.Background(), namespace); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: making a namespace:", err)
			return 1
		}
	}
	return m.Run()
}

// needAPIServer skips a test that cannot run without an API server. TestMain has said so loudly, and fails under CI.
func needAPIServer(t *testing.T) context.Context {
	t.Helper()
	if apiServer == nil {
		t.Skip("SKIPPED: no API server: run `make test`")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// parse reads one object as a user wrote it.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &object.Object); err != nil {
		t.Fatalf("the test's YAML does not parse: %v\n%s", err, text)
	}
	if object.GetNamespace() == "" {
		object.SetNamespace("test")
	}
	return object
}

// apply does what kubectl apply --server-side does, with unknown fields refused.
func apply(ctx context.Context, object *unstructured.Unstructured, options ...client.ApplyOption) error {
	options = append(options, fieldOwner, client.ForceOwnership)
	return apiServer.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
}
