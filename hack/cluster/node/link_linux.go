package node

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// connect makes the link between this machine and the node, and the routes over it. All of it disappears with the
// node's network namespace.
func connect(ctx context.Context, slot, pid int) error {
	n, link := NetworkOf(slot), LinkName(slot)
	inside := func(args ...string) []string {
		return append([]string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", pid), "ip"}, args...)
	}
	for _, args := range [][]string{
		{"ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(pid)},
		{"ip", "addr", "add", n.Host + "/30", "dev", link},
		{"ip", "link", "set", link, "up"},
		inside("link", "set", "lo", "up"),
		inside("addr", "add", n.Node+"/30", "dev", "eth0"),
		inside("link", "set", "eth0", "up"),
		inside("route", "add", "default", "via", n.Host),
		{"ip", "route", "add", n.Services, "via", n.Node},
		{"ip", "route", "add", n.Pods, "via", n.Node},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// removeLink removes a link that a node has left, which happens only if its namespace is still being taken down.
func removeLink(slot int) error {
	if _, err := net.InterfaceByName(LinkName(slot)); err != nil {
		return nil //nolint:nilerr // there is none
	}
	out, err := exec.Command("ip", "link", "del", LinkName(slot)).CombinedOutput() //nolint:noctx // it does not wait
	if _, gone := net.InterfaceByName(LinkName(slot)); gone != nil {
		return nil //nolint:nilerr // gone by itself meanwhile
	}
	return fmt.Errorf("ip link del %s: %w: %s", LinkName(slot), err, out)
}

// checkRoutes refuses to hide a network that this machine uses.
func checkRoutes(slot int) error {
	file, err := os.Open("/proc/net/route")
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	n := NetworkOf(slot)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		used, err := prefix(f[1], f[7])
		if err != nil || used.Bits() == 0 {
			continue // the default route hides nothing
		}
		for _, ours := range []string{n.Pods, n.Services, n.Host + "/30"} {
			if used.Overlaps(netip.MustParsePrefix(ours)) {
				return fmt.Errorf("this machine has a route to %s (%s), which a node in slot %d would hide: %s is taken", used, f[0], slot, ours)
			}
		}
	}
	return nil
}

// prefix reads the kernel's notation: little-endian hexadecimal.
func prefix(address, mask string) (netip.Prefix, error) {
	a, err := hex.DecodeString(address)
	if err != nil || len(a) != 4 {
		return netip.Prefix{}, fmt.Errorf("address %q", address)
	}
	m, err := hex.DecodeString(mask)
	if err != nil || len(m) != 4 {
		return netip.Prefix{}, fmt.Errorf("mask %q", mask)
	}
	ones, _ := net.IPv4Mask(m[3], m[2], m[1], m[0]).Size()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], binary.LittleEndian.Uint32(a))
	return netip.PrefixFrom(netip.AddrFrom4(b), ones), nil
}

// relay lets the node and its pods reach the API server, which listens on this machine's loopback only.
type relay struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	open     map[net.Conn]bool
	done     sync.WaitGroup
}

func startRelay(ctx context.Context, address, target string) (*relay, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, target: target, open: map[net.Conn]bool{}}
	r.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.done.Go(func() { r.pass(conn) })
		}
	})
	return r, nil
}

func (r *relay) pass(in net.Conn) {
	out, err := net.Dial("tcp", r.target) //nolint:noctx // to this machine: refused at once or open
	if err != nil {
		_ = in.Close()
		return
	}
	r.keep(in, out)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
	r.mu.Lock()
	delete(r.open, in)
	delete(r.open, out)
	r.mu.Unlock()
}

// keep remembers connections for stop; after stop it closes them at once.
func (r *relay) keep(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.open == nil {
			_ = c.Close()
			continue
		}
		r.open[c] = true
	}
}

func (r *relay) stop() {
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.open {
		_ = c.Close()
	}
	r.open = nil
	r.mu.Unlock()
	r.done.Wait()
}
