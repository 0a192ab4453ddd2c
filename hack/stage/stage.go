// Package stage sets up a whole Keyturn on this machine: a real Kubernetes API server, the operator as config/ deploys
// it, the samples, a real nginx as docs/ingress documents it, and a small application behind it.
//
//	client ──▶ nginx ──auth_request──▶ extauthz (2)
//	             ├──▶ application            ▲ revocations, snapshot
//	             └──/auth/──▶ tokenservice ──┘
//
// The demo and the end-to-end tests stand on it, so that what people see is what is tested.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/cluster/image"
	"github.com/keyturn/keyturn/hack/cluster/local"
	"github.com/keyturn/keyturn/hack/daemon"
	"github.com/keyturn/keyturn/hack/port"
)

// Namespace is where the samples live; Service and KeySet are their names.
const (
	Namespace = "demo"
	Service   = "web"
	KeySet    = "main"
)

// sampleIssuer is the issuer that config/samples names.
const sampleIssuer = "http://127.0.0.1:8080"

// Options of a stage.
type Options struct {
	// Root is the repository.
	Root string
	// Dir keeps everything; it must exist.
	Dir string
	// Listen is nginx's port on 127.0.0.1; 0, or one that somebody has: any.
	Listen int
	// Progress is told what happens, one line a step.
	Progress io.Writer
	// Log is told every detail of the cluster.
	Log io.Writer
	// Real runs everything in containers on a real kubelet, which needs root: see hack/cluster/node.
	Real bool
	// Samples edits the sample manifests before they are applied; nil: as they are.
	Samples func(manifests string) string
}

// Stage is a running Keyturn. Its methods may be called from any goroutine.
type Stage struct {
	Cluster *local.Cluster
	// Client reads and writes as a cluster administrator.
	Client client.Client
	// URL is where nginx listens.
	URL string
	// NginxPath is the nginx that runs.
	NginxPath string

	options     Options
	image       image.Built
	application *application
	nginx       *daemon.Server
	kept        *port.Kept // nginx's
}

// Set builds the programs, starts everything and returns when users could log in.
func Set(ctx context.Context, options Options) (*Stage, error) {
	log.SetLogger(logr.Discard()) // the client library has nothing to say here
	s := &Stage{options: options}
	if err := s.set(ctx); err != nil {
		return nil, errors.Join(err, s.Strike())
	}
	return s, nil
}

// SetEmpty starts a cluster and finds nginx, and deploys nothing: for tests that do that as a person would.
func SetEmpty(ctx context.Context, options Options) (*Stage, error) {
	log.SetLogger(logr.Discard())
	s := &Stage{options: options}
	if err := s.take(ctx, s.ground()); err != nil {
		return nil, errors.Join(err, s.Strike())
	}
	return s, nil
}

// step is one thing to do, as it is told.
type step struct {
	name string
	do   func(context.Context) error
}

func (s *Stage) ground() []step {
	return []step{
		{"build manager, tokenservice and extauthz", s.build},
		{"find nginx", s.findNginx},
		{"start Kubernetes: etcd, kube-apiserver, kube-controller-manager, node agent", s.startCluster},
	}
}

func (s *Stage) set(ctx context.Context) error {
	return s.take(ctx, append(s.ground(),
		step{"deploy the operator: " + s.way(), s.deployOperator},
		step{"apply the samples: kubectl apply -k config/samples", s.applySamples},
		step{"wait until the token service and two edges are ready", s.awaitReady},
		step{"start nginx with docs/ingress/nginx.conf", s.startNginx},
	))
}

// way says how the operator is deployed: by Helm on a real node, from config/ on the local one.
func (s *Stage) way() string {
	if s.options.Real {
		return "helm install charts/keyturn"
	}
	return "kubectl apply -k config/default"
}

func (s *Stage) take(ctx context.Context, steps []step) error {
	for _, step := range steps {
		began := time.Now()
		fmt.Fprintf(s.options.Progress, "  · %s …\n", step.name)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		if took := time.Since(began); took > 2*time.Second {
			fmt.Fprintf(s.options.Progress, "    took %.0f s\n", took.Seconds())
		}
	}
	return nil
}

// Strike takes everything down. It may be called at any time, also on a stage that was not set fully.
func (s *Stage) Strike() error {
	if s.nginx != nil {
		s.nginx.Stop()
		s.nginx = nil
	}
	if s.application != nil {
		s.application.stop()
		s.application = nil
	}
	if s.Cluster != nil {
		err := s.Cluster.Stop()
		s.Cluster = nil
		return err
	}
	return nil
}

func (s *Stage) build(ctx context.Context) (err error) {
	if s.options.Real {
		s.image, err = image.Build(ctx, s.options.Root, filepath.Join(s.options.Dir, "images"))
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.binDir()+"/", "./cmd/manager", "./cmd/tokenservice", "./cmd/extauthz", "./cmd/kubectl-keyturn")
	cmd.Dir = s.options.Root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (s *Stage) binDir() string { return filepath.Join(s.options.Dir, "bin") }

// CacheDir is where programs are kept that were built or fetched: $KEYTURN_CACHE, or keyturn in the user's cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("KEYTURN_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "keyturn"), err
}

func (s *Stage) startCluster(ctx context.Context) (err error) {
	options := local.Options{Dir: filepath.Join(s.options.Dir, "cluster"), BinDir: s.binDir(), Log: s.options.Log}
	options.Finder.Log = s.options.Progress
	options.AuditLog, options.AuditPolicy = filepath.Join(s.options.Dir, "audit.log"), auditPolicy
	if s.options.Real {
		options.Node, options.Images = local.RealNode, []string{s.image.Path}
	}
	if s.Cluster, err = local.Start(ctx, options); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), keyturnv1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	s.Client, err = client.New(s.Cluster.Config(), client.Options{Scheme: scheme})
	return err
}

func (s *Stage) deployOperator(ctx context.Context) error {
	if s.options.Real {
		_, err := s.Helm(ctx, append([]string{"install"}, Release...)...)
		return err
	}
	if _, err := s.Kubectl(ctx, "apply", "--server-side", "-k", "config/default"); err != nil {
		return err
	}
	if _, err := s.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s",
		"crd/signingkeysets.keyturn.dev", "crd/tokenpolicies.keyturn.dev", "crd/tokenservices.keyturn.dev"); err != nil {
		return err
	}
	_, err := s.Kubectl(ctx, "rollout", "status", "-n", "keyturn-system", "deployment/keyturn-manager", "--timeout=90s")
	return err
}

func (s *Stage) applySamples(ctx context.Context) error {
	manifests, err := s.Kubectl(ctx, "kustomize", "config/samples")
	if err != nil {
		return err
	}
	if s.options.Samples != nil {
		manifests = s.options.Samples(manifests)
	}
	if s.options.Real { // nginx is on this machine, which pods see under an address of its own
		proxies := "- 127.0.0.0/8\n"
		manifests = strings.ReplaceAll(manifests, proxies, proxies+"  - "+s.Cluster.HostAddress()+"/32\n")
	}
	manifests = strings.ReplaceAll(manifests, sampleIssuer, s.URL)
	_, err = s.kubectlWith(ctx, manifests, "apply", "-f", "-")
	return err
}

// chooseListen keeps the wanted port if it is free, else another: nothing else on the machine is disturbed, and nobody takes
// it while everything else starts.
func (s *Stage) chooseListen() (*port.Kept, error) {
	if s.options.Listen != 0 {
		if kept, err := port.KeepNumber(s.options.Listen); err == nil {
			return kept, nil
		}
	}
	return port.Keep()
}

func (s *Stage) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	_, err := s.Kubectl(ctx, "wait", "-n", Namespace, "--for=condition=Ready", "--timeout=110s", "tokenservice/"+Service, "signingkeyset/"+KeySet)
	if err != nil {
		state, _ := s.Kubectl(context.WithoutCancel(ctx), "get", "-n", Namespace, "sks,tpol,tsvc,pods,events")
		return fmt.Errorf("%w\n%s", err, state)
	}
	_, err = s.Kubectl(ctx, "rollout", "status", "-n", Namespace, "deployment/"+Service+"-extauthz", "--timeout=60s")
	return err
}

// auditPolicy writes down who asked for what, of everything, and never a body.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// ServiceAddress is the cluster address of a Service's port.
func (s *Stage) ServiceAddress(ctx context.Context, namespace, name, port string) (string, error) {
	var service corev1.Service
	if err := s.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &service); err != nil {
		return "", err
	}
	for _, p := range service.Spec.Ports {
		if p.Name == port {
			return net.JoinHostPort(service.Spec.ClusterIP, fmt.Sprint(p.Port)), nil
		}
	}
	return "", fmt.Errorf("the Service %s has no port %q", name, port)
}
