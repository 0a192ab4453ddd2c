package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// MaxURL bounds the URL of a probe, in bytes.
const MaxURL = 512

// ParseURL reads the URL of a probe: http or https, a host, perhaps a port and a path, and nothing else.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > MaxURL || err != nil || !printable(raw):
		return nil, errors.New("it is no URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("its scheme must be https or http")
	case u.Opaque != "" || u.Hostname() == "" || u.User != nil:
		return nil, errors.New("it needs a host, and no user")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#"):
		return nil, errors.New("it must have no query and no fragment")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("its port must be a number from 1 to 65535")
		}
	}
	return u, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	return s != ""
}

// Reach says where probes may go. The zero value is the public Internet.
type Reach struct {
	// Private are the addresses of private networks, where most clusters have their ingress.
	Private bool
	// Loopback are the manager's own; for tests.
	Loopback bool
	// Never are addresses that are refused whatever else is said, such as the API server's. Port 0: every port.
	Never []netip.AddrPort
}

// errAddress is why an address is not asked.
var errAddress = errors.New("probes do not go to this address")

// metadata are the services by which clouds tell nodes their secrets, where they are not link-local.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"), netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("192.0.0.192"),
}

// shared is the address space of RFC 6598, which clusters use as a private one. The two others lead to IPv4 addresses
// (RFC 6052 and RFC 3056), of which nobody here knows whose they are.
var (
	shared     = netip.MustParsePrefix("100.64.0.0/10")
	translated = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16")}
	thisHost   = netip.MustParsePrefix("0.0.0.0/8")
)

// Allows tells whether a probe may go to an address.
func (r Reach) Allows(to netip.AddrPort) bool {
	ip := to.Addr().Unmap().WithZone("")
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || thisHost.Contains(ip) || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	for _, m := range metadata {
		if ip == m {
			return false
		}
	}
	for _, p := range translated {
		if p.Contains(ip) {
			return false
		}
	}
	for _, n := range r.Never {
		if ip == n.Addr().Unmap() && (n.Port() == 0 || n.Port() == to.Port()) {
			return false
		}
	}
	switch {
	case ip.IsLoopback():
		return r.Loopback
	case ip.IsPrivate() || shared.Contains(ip):
		return r.Private
	}
	return true
}

// control is for a dialer, which asks for each address that it connects to: what a name means is looked up once.
func (r Reach) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !r.Allows(to) {
		return fmt.Errorf("%w", errAddress)
	}
	return nil
}
