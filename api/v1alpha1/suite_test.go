package v1alpha1_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keyturn/keyturn/api/v1alpha1"
)

// assetsVariable names the directory that has kube-apiserver and etcd.
const assetsVariable = "KUBEBUILDER_ASSETS"

// fieldOwner is the manager of every server-side apply of these tests, as if one user ran kubectl.
const fieldOwner = client.FieldOwner("test")

var crdDirectory = filepath.Join("..", "..", "config", "crd", "bases")

// environment is the one real API server of this package, with the generated CRDs. Tests use names of their own, and
// dry runs wherever nothing needs to be stored. apiServer is its client; needAPIServer starts both.
var (
	environment = &envtest.Environment{CRDDirectoryPaths: []string{crdDirectory}, ErrorIfCRDPathMissing: true}
	apiServer   client.Client
)

// errNoAssets says what a machine lacks.
var errNoAssets = errors.New(assetsVariable +
	" is not set: run `make test`, which sets it to a directory with kube-apiserver and etcd")

func TestMain(m *testing.M) {
	code := m.Run()
	if apiServer != nil {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}
	os.Exit(code)
}

// needAPIServer starts the API server for the first test that needs it. Without its programs a test fails under CI, and
// elsewhere is skipped in capitals.
//
// It is not started in TestMain: what is read before the tests run is not part of go test's cache key, and a run
// without an API server would be taken for one with it.
func needAPIServer(t *testing.T) context.Context {
	t.Helper()
	err := startAPIServer()
	switch {
	case errors.Is(err, errNoAssets) && os.Getenv("CI") != "true":
		t.Skipf("SKIPPED, NOTHING WAS TESTED ON A REAL API SERVER: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var startAPIServer = sync.OnceValue(func() error {
	if os.Getenv(assetsVariable) == "" {
		fmt.Fprintln(os.Stderr, "SKIPPED: THE TESTS OF THE API ON A REAL API SERVER DID NOT RUN.", errNoAssets)
		return errNoAssets
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(
		v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme),
	); err != nil {
		return fmt.Errorf("registering types: %w", err)
	}
	config, err := environment.Start()
	if err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	apiServer, err = client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return apiServer.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "test"}})
})

// apply does what kubectl apply --server-side does.
func apply(ctx context.Context, object *unstructured.Unstructured, options ...client.ApplyOption) error {
	options = append(options, fieldOwner, client.ForceOwnership)
	return apiServer.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
}
