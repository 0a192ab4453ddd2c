package controllers

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// assetsVariable names the directory that has kube-apiserver and etcd.
const assetsVariable = "KUBEBUILDER_ASSETS"

// environment is the one real API server of this package. The managers talk to it as a user with the rights that
// config/rbac gives them, the tests as an administrator.
var (
	environment = &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd", "bases"), filepath.Join("testdata", "crds")}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: 2 * time.Minute, // a machine with other work needs more than the default 20 s
	}
	scheme        = runtime.NewScheme()
	admin         client.Client
	managerConfig *rest.Config
	managerLog    lockedBuffer
)

var errNoAssets = errors.New(assetsVariable +
	" is not set: run `make test`, which sets it to a directory with kube-apiserver and etcd")

func TestMain(m *testing.M) {
	// Programs that start later than the first test find the log where it belongs.
	ctrl.SetLogger(funcr.NewJSON(func(line string) { _, _ = fmt.Fprintln(&managerLog, line) }, funcr.Options{Verbosity: 1}))
	flag.Parse()
	if n, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String()); err == nil {
		// The tests wait for polls most of the time: a few more at once than there are cores.
		_ = flag.Set("test.parallel", strconv.Itoa(max(n, 6)))
	}
	code := m.Run()
	if admin != nil {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}
	os.Exit(code)
}

// needAPIServer starts the API server for the first test that needs it. Without its programs a test fails under CI, and
// elsewhere is skipped in capitals. It is not started in TestMain: what is read before the tests run is not part of go
// test's cache key, and a run without an API server would be taken for one with it.
func needAPIServer(t *testing.T) {
	t.Helper()
	err := startAPIServer()
	switch {
	case errors.Is(err, errNoAssets) && os.Getenv("CI") != "true":
		t.Skipf("SKIPPED, NOTHING WAS TESTED ON A REAL API SERVER: %v", err)
	case err != nil:
		t.Fatal(err)
	}
}

var startAPIServer = sync.OnceValue(func() error {
	if os.Getenv(assetsVariable) == "" {
		fmt.Fprintln(os.Stderr, "SKIPPED: THE TESTS OF THE CONTROLLERS ON A REAL API SERVER DID NOT RUN.", errNoAssets)
		return errNoAssets
	}
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), keyturnv1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	// Nothing is deleted in the cluster that a test left behind: the default has addresses for 254 Services.
	environment.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	config, err := environment.Start()
	if err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	config.QPS = -1
	if admin, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return addManagerUser()
})

// addManagerUser makes the user that the managers of the tests are, with the rights of the shipped ClusterRole and no
// others.
func addManagerUser() error {
	raw, err := os.ReadFile(filepath.Join("..", "config", "rbac", "manager_role.yaml"))
	if err != nil {
		return err
	}
	var role rbacv1.ClusterRole
	document, _, _ := bytes.Cut(raw, []byte("\n---\n"))
	if err := yaml.Unmarshal(document, &role); err != nil {
		return fmt.Errorf("config/rbac/manager_role.yaml: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := admin.Create(ctx, &role); err != nil {
		return err
	}
	if err := admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "manager"}},
	}); err != nil {
		return err
	}
	user, err := environment.AddUser(envtest.User{Name: "manager"}, nil)
	if err != nil {
		return err
	}
	managerConfig = user.Config()
	managerConfig.QPS = -1
	return nil
}

// lockedBuffer is a log that many goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newNamespace makes a namespace for one test.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}
