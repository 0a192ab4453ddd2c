// Package binaries finds the Kubernetes programs that the local cluster runs, and gets them where a
// machine has none.
//
// Sources, in this order, for each program on its own:
//
//  1. the directory named by KUBEBUILDER_ASSETS, if that is set;
//  2. the cache directory ($KEYTURN_CACHE, by default keyturn/ in the user's cache directory);
//  3. the archive of etcd, kube-apiserver and kubectl that the controller-tools project publishes (the
//     one that setup-envtest installs), where the internet is open;
//  4. a build from the Kubernetes Go modules, pinned by the module file in hack/cluster/kubernetes.
//
// Every step that takes time is announced. A program appears in the cache complete or not at all, and
// a file lock keeps two runs from building at the same time.
package binaries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Version is the Kubernetes version that is built. It must be that of the module in hack/cluster/kubernetes.
const Version = "v1.36.3"

// Names of the programs.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Kubectl           = "kubectl"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
)

// packages maps each program to the package that is built, and archived says which the archive holds.
var (
	packages = map[string]string{
		Etcd:              "go.etcd.io/etcd/server/v3",
		APIServer:         "k8s.io/kubernetes/cmd/kube-apiserver",
		ControllerManager: "k8s.io/kubernetes/cmd/kube-controller-manager",
		Kubectl:           "k8s.io/kubernetes/cmd/kubectl",
		Scheduler:         "k8s.io/kubernetes/cmd/kube-scheduler",
		Kubelet:           "k8s.io/kubernetes/cmd/kubelet",
		Proxy:             "k8s.io/kubernetes/cmd/kube-proxy",
	}
	archived = []string{Etcd, APIServer, Kubectl}
)

// Finder looks for programs. The zero value uses the environment and is silent.
type Finder struct {
	// Log is told what takes time and why. Nil: nothing is said.
	Log io.Writer
	// Assets overrides KUBEBUILDER_ASSETS, Cache overrides the cache directory.
	Assets, Cache string
	// IndexURL is where the list of archives is. Empty: the public one. "-": never ask.
	IndexURL string
}

// Ensure gives the path of each named program, and gets those that are missing.
func (f Finder) Ensure(ctx context.Context, names ...string) (map[string]string, error) {
	for _, name := range names {
		if packages[name] == "" {
			return nil, fmt.Errorf("there is no program %q among the Kubernetes programs", name)
		}
	}
	if err := f.defaults(); err != nil {
		return nil, err
	}
	found, missing := f.look(names)
	if len(missing) == 0 {
		return found, nil
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if found, missing = f.look(names); len(missing) == 0 { // another run got them meanwhile
		return found, nil
	}
	if err := f.get(ctx, missing); err != nil {
		return nil, err
	}
	if found, missing = f.look(names); len(missing) > 0 {
		return nil, fmt.Errorf("still without %s after the build: report this", strings.Join(missing, ", "))
	}
	return found, nil
}

// Directory gives one directory that holds all the named programs, as KUBEBUILDER_ASSETS must be.
// Programs from different sources are brought together by symbolic links in the cache.
func (f Finder) Directory(ctx context.Context, names ...string) (string, error) {
	found, err := f.Ensure(ctx, names...)
	if err != nil {
		return "", err
	}
	if err := f.defaults(); err != nil {
		return "", err
	}
	dirs := map[string]bool{}
	for _, p := range found {
		dirs[filepath.Dir(p)] = true
	}
	if len(dirs) == 1 {
		return filepath.Dir(found[names[0]]), nil
	}
	dir := filepath.Join(f.Cache, "assets-"+runtime.GOARCH)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, target := range found {
		link := filepath.Join(dir, name)
		if old, err := os.Readlink(link); err == nil && old == target {
			continue
		}
		tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
		if err := os.Symlink(target, tmp); err != nil {
			return "", err
		}
		if err := os.Rename(tmp, link); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func (f *Finder) defaults() error {
	if f.Log == nil {
		f.Log = io.Discard
	}
	if f.Assets == "" {
		f.Assets = os.Getenv("KUBEBUILDER_ASSETS")
	}
	if f.Cache == "" {
		f.Cache = os.Getenv("KEYTURN_CACHE")
	}
	if f.Cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("no cache directory for the Kubernetes programs: %w; set KEYTURN_CACHE to a directory", err)
		}
		f.Cache = filepath.Join(base, "keyturn")
	}
	return nil
}

func (f Finder) built() string {
	return filepath.Join(f.Cache, "kubernetes-"+Version+"-"+runtime.GOARCH)
}

func (f Finder) fetched() string {
	return filepath.Join(f.Cache, "envtest-"+minor()+"-"+runtime.GOARCH)
}

// minor is the version without its last number: v1.36.
func minor() string { return Version[:strings.LastIndexByte(Version, '.')] }

func (f Finder) look(names []string) (found map[string]string, missing []string) {
	found = map[string]string{}
	for _, name := range names {
		for _, dir := range []string{f.Assets, f.built(), f.fetched()} {
			if p := filepath.Join(dir, name); dir != "" && executable(p) {
				found[name] = p
				break
			}
		}
		if found[name] == "" {
			missing = append(missing, name)
		}
	}
	return found, missing
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func (f Finder) get(ctx context.Context, missing []string) error {
	if f.Assets != "" {
		fmt.Fprintf(f.Log, "KUBEBUILDER_ASSETS (%s) has no %s\n", f.Assets, strings.Join(missing, ", "))
	}
	wanted := func(name string) bool { return slices.Contains(archived, name) }
	if f.IndexURL != "-" && slices.ContainsFunc(missing, wanted) {
		err := f.fetch(ctx)
		switch {
		case err == nil:
			_, missing = f.look(missing)
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			fmt.Fprintf(f.Log, "no ready-made programs: %v\n", err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return f.build(ctx, missing)
}

// ErrNoModule says that the directory of the pinned Kubernetes modules was not found.
var ErrNoModule = errors.New("the module hack/cluster/kubernetes was not found: run this inside a checkout of Keyturn, or set KUBEBUILDER_ASSETS")
