package main

import (
	"net/netip"
	"slices"
	"testing"
)

// TestAPIServer: no probe goes to the API server, by whichever address it is known.
func TestAPIServer(t *testing.T) {
	for _, row := range []struct {
		host, service string
		want          []netip.AddrPort
	}{
		{"https://10.96.0.1:443", "10.96.0.1", []netip.AddrPort{netip.MustParseAddrPort("10.96.0.1:443"), netip.MustParseAddrPort("10.96.0.1:0")}},
		{"https://[fd00::1]:6443", "", []netip.AddrPort{netip.MustParseAddrPort("[fd00::1]:6443")}},
		{"https://192.0.2.7", "", []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:0")}},
		{"https://kubernetes.default.svc", "", nil},
	} {
		if got := apiServer(row.host, row.service); !slices.Equal(got, row.want) {
			t.Errorf("%s %s: %v, want %v", row.host, row.service, got, row.want)
		}
	}
}
