package controllers

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// looksAPoll is how many key sets, and how many TokenServices, are polled in one steady interval. More than these are polled less
// often each, so that what settled objects cost the API server is bounded, whatever their number: each look reads some objects
// live. Nothing that is due, that a watch reports or that replicas are waited for is put off by it.
const looksAPoll = 500

// pace knows how many objects of a kind there are. The zero value is ready; it is safe for concurrent use.
type pace struct {
	mu  sync.Mutex
	all map[types.NamespacedName]struct{}
}

func (p *pace) note(object types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[types.NamespacedName]struct{}{}
	}
	p.all[object] = struct{}{}
}

func (p *pace) forget(object types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, object)
}

// poll is how long a settled object is left alone, where a few would be for steady.
func (p *pace) poll(steady time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.all); n > looksAPoll {
		return steady * time.Duration(n) / looksAPoll
	}
	return steady
}

// waits remembers since when objects wait for replicas. The zero value is ready; it is safe for concurrent use.
type waits struct {
	mu sync.Mutex
	of map[types.NamespacedName]wait
}

// wait is for replicas to take up one revision.
type wait struct {
	revision int64
	pods     []string
	began    time.Time
}

// pause notes for whom an object waits, and returns how soon to look again. A wait for another revision, or for one replica more,
// begins anew.
func (w *waits) pause(object types.NamespacedName, revision int64, pods []string, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.of[object]
	joined := slices.ContainsFunc(pods, func(pod string) bool { return !slices.Contains(known.pods, pod) })
	if joined || known.revision != revision || now.Before(known.began) {
		known = wait{revision: revision, began: now}
	}
	known.pods = pods
	if w.of == nil {
		w.of = map[types.NamespacedName]wait{}
	}
	w.of[object] = known
	return waitingPause(now.Sub(known.began))
}

// forget ends a wait.
func (w *waits) forget(object types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, object)
}

// waitingPause is how soon to look again at replicas that have been waited for so long: most answer within seconds, and one that
// has not for minutes will not in this one. It is a twentieth of what has passed, between pollWaiting and pollWaitingMax.
func waitingPause(waited time.Duration) time.Duration {
	return min(max(waited/20, pollWaiting), pollWaitingMax)
}
