package agent

import (
	"net/netip"
	"sync"
)

// addressPool hands out the addresses of a network in order, so that one is reused only after all others.
type addressPool struct {
	mu      sync.Mutex
	network netip.Prefix
	next    netip.Addr
	used    map[netip.Addr]bool
}

func newAddressPool(network netip.Prefix) *addressPool {
	first := network.Masked().Addr().Next()
	return &addressPool{network: network, next: first, used: map[netip.Addr]bool{}}
}

// take gives an unused address. The last byte is never 0 or 255, which some programs dislike.
func (p *addressPool) take() netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		addr := p.next
		p.next = addr.Next()
		if !p.network.Contains(p.next) {
			p.next = p.network.Masked().Addr().Next()
		}
		if last := addr.AsSlice()[addr.BitLen()/8-1]; last == 0 || last == 255 || p.used[addr] {
			continue
		}
		p.used[addr] = true
		return addr
	}
}

func (p *addressPool) release(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, a)
}
