package node

import (
	"fmt"
	"io"
	"os"
)

// Options of a node. All fields are needed unless they say otherwise.
type Options struct {
	// Dir keeps configuration, logs and volumes. It must be absolute.
	Dir string
	// Temporary says that Dir is removed if this process dies without calling Stop.
	Temporary bool
	// Slot keeps nodes of one machine apart: 0 to 15. The caller makes sure that nobody else uses it.
	Slot int
	// Lock is an open file that the slot is locked by; it stays open until the last trace of the node is gone.
	// It may be nil.
	Lock *os.File
	// Kubelet and Proxy are the paths of the programs.
	Kubelet, Proxy string
	// KubeletConfig and ProxyConfig are the paths of their kubeconfigs, for the server [Network.APIServer].
	KubeletConfig, ProxyConfig string
	// ClientCA, Cert and Key are PEM files: who may call the kubelet, and what it shows.
	ClientCA, Cert, Key string
	// APIServer is where the API server listens on this machine, host:port.
	APIServer string
	// PauseRef is the image that holds a pod's namespaces; its tarball must be among Images.
	PauseRef string
	// Images are tarballs in the OCI layout that are imported before the first pod runs.
	Images []string
	// Log is told what happens, one line a step. Nil: silence.
	Log io.Writer
}

// Name is the name of the node in Kubernetes.
const Name = "node"

// Network is the addresses of one slot.
type Network struct {
	// Pods and Services are CIDRs.
	Pods, Services string
	// FirstService is the address of the Service default/kubernetes, DNS the one that pods would ask for names.
	FirstService, DNS string
	// Host is this machine as the node and its pods see it, Node is the node.
	Host, Node string
}

// APIServer is the URL under which pods and the node reach the API server.
func (n Network) APIServer() string { return fmt.Sprintf("https://%s:%d", n.Host, APIServerPort) }

// APIServerPort is the API server's port on [Network.Host].
const APIServerPort = 6443

// NetworkOf gives the addresses of a slot.
func NetworkOf(slot int) Network {
	services := func(last int) string { return fmt.Sprintf("10.213.%d.%d", 16*slot, last) }
	return Network{
		Pods: fmt.Sprintf("10.214.%d.0/24", slot), Services: services(0) + "/20",
		FirstService: services(1), DNS: services(10),
		Host: fmt.Sprintf("10.215.%d.1", slot), Node: fmt.Sprintf("10.215.%d.2", slot),
	}
}

// LinkName is the name of the node's link on this machine.
func LinkName(slot int) string { return fmt.Sprintf("kt-node-%d", slot) }

// CgroupName is the name of the node's directory in each cgroup hierarchy of this machine.
func CgroupName(slot int) string { return fmt.Sprintf("keyturn-node-%d", slot) }
