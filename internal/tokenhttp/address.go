package tokenhttp

import (
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how many entries of X-Forwarded-For are looked at, from the right.
const maxHops = 32

// clientAddress tells who the client is: the peer, or, if that is a trusted proxy, the right-most entry of
// X-Forwarded-For that is not one. Every entry left of it is the client's own claim. An entry that is no address
// ends the search at the hop that wrote it. trusted tells whether the peer is a trusted proxy.
func clientAddress(r *http.Request, proxies []netip.Prefix) (client netip.Addr, trusted bool) {
	peer, ok := parseHop(r.RemoteAddr)
	if !ok {
		return netip.Addr{}, false
	}
	if !within(peer, proxies) {
		return peer, false
	}
	return rightmostUntrusted(peer, r.Header.Values("X-Forwarded-For"), proxies), true
}

func rightmostUntrusted(peer netip.Addr, forwarded []string, proxies []netip.Prefix) netip.Addr {
	client, seen := peer, 0
	for i := len(forwarded) - 1; i >= 0; i-- {
		rest := forwarded[i]
		for rest != "" {
			if seen++; seen > maxHops {
				return client
			}
			var hop string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				rest, hop = "", rest
			}
			address, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return client
			}
			client = address
			if !within(client, proxies) {
				return client
			}
		}
	}
	return client
}

// parseHop reads an address with or without a port or brackets; some proxies write one, some the other.
func parseHop(s string) (netip.Addr, bool) {
	if len(s) > 64 {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(s)
	if err != nil {
		if withPort, err2 := netip.ParseAddrPort(s); err2 == nil {
			address, err = withPort.Addr(), nil
		} else if inner, found := strings.CutPrefix(s, "["); found && strings.HasSuffix(inner, "]") {
			address, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		}
	}
	return address.Unmap().WithZone(""), err == nil
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// limitKey is what a login limit counts by.
func limitKey(a netip.Addr) string { return "login " + place(a) }

// place is an IPv4 address, or the /64 of an IPv6 address, which is what one customer has.
func place(a netip.Addr) string {
	if a.Is6() {
		prefix, err := a.Prefix(64)
		if err == nil {
			return prefix.String()
		}
	}
	return a.String()
}
