package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	listersv1 "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// Options of the agent. Durations that are zero take the default.
type Options struct {
	// NodeName is the Node's name; default "local".
	NodeName string
	// NodeAddress and NodePort are where the agent serves logs; PodNetwork is the CIDR of the pods'
	// addresses, inside 127.0.0.0/8.
	NodeAddress string
	NodePort    int
	PodNetwork  string
	// Dir keeps the pods' directories, the claims' directories and the logs.
	Dir string
	// BinDir is where programs are looked up by their base name.
	BinDir string
	// Images maps an image, as it is written in the pod, to the command of a container that has none; by
	// default that is the last part of the image's name.
	Images map[string][]string
	// Env is added to the environment of every container, as NAME=value; the container's own wins.
	Env []string
	// SyncPeriod is how long a changed Secret stays unnoticed in a mount while nothing else happens to
	// the pod; default 60 s. Up to a half of it is added at random, as the kubelet does.
	SyncPeriod time.Duration
	// RestartDelay is the wait before a container's second restart in a row (the first is at once); it
	// doubles up to RestartDelayMax. Defaults: 1 s and 30 s; a kubelet's are 10 s and 5 min.
	RestartDelay, RestartDelayMax time.Duration
	// StopGrace bounds how long pods have to end when the agent stops; default 2 s.
	StopGrace time.Duration
	// Log is told what the agent does. Nil: silence.
	Log io.Writer
	// ServingCert and ClientCA are for the log server. Nil: there is none.
	ServingCert *tls.Certificate
	ClientCA    *x509.CertPool
}

func (o *Options) defaults() {
	if o.NodeName == "" {
		o.NodeName = "local"
	}
	if o.SyncPeriod <= 0 {
		o.SyncPeriod = time.Minute
	}
	if o.RestartDelay <= 0 {
		o.RestartDelay = time.Second
	}
	if o.RestartDelayMax <= 0 {
		o.RestartDelayMax = 30 * time.Second
	}
	if o.StopGrace <= 0 {
		o.StopGrace = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
}

// Agent runs the pods of one node. Make it with New.
type Agent struct {
	opts      Options
	config    *rest.Config
	client    kubernetes.Interface
	factory   informers.SharedInformerFactory
	pods      listersv1.PodLister
	services  listersv1.ServiceLister
	events    record.EventRecorder
	log       *slog.Logger
	addresses *addressPool
	router    *router
	ready     chan struct{}

	mu   sync.Mutex
	runs map[types.UID]*podRun
	wg   sync.WaitGroup
	err  error
}

// New makes an agent that uses the configuration for everything it does.
func New(config *rest.Config, o Options) (*Agent, error) {
	o.defaults()
	network, err := netip.ParsePrefix(o.PodNetwork)
	if err != nil {
		return nil, fmt.Errorf("the network of the pods: %w", err)
	}
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 500, 1000
	config.UserAgent = "keyturn-local-agent"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"logs", "pods", "claims"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, dir), 0o755); err != nil {
			return nil, err
		}
	}
	a := &Agent{
		opts: o, config: config, client: client,
		factory:   informers.NewSharedInformerFactory(client, 0),
		log:       slog.New(slog.NewTextHandler(o.Log, nil)).With("node", o.NodeName),
		addresses: newAddressPool(network),
		ready:     make(chan struct{}),
		runs:      map[types.UID]*podRun{},
	}
	a.pods = a.factory.Core().V1().Pods().Lister()
	a.services = a.factory.Core().V1().Services().Lister()
	a.router = newRouter(a)
	return a, nil
}

// Ready is closed when the Node is registered and pods are served.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// Err says why Run returned early; nil after an ordinary end.
func (a *Agent) Err() error { return a.err }

// Pids lists the processes of the containers that run now.
func (a *Agent) Pids() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var pids []int
	for _, p := range a.runs {
		pids = append(pids, p.pids()...)
	}
	return pids
}

// PodPids lists the processes of one pod's containers, for tests that kill them.
func (a *Agent) PodPids(namespace, name string) []int {
	if p := a.find(namespace, name); p != nil {
		return p.pids()
	}
	return nil
}

// Run serves until ctx ends, then stops the containers and returns. Pod objects are left as they are.
func (a *Agent) Run(ctx context.Context) {
	if err := a.run(ctx); err != nil && ctx.Err() == nil {
		a.err = err
		a.log.Error("the node agent ends", "error", err)
	}
}

func (a *Agent) run(ctx context.Context) error {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: a.client.CoreV1().Events("")})
	defer broadcaster.Shutdown()
	a.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: a.opts.NodeName})

	inner, cancel := context.WithCancel(ctx)
	defer a.wg.Wait()
	defer cancel()
	closeLogs, err := a.serveLogs(inner)
	if err != nil {
		return err
	}
	defer closeLogs()
	if err := a.registerNode(inner); err != nil {
		return err
	}
	podInformer := a.factory.Core().V1().Pods().Informer()
	_, err = podInformer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, initial bool) { a.observe(inner, o.(*corev1.Pod), initial) },
		UpdateFunc: func(_, o any) { a.observe(inner, o.(*corev1.Pod), false) },
		DeleteFunc: func(o any) { a.vanished(o) },
	})
	if err != nil {
		return err
	}
	if err := errors.Join(a.startClaims(inner), a.router.watch(inner)); err != nil {
		return err
	}
	a.factory.Start(inner.Done())
	for kind, ok := range a.factory.WaitForCacheSync(inner.Done()) {
		if !ok {
			return fmt.Errorf("no list of %v", kind)
		}
	}
	a.wg.Go(func() { a.heartbeat(inner) })
	close(a.ready)
	<-inner.Done()
	return nil
}

// observe takes note of a pod's state. It never blocks on the network.
func (a *Agent) observe(ctx context.Context, pod *corev1.Pod, initial bool) {
	if ctx.Err() != nil {
		return
	}
	if pod.Spec.NodeName == "" {
		if pod.DeletionTimestamp == nil && len(pod.Spec.SchedulingGates) == 0 {
			a.wg.Go(func() { a.bind(ctx, pod) })
		}
		return
	}
	if pod.Spec.NodeName != a.opts.NodeName {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if run := a.runs[pod.UID]; run != nil {
		run.update(pod)
		return
	}
	if (initial && pod.Status.StartTime != nil) || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded || pod.DeletionTimestamp != nil {
		a.wg.Go(func() { a.lost(ctx, pod) })
		return
	}
	run := newPodRun(a, pod)
	a.runs[pod.UID] = run
	a.wg.Go(func() {
		run.run(ctx)
		a.mu.Lock()
		delete(a.runs, pod.UID)
		a.mu.Unlock()
	})
}

func (a *Agent) vanished(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if run := a.runs[pod.UID]; run != nil {
		run.vanish()
	}
}

// find gives the run of a pod by its name; nil if there is none.
func (a *Agent) find(namespace, name string) *podRun {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.runs {
		if p := r.pod(); p.Namespace == namespace && p.Name == name {
			return r
		}
	}
	return nil
}
