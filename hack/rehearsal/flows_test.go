//go:build realnode && linux

package rehearsal

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/netpolicy"
	"github.com/keyturn/keyturn/hack/stage"
)

// flow is one kind of connection that was seen: who connects to which port of whom.
type flow struct {
	from, to string // component of a pod of ours, or "outside"
	port     int32
}

// observer looks into the network namespaces of all pods of ours.
type observer struct {
	pods  map[netip.Addr]corev1.Pod
	pids  map[netip.Addr]int
	peers map[string]netpolicy.Peer
	seen  map[flow]bool
}

// testFlows watches which connections exist while users call, refresh and log in and a key is rotated, and evaluates the
// NetworkPolicies of the cluster on each: the node's bridge does not enforce them.
func testFlows(t *testing.T) {
	settle(t)
	o := observe(t)
	stop := load(t, 500*time.Millisecond)
	ctx, done := context.WithCancel(t.Context())
	go func() {
		defer done()
		if _, _, err := theStage.Rotate(ctx); err != nil {
			t.Error(err)
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		o.look()
		<-tick.C
	}
	wantNoneRefused(t, stop())

	var list networkingv1.NetworkPolicyList
	if err := theStage.Client.List(t.Context(), &list, client.InNamespace(stage.Namespace)); err != nil {
		t.Fatal(err)
	}
	var policies []*networkingv1.NetworkPolicy
	for i := range list.Items {
		policies = append(policies, &list.Items[i])
	}
	if len(policies) != 2 {
		t.Fatalf("%d NetworkPolicies in namespace %s, want 2", len(policies), stage.Namespace)
	}
	for f := range o.seen {
		if f.from == "outside" && f.port == 9090 {
			continue // the kubelet's probes, which no policy stops
		}
		if !netpolicy.Allowed(policies, o.peers[f.from], o.peers[f.to], f.port) {
			t.Errorf("%s connects to %s, port %d, and the policies forbid it", f.from, f.to, f.port)
		}
	}
	for _, want := range []flow{
		{"outside", keyturnv1alpha1.ComponentTokenService, 8080}, {"outside", keyturnv1alpha1.ComponentEdge, 8080},
		{keyturnv1alpha1.ComponentEdge, keyturnv1alpha1.ComponentTokenService, 8444},
		{keyturnv1alpha1.ComponentManager, keyturnv1alpha1.ComponentTokenService, 9090},
		{keyturnv1alpha1.ComponentManager, keyturnv1alpha1.ComponentEdge, 9090},
	} {
		if !o.seen[want] {
			t.Errorf("no connection was seen from %s to %s, port %d: the test looks at the wrong place; seen: %v", want.from, want.to, want.port, slices.Collect(maps.Keys(o.seen)))
		}
	}
	figure("kinds of connections seen, all allowed by the NetworkPolicies", "%d", len(o.seen))
}

func observe(t *testing.T) *observer {
	t.Helper()
	o := &observer{map[netip.Addr]corev1.Pod{}, map[netip.Addr]int{}, map[string]netpolicy.Peer{"outside": {}}, map[flow]bool{}}
	for _, namespace := range []string{stage.Namespace, "keyturn-system"} {
		var pods corev1.PodList
		if err := theStage.Client.List(t.Context(), &pods, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		for _, pod := range pods.Items {
			component := pod.Labels[keyturnv1alpha1.LabelComponent]
			address, err := netip.ParseAddr(pod.Status.PodIP)
			if err != nil || component == "" {
				continue
			}
			o.pods[address] = pod
			o.pids[address], _ = processOf(t, &pod, pod.Spec.Containers[0].Command[0])
			o.peers[component] = netpolicy.Peer{
				Namespace: namespace, Labels: pod.Labels, NamespaceLabels: labels.Set{corev1.LabelMetadataName: namespace},
			}
		}
	}
	if len(o.pods) < 4 {
		t.Fatalf("%d pods, want a manager, a token service and two edges", len(o.pods))
	}
	return o
}

// look reads the connections of every pod from the server's side, where the address of the peer is the true one.
func (o *observer) look() {
	for address, pid := range o.pids {
		listening, connections := sockets(pid)
		for _, c := range connections {
			if !listening[c.local] {
				continue // it called somebody: the other side tells
			}
			from := "outside"
			if pod, ours := o.pods[c.peer]; ours {
				from = pod.Labels[keyturnv1alpha1.LabelComponent]
			}
			to := o.pods[address]
			o.seen[flow{from, to.Labels[keyturnv1alpha1.LabelComponent], int32(c.local)}] = true
		}
	}
}

type connection struct {
	local uint16
	peer  netip.Addr
}

// sockets reads the TCP table of a process's network namespace: the ports that listen, and the connections.
func sockets(pid int) (listening map[uint16]bool, connections []connection) {
	listening = map[uint16]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue // it is gone
		}
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[0] == "sl" {
				continue
			}
			_, local, ok := socketAddress(fields[1])
			peer, _, ok2 := socketAddress(fields[2])
			switch {
			case !ok || !ok2:
			case fields[3] == "0A": // LISTEN
				listening[local] = true
			default:
				connections = append(connections, connection{local, peer})
			}
		}
	}
	return listening, connections
}

// socketAddress reads an address of /proc/net/tcp: words in host order, hexadecimal, and a port.
func socketAddress(text string) (netip.Addr, uint16, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	return address.Unmap(), uint16(number), ok
}
