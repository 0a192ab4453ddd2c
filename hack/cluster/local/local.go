// Package local runs a Kubernetes on this machine: etcd, kube-apiserver and kube-controller-manager as
// processes, and the node agent of hack/cluster/agent inside this process. It needs no root, no
// container runtime and no network but the loopback interface (Linux: every address of 127.0.0.0/8 is there).
//
//	cluster, err := local.Start(ctx, local.Options{BinDir: "bin", Log: os.Stderr})
//	defer cluster.Stop()
//	client := kubernetes.NewForConfigOrDie(cluster.Config())
//
// It is for trying and testing. Read the package doc of hack/cluster/agent for what a pod gets here.
//
// With Options.Node set to RealNode it is a Kubernetes with nothing replaced: kube-scheduler, every controller, and the
// kubelet, kube-proxy, containerd and runc of hack/cluster/node in place of the agent. That needs root.
//
// Nothing outlives the process that called Start, however that process ends. Up to 16 clusters run side
// by side, each with its own share of the loopback network.
package local

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/keyturn/keyturn/hack/cluster/agent"
	"github.com/keyturn/keyturn/hack/cluster/binaries"
	"github.com/keyturn/keyturn/hack/cluster/node"
)

// Options of a cluster. The zero value is a cluster in a temporary directory that is removed by Stop.
type Options struct {
	// Dir keeps everything. A cluster started again in the same directory has its objects back; its
	// pods are reported lost. Empty: a temporary directory.
	Dir string
	// BinDir is where the agent looks for the programs of the pods.
	BinDir string
	// Log is told about progress and about what the agent does. Nil: silence.
	Log io.Writer
	// AuditLog is the path of the API server's audit log; empty: none. AuditPolicy is the text of the
	// policy; empty: writes with their bodies, reads without, never the body of a Secret.
	AuditLog, AuditPolicy string
	// APIServerArgs are added to the API server's command line.
	APIServerArgs []string
	// WithoutNode leaves the node out: pods stay Pending.
	WithoutNode bool
	// Node says what runs the pods; the zero value is the agent. It must be the same each time in one Dir.
	Node Kind
	// Images are tarballs in the OCI layout that a real node gets before the first pod runs.
	Images []string
	// Finder gets the Kubernetes programs. Its Log is Options.Log if it has none.
	Finder binaries.Finder
	// Agent adjusts the node agent. Start fills in what concerns the cluster: names, addresses and directories.
	Agent agent.Options
}

// Cluster is a running cluster. Its methods may be called from any goroutine.
type Cluster struct {
	opts        Options
	dir         string
	temporary   bool
	slot        slot
	ports       struct{ etcd, etcdPeer, controllerManager, node, scheduler int }
	pki         *pki
	programs    map[string]string
	mu          sync.Mutex // guards running
	running     []*program
	clientCerts []tls.Certificate
	config      *rest.Config
	agent       *agent.Agent
	stopAgent   context.CancelFunc
	agentDone   chan struct{}
	node        *node.Node
	stop        sync.Once
	stopErr     error
}

// Start starts a cluster and returns when its node is Ready and pods can be created in the namespace
// default. Cancelling ctx stops the start, not the running cluster: call Stop.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Finder.Log == nil {
		opts.Finder.Log = opts.Log
	}
	c := &Cluster{opts: opts, dir: opts.Dir}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) (err error) {
	if c.opts.Node == RealNode {
		if err := node.Check(); err != nil {
			return err
		}
	}
	if c.programs, err = c.opts.Finder.Ensure(ctx, Programs(c.opts.Node)...); err != nil {
		return err
	}
	began := time.Now()
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	server, err := c.startAPIServer()
	if err != nil {
		return err
	}
	// The controller manager waits for the API server by itself; starting it now saves a second.
	manager, err := c.startControllerManager()
	if err != nil {
		return err
	}
	if err := c.await(ctx, server, c.server()+"/readyz"); err != nil {
		return err
	}
	if manager.ended() { // before the API server was there; the node needs it
		if manager, err = c.startControllerManager(); err != nil {
			return err
		}
	}
	if c.opts.Node == RealNode {
		err = c.startRealNode(ctx)
	} else {
		err = c.startAgent(ctx)
	}
	if err != nil {
		return err
	}
	if err := c.awaitControllerManager(ctx, manager); err != nil {
		return err
	}
	if err := c.awaitServiceAccount(ctx); err != nil {
		return err
	}
	fmt.Fprintf(c.opts.Log, "Kubernetes %s is ready after %.1f s: %s\n", binaries.Version, time.Since(began).Seconds(), c.server())
	return nil
}

func (c *Cluster) server() string { return fmt.Sprintf("https://%s:%d", c.slot.address(), guardPort) }

func (c *Cluster) managerURL() string {
	return fmt.Sprintf("https://%s:%d/healthz", c.slot.address(), c.ports.controllerManager)
}

// prepare makes the directory, takes the addresses and issues the certificates.
func (c *Cluster) prepare() (err error) {
	if c.dir == "" {
		c.temporary = true
		if c.dir, err = os.MkdirTemp("", "keyturn-cluster-"); err != nil {
			return err
		}
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	if c.opts.AuditLog != "" {
		if c.opts.AuditLog, err = filepath.Abs(c.opts.AuditLog); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	if c.slot, err = takeSlot(c.dir); err != nil {
		return err
	}
	c.slot.real = c.opts.Node == RealNode
	ports, err := freePorts(c.slot.address(), 5)
	if err != nil {
		return err
	}
	c.ports.etcd, c.ports.etcdPeer, c.ports.controllerManager, c.ports.node, c.ports.scheduler = ports[0], ports[1], ports[2], ports[3], ports[4]
	return c.certificates()
}

// awaitServiceAccount waits for what the admission of every pod needs, and for what its token volume mounts.
func (c *Cluster) awaitServiceAccount(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			_, err = client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		}
		if err == nil || !apierrors.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the controller manager made no ServiceAccount default: %w\n%s", ctx.Err(), c.logTail(binaries.ControllerManager))
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// Config is an administrator's client configuration; the caller owns the copy.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// KubectlPath is the path of a kubectl of the same version.
func (c *Cluster) KubectlPath() string { return c.programs[binaries.Kubectl] }

// Dir is the directory that keeps everything.
func (c *Cluster) Dir() string { return c.dir }

// LogPath is where the output of a container is, appended across restarts.
func (c *Cluster) LogPath(namespace, pod, container string) string {
	return agent.LogPath(c.dir, namespace, pod, container)
}

// ProgramLog is where the output of etcd, kube-apiserver or kube-controller-manager is.
func (c *Cluster) ProgramLog(name string) string { return filepath.Join(c.dir, "logs", name+".log") }

// ServiceNetwork is the CIDR of the Services, inside 127.0.0.0/8.
func (c *Cluster) ServiceNetwork() string { return c.slot.services() }

// PodNetwork is the CIDR of the pods, inside 127.0.0.0/8.
func (c *Cluster) PodNetwork() string { return c.slot.pods() }

// HostAddress is the address of this machine as pods see it.
func (c *Cluster) HostAddress() string { return c.slot.host() }

// Agent is the node agent; nil when there is none.
func (c *Cluster) Agent() *agent.Agent { return c.agent }

// Pids lists the processes of the control plane and of the pods that run now.
func (c *Cluster) Pids() []int {
	var pids []int
	c.mu.Lock()
	for _, p := range c.running {
		pids = append(pids, p.Pid())
	}
	c.mu.Unlock()
	if c.agent != nil {
		pids = append(pids, c.agent.Pids()...)
	}
	if c.node != nil {
		pids = append(pids, c.node.Pid())
	}
	return pids
}

// Stop ends the pods (SIGTERM, then SIGKILL after at most two seconds; a real node is killed), then the control plane, and
// returns when no process is left. A temporary directory is removed. Calling it again does nothing.
func (c *Cluster) Stop() error {
	c.stop.Do(func() {
		if c.stopAgent != nil {
			c.stopAgent()
			<-c.agentDone
		}
		if c.node != nil {
			c.stopErr = c.node.Stop()
		}
		for i := len(c.running) - 1; i >= 0; i-- {
			if c.running[i].name == binaries.Etcd {
				c.running[i].Stop(2 * time.Second) // it may be started again in this directory
			} else {
				c.running[i].Kill() // nothing to save: etcd has it all
			}
		}
		if c.slot.file != nil {
			c.slot.release()
		}
		if c.temporary {
			c.stopErr = errors.Join(c.stopErr, os.RemoveAll(c.dir))
		}
	})
	return c.stopErr
}
