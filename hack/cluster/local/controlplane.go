package local

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/hack/cluster/binaries"
	"github.com/keyturn/keyturn/hack/cluster/process"
)

// startLimit bounds the start of each program. A busy machine takes many times longer than an idle one.
const startLimit = 90 * time.Second

// withoutControllers lists what has no work here, or what cannot work: the API server refuses loopback
// addresses in Endpoints and EndpointSlices, and the node agent routes Services by itself.
var withoutControllers = []string{
	"endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller",
	"node-lifecycle-controller", "node-ipam-controller", "node-route-controller", "cloud-node-lifecycle-controller",
	"taint-eviction-controller", "device-taint-eviction-controller", "service-lb-controller", "ttl-controller",
	"horizontal-pod-autoscaler-controller", "persistentvolume-attach-detach-controller", "persistentvolume-expander-controller",
	"resourceclaim-controller", "storage-version-migrator-controller", "storageversion-garbage-collector-controller",
}

// defaultAuditPolicy records who wrote what, but no body that may hold a secret.
const defaultAuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  resources: [{group: "", resources: [events]}, {group: events.k8s.io, resources: [events]}, {group: coordination.k8s.io, resources: [leases]}]
- level: Metadata
  resources: [{group: "", resources: [secrets, configmaps, serviceaccounts/token]}, {group: authentication.k8s.io, resources: [tokenreviews]}]
- level: Request
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
`

type program struct {
	name string
	*process.Process
}

// run starts a program of the control plane. Its output goes to <Dir>/logs/<name>.log.
func (c *Cluster) run(name string, args ...string) (*program, error) {
	logs := filepath.Join(c.dir, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(c.programs[name], args...)
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = f, f
	p, err := process.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	started := &program{name, p}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = append(slices.DeleteFunc(c.running, func(p *program) bool { return p.name == name && p.ended() }), started)
	return started, nil
}

// ended tells whether the program is gone.
func (p *program) ended() bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// awaitControllerManager waits until it is well. On a very busy machine it gives up some seconds after its start, before the
// API server is there, and is started again.
func (c *Cluster) awaitControllerManager(ctx context.Context, p *program) error {
	for left := 3; ; left-- {
		err := c.await(ctx, p, c.managerURL())
		if err == nil || !p.ended() || left == 0 {
			return err
		}
		if p, err = c.startControllerManager(); err != nil {
			return err
		}
	}
}

// await polls url until it answers 200. It fails at once when the program has ended.
func (c *Cluster) await(ctx context.Context, p *program, url string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: c.clientCerts}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for last := ""; ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			last = resp.Status
		} else if ctx.Err() == nil {
			last = err.Error()
		}
		select {
		case <-p.Done():
			code, _ := p.Exit()
			return fmt.Errorf("%s ended with code %d; the end of its log:\n%s", p.name, code, c.logTail(p.name))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready (%s): %w; the end of its log:\n%s", p.name, last, ctx.Err(), c.logTail(p.name))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Cluster) logTail(name string) string {
	b, _ := os.ReadFile(filepath.Join(c.dir, "logs", name+".log"))
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

func (c *Cluster) startEtcd(ctx context.Context) error {
	client := fmt.Sprintf("http://%s:%d", c.slot.address(), c.ports.etcd)
	peer := fmt.Sprintf("http://%s:%d", c.slot.address(), c.ports.etcdPeer)
	p, err := c.run(binaries.Etcd, "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--force-new-cluster=true",
		"--log-level", "warn")
	if err != nil {
		return err
	}
	return c.await(ctx, p, client+"/health")
}

func (c *Cluster) startAPIServer() (*program, error) {
	p := c.pki
	args := []string{
		"--etcd-servers", fmt.Sprintf("http://%s:%d", c.slot.address(), c.ports.etcd),
		"--bind-address", c.slot.address(), "--secure-port", fmt.Sprint(guardPort), "--advertise-address", c.slot.host(),
		"--service-cluster-ip-range", c.slot.services(),
		"--tls-cert-file", p.path("apiserver.crt"), "--tls-private-key-file", p.path("apiserver.key"),
		"--client-ca-file", p.path("ca.crt"),
		"--kubelet-client-certificate", p.path("kube-apiserver-kubelet-client.crt"), "--kubelet-client-key", p.path("kube-apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority", p.path("ca.crt"), "--kubelet-preferred-address-types", "InternalIP",
		"--requestheader-client-ca-file", p.path("ca.crt"), "--requestheader-allowed-names", "front-proxy",
		"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file", p.path("sa.pub"), "--service-account-signing-key-file", p.path("sa.key"),
		"--allow-privileged", "--profiling=false", "--shutdown-delay-duration=0s", "--v", "1",
	}
	if c.opts.Node == RealNode {
		args = append(args, "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction")
	} else {
		// Its own EndpointSlice would be refused: a loopback address.
		args = append(args, "--authorization-mode", "RBAC", "--endpoint-reconciler-type", "none")
	}
	if c.opts.AuditLog != "" {
		policy := filepath.Join(c.dir, "audit-policy.yaml")
		text := c.opts.AuditPolicy
		if text == "" {
			text = defaultAuditPolicy
		}
		if err := os.WriteFile(policy, []byte(text), 0o644); err != nil {
			return nil, err
		}
		args = append(args, "--audit-policy-file", policy, "--audit-log-path", c.opts.AuditLog, "--audit-log-maxsize", "0")
	}
	return c.run(binaries.APIServer, append(args, c.opts.APIServerArgs...)...)
}

func (c *Cluster) startControllerManager() (*program, error) {
	p, conf := c.pki, c.kubeconfigOf(binaries.ControllerManager)
	without := withoutControllers
	if c.opts.Node == RealNode {
		without = withoutCloud
	}
	return c.run(binaries.ControllerManager, "--kubeconfig", conf, "--authentication-kubeconfig", conf, "--authorization-kubeconfig", conf,
		"--service-account-private-key-file", p.path("sa.key"), "--root-ca-file", p.path("ca.crt"),
		"--use-service-account-credentials", "--leader-elect=false", "--authentication-tolerate-lookup-failure", "--controllers", "*,-"+strings.Join(without, ",-"),
		"--cluster-signing-cert-file", p.path("ca.crt"), "--cluster-signing-key-file", p.path("ca.key"),
		"--bind-address", c.slot.address(), "--secure-port", fmt.Sprint(c.ports.controllerManager), "--v", "1")
}
