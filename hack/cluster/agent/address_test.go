package agent

import (
	"net/netip"
	"testing"
)

func TestAddressesAreReusedLast(t *testing.T) {
	p := newAddressPool(netip.MustParsePrefix("127.80.0.0/24"))
	first := p.take()
	if first.String() != "127.80.0.1" {
		t.Errorf("the first address is %s", first)
	}
	p.release(first)
	seen := map[netip.Addr]bool{first: true}
	for i := range 253 { // .2 to .254: all that are left
		a := p.take()
		if seen[a] {
			t.Fatalf("%s was given again as address %d", a, i+2)
		}
		seen[a] = true
	}
	if again := p.take(); again != first {
		t.Errorf("after all others came %s, want %s", again, first)
	}
}
