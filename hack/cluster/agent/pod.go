package agent

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// vanishedGrace is what the containers of a pod get whose object was deleted by force.
const vanishedGrace = time.Second

// podRun is one pod on this node, from its first sight until its object is gone. Its goroutine is run.
type podRun struct {
	agent *Agent
	uid   types.UID
	ip    netip.Addr
	dir   string
	start metav1.Time

	latest   atomic.Pointer[corev1.Pod]
	poke     chan struct{} // the object changed
	dirty    chan struct{} // the status changed
	endLife  context.CancelFunc
	life     context.Context // ends when the pod is to stop
	stopping atomic.Bool     // the whole agent stops
	gone     chan struct{}   // closed when the object is gone
	goneOnce sync.Once
	mounting sync.Mutex

	mu         sync.Mutex
	volumes    map[string]string
	tokens     map[string]cachedToken
	inits      []*containerRun
	containers []*containerRun
	ready      bool // init containers are over, containers were started
	kubeconfig string
	phase      corev1.PodPhase // when it is decided for good
}

func newPodRun(a *Agent, pod *corev1.Pod) *podRun {
	p := &podRun{
		agent: a, uid: pod.UID, ip: a.addresses.take(), dir: filepath.Join(a.opts.Dir, "pods", string(pod.UID)), start: metav1.Now(),
		poke: make(chan struct{}, 1), dirty: make(chan struct{}, 1), gone: make(chan struct{}),
		volumes: map[string]string{}, tokens: map[string]cachedToken{},
	}
	p.latest.Store(pod)
	p.life, p.endLife = context.WithCancel(context.Background())
	for i := range pod.Spec.InitContainers {
		p.inits = append(p.inits, newContainerRun(p, &pod.Spec.InitContainers[i], true))
	}
	for i := range pod.Spec.Containers {
		c := newContainerRun(p, &pod.Spec.Containers[i], false)
		if len(p.inits) > 0 {
			c.state = waiting("PodInitializing", "")
		}
		p.containers = append(p.containers, c)
	}
	return p
}

func (p *podRun) pod() *corev1.Pod { return p.latest.Load() }

func (p *podRun) name() string { return podName(p.pod()) }

func (p *podRun) event(kind, reason, format string, args ...any) {
	p.agent.events.Eventf(p.pod(), kind, reason, format, args...)
}

func (p *podRun) update(pod *corev1.Pod) {
	p.latest.Store(pod)
	if pod.DeletionTimestamp != nil {
		p.endLife()
	}
	signal(p.poke)
}

func (p *podRun) vanish() {
	p.goneOnce.Do(func() { close(p.gone) })
	p.endLife()
}

func (p *podRun) isGone() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// grace is how long the containers have from the moment they are asked to end.
func (p *podRun) grace() time.Duration {
	pod := p.pod()
	seconds := int64(30)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *pod.Spec.TerminationGracePeriodSeconds
	}
	if pod.DeletionGracePeriodSeconds != nil {
		seconds = *pod.DeletionGracePeriodSeconds
	}
	grace := time.Duration(seconds) * time.Second
	if p.isGone() {
		grace = min(grace, vanishedGrace)
	}
	if p.stopping.Load() {
		grace = min(grace, p.agent.opts.StopGrace)
	}
	return grace
}

func (p *podRun) pids() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pids []int
	for _, list := range [][]*containerRun{p.inits, p.containers} {
		for _, c := range list {
			if c.proc != nil {
				pids = append(pids, c.proc.Pid())
			}
		}
	}
	return pids
}

// run is the pod's life. ctx ends when the agent stops.
func (p *podRun) run(ctx context.Context) {
	defer p.agent.addresses.release(p.ip)
	defer p.endLife()
	stop := context.AfterFunc(ctx, func() {
		p.stopping.Store(true)
		p.endLife()
	})
	defer stop()

	reporting, stopReports := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { p.report(reporting) })
	signal(p.dirty)

	p.live(p.life)
	select { // a pod that ended by itself stays until it is deleted
	case <-p.life.Done():
	case <-ctx.Done():
	}
	stopReports()
	wg.Wait()
	if ctx.Err() == nil && !p.isGone() {
		p.reportEnd(ctx)
		p.agent.remove(ctx, p.pod())
	}
	if err := os.RemoveAll(p.dir); err != nil {
		p.agent.log.Warn("the pod's directory was not removed", "pod", p.name(), "error", err)
	}
}

// live mounts, starts and watches until every container has ended for good.
func (p *podRun) live(ctx context.Context) {
	if !p.setUp(ctx) {
		return
	}
	syncing, stopSync := context.WithCancel(ctx)
	defer stopSync()
	go p.keepVolumes(syncing)

	// Sidecars end after the containers proper, in the reverse order of their start.
	var sidecars []func()
	defer func() {
		for i := len(sidecars) - 1; i >= 0; i-- {
			sidecars[i]()
		}
	}()
	for _, c := range p.inits {
		if c.sidecar {
			sidecars = append(sidecars, p.startSidecar(c))
			select {
			case <-c.startup:
			case <-ctx.Done():
				return
			}
			continue
		}
		if code := c.run(ctx); ctx.Err() != nil {
			return
		} else if code != 0 {
			p.decide(corev1.PodFailed)
			return
		}
	}
	p.mu.Lock()
	p.ready = true
	p.mu.Unlock()
	var wg sync.WaitGroup
	var failed atomic.Bool
	for _, c := range p.containers {
		wg.Go(func() {
			if c.run(ctx) != 0 {
				failed.Store(true)
			}
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		if failed.Load() {
			p.decide(corev1.PodFailed)
		} else {
			p.decide(corev1.PodSucceeded)
		}
	}
}

// startSidecar starts a sidecar and gives the function that stops it.
func (p *podRun) startSidecar(c *containerRun) (stop func()) {
	own, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(own)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (p *podRun) decide(phase corev1.PodPhase) {
	p.mu.Lock()
	p.phase = phase
	p.mu.Unlock()
	signal(p.dirty)
}

// setUp mounts the volumes, trying again until that works, and says whether the pod may start.
func (p *podRun) setUp(ctx context.Context) bool {
	wait, began := 50*time.Millisecond, time.Now()
	for said, warned := "", ""; ; {
		err := os.MkdirAll(p.dir, 0o755)
		if err == nil {
			err = p.mount(ctx)
		}
		if err == nil && p.hasToken() {
			p.kubeconfig, err = p.writeKubeconfig(ctx)
		}
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		// What settles at once (a claim being bound, the CA of a new namespace) deserves no warning.
		if warned != err.Error() && time.Since(began) > time.Second {
			warned = err.Error()
			p.event(corev1.EventTypeWarning, "FailedMount", "%s", warned)
		}
		if said != err.Error() {
			said = err.Error()
			p.agent.log.Info("the pod waits for its volumes", "pod", p.name(), "error", said)
			p.mu.Lock()
			for _, c := range append(append([]*containerRun(nil), p.inits...), p.containers...) {
				c.state = waiting("ContainerCreating", said)
			}
			p.mu.Unlock()
			signal(p.dirty)
		}
		if !pause(ctx, wait) {
			return false
		}
		wait = min(2*wait, 2*time.Second)
	}
}
