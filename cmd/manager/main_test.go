package main

import (
	"math"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/client-go/rest"
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

// TestLimit: without the flags the client sets no limit of its own, by which client-go means less than 0.
func TestLimit(t *testing.T) {
	nan := float32(math.NaN())
	for _, row := range []struct {
		qps       float32
		burst     int
		wantQPS   float32
		wantBurst int
		refused   bool
	}{
		{0, 0, -1, 0, false}, {50, 0, 50, 100, false}, {50, 7, 50, 7, false}, {0.5, 0, 0.5, 2, false}, {1e30, 0, 1e30, math.MaxInt32, false},
		{-1, 0, 0, 0, true}, {nan, 0, 0, 0, true}, {5, -1, 0, 0, true}, {0, 10, 0, 0, true},
	} {
		var config rest.Config
		err := limit(&config, row.qps, row.burst)
		if config.QPS != row.wantQPS || config.Burst != row.wantBurst || (err != nil) != row.refused {
			t.Errorf("%v, %d: QPS %v, burst %d, %v", row.qps, row.burst, config.QPS, config.Burst, err)
		}
	}
}
