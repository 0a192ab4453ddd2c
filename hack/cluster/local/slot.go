package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/keyturn/keyturn/hack/cluster/node"
)

// slots is how many clusters can run on one machine at the same time.
const slots = 16

// slot is a share of the loopback network that belongs to one cluster, so that two clusters (two test
// packages, a demonstration beside the tests) never meet:
//
//	127.(80+n).0.0/16  pods
//	127.(96+n).0.0/16  services
//	127.(112+n).0.1    the control plane and the node
//
// With a real node, pods and services have the addresses of [node.NetworkOf] instead.
//
// A lock on a file in the temporary directory holds it; the kernel gives it back when the process ends.
type slot struct {
	number int
	file   *os.File
	real   bool
}

func (s slot) network() node.Network { return node.NetworkOf(s.number) }

func (s slot) pods() string {
	if s.real {
		return s.network().Pods
	}
	return fmt.Sprintf("127.%d.0.0/16", 80+s.number)
}

func (s slot) services() string {
	if s.real {
		return s.network().Services
	}
	return fmt.Sprintf("127.%d.0.0/16", 96+s.number)
}

// address is where the control plane listens, host how the node and its pods reach it.
func (s slot) address() string { return fmt.Sprintf("127.%d.0.1", 112+s.number) }

func (s slot) host() string {
	if s.real {
		return s.network().Host
	}
	return s.address()
}

// firstService is the address that the API server gives to the Service default/kubernetes.
func (s slot) firstService() string {
	if s.real {
		return s.network().FirstService
	}
	return fmt.Sprintf("127.%d.0.1", 96+s.number)
}

func (s slot) release() { s.file.Close() }

// takeSlot takes a free slot. A cluster that is started again in the same directory keeps its slot,
// because the addresses of its Services are stored.
func takeSlot(dir string) (slot, error) {
	record := filepath.Join(dir, "slot")
	if b, err := os.ReadFile(record); err == nil {
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || n < 0 || n >= slots {
			return slot{}, fmt.Errorf("%s is damaged: remove the directory %s and start anew", record, dir)
		}
		s, ok, err := trySlot(n)
		if err == nil && !ok {
			err = fmt.Errorf("the cluster of %s, or another one with its addresses (%s), is running: stop it, or use another directory", dir, (slot{number: n}).services())
		}
		return s, err
	}
	for n := range slots {
		s, ok, err := trySlot(n)
		if err != nil {
			return slot{}, err
		}
		if ok {
			return s, os.WriteFile(record, []byte(strconv.Itoa(n)+"\n"), 0o644)
		}
	}
	return slot{}, fmt.Errorf("%d local clusters are running on this machine: stop one", slots)
}

func trySlot(n int) (slot, bool, error) {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("keyturn-cluster-%d-slot-%d.lock", os.Getuid(), n))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return slot{}, false, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return slot{}, false, nil
	}
	if err != nil {
		f.Close()
		return slot{}, false, fmt.Errorf("locking %s: %w", name, err)
	}
	s := slot{number: n, file: f}
	// Another user's cluster has other lock files: ask the network too.
	l, err := net.Listen("tcp", net.JoinHostPort(s.address(), strconv.Itoa(guardPort)))
	if err != nil {
		f.Close()
		return slot{}, false, nil //nolint:nilerr // taken: the next one is tried
	}
	l.Close()
	return s, true, nil
}

// guardPort is the API server's port. It is fixed because the address belongs to the slot.
const guardPort = 6443

// freePorts finds n different free ports on the address.
func freePorts(address string, n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			return nil, fmt.Errorf("no free port on %s: %w", address, err)
		}
		defer l.Close() // all stay open until the last is chosen, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
