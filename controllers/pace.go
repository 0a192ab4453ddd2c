package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// setsAPoll is how many key sets are polled in one steady interval. More than these are polled less often each, so that what
// settled sets cost the API server is bounded, whatever their number: each look reads three objects live. Nothing that is due,
// that a watch reports or that replicas are waited for is put off by it.
const setsAPoll = 500

// pace knows how many sets there are. The zero value is ready; it is safe for concurrent use.
type pace struct {
	mu   sync.Mutex
	sets map[types.NamespacedName]struct{}
}

func (p *pace) note(set types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sets == nil {
		p.sets = map[types.NamespacedName]struct{}{}
	}
	p.sets[set] = struct{}{}
}

func (p *pace) forget(set types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sets, set)
}

// poll is how long a settled set is left alone, where a few sets would be for steady.
func (p *pace) poll(steady time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.sets); n > setsAPoll {
		return steady * time.Duration(n) / setsAPoll
	}
	return steady
}
