package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Where the node keeps its own state: in memory, in its private /run.
const (
	runDir           = "/run/keyturn"
	containerdSocket = runDir + "/containerd.sock"
	pluginDir        = "/usr/lib/cni"
)

const containerdConfig = `version = 2
root = "/run/keyturn/containerd/root"
state = "/run/keyturn/containerd/state"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "/run/keyturn/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{dir}/cni"
`

// The bridge does not masquerade: the machine sees the pods' own addresses, and routes to them.
const networkConfig = `{"cniVersion": "1.0.0", "name": "keyturn", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "{pods}"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/keyturn/addresses"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`

// syncFrequency is left at its default: how late a mount changes without a nudge is one of the things to measure.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
port: 10250
readOnlyPort: 0
healthzPort: 10248
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: {clientCA}}}
authorization: {mode: Webhook}
tlsCertFile: {cert}
tlsPrivateKeyFile: {key}
cgroupDriver: cgroupfs
cgroupRoot: /
failCgroupV1: false
failSwapOn: false
clusterDNS: ["{dns}"]
clusterDomain: cluster.local
resolvConf: /dev/null
containerRuntimeEndpoint: unix:///run/keyturn/containerd.sock
podLogsDir: {dir}/pods
volumePluginDir: /run/keyturn/volumeplugins
oomScoreAdj: 0
maxOpenFiles: 20000
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
nodeStatusUpdateFrequency: 5s
registerNode: true
`

// Without clusterCIDR kube-proxy does not hide the address of this machine when it asks a Service.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: {proxyConfig}}
mode: nftables
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0}
oomScoreAdj: 0
hostnameOverride: {name}
`

// plan is what process 1 is told.
type plan struct {
	// Hostname of the node.
	Hostname string
	// Dir is Options.Dir, which stays the machine's own where the rest of /var does not.
	Dir string
	// Hierarchies are the cgroup hierarchies of the machine.
	Hierarchies []hierarchy
	// Programs are started in this order; the first must listen on containerdSocket before the others start.
	Programs []command
}

type command struct {
	Path string
	Args []string
	Log  string
}

func (o Options) configDir() string { return filepath.Join(o.Dir, "node") }

// files are the configurations of the programs by their names in configDir.
func (o Options) files() map[string]string {
	network := NetworkOf(o.Slot)
	fill := strings.NewReplacer("{dir}", o.configDir(), "{pause}", o.PauseRef, "{pods}", network.Pods, "{dns}", network.DNS, "{name}", Name,
		"{clientCA}", o.ClientCA, "{cert}", o.Cert, "{key}", o.Key, "{proxyConfig}", o.ProxyConfig)
	return map[string]string{
		"containerd.toml":        fill.Replace(containerdConfig),
		"cni/10-bridge.conflist": fill.Replace(networkConfig),
		"kubelet.yaml":           fill.Replace(kubeletConfig),
		"proxy.yaml":             fill.Replace(proxyConfig),
	}
}

// configure writes all files of the node into Options.Dir and returns the path of the plan.
func (o Options) configure(hierarchies []hierarchy) (string, error) {
	dir := o.configDir()
	for _, sub := range []string{"cni", "pods"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return "", err
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range o.files() {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	p := plan{Hostname: fmt.Sprintf("keyturn-node-%d", o.Slot), Dir: o.Dir, Hierarchies: hierarchies}
	p.Programs = []command{
		{"containerd", []string{"--config", path("containerd.toml")}, o.log("containerd")},
		{o.Kubelet, []string{
			"--config", path("kubelet.yaml"), "--kubeconfig", o.KubeletConfig, "--hostname-override", Name,
			"--node-ip", NetworkOf(o.Slot).Node, "--root-dir", runDir + "/kubelet", "--cert-dir", runDir + "/kubelet-pki", "--v", "2",
		}, o.log("kubelet")},
		{o.Proxy, []string{"--config", path("proxy.yaml"), "--v", "2"}, o.log("kube-proxy")},
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return "", err
	}
	return path("plan.json"), os.WriteFile(path("plan.json"), text, 0o600)
}

func (o Options) log(name string) string { return filepath.Join(o.Dir, "logs", name+".log") }
