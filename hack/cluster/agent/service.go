package agent

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

// router keeps one forwarder for each port of each Service with a ClusterIP. Any change of a pod or a
// Service leads to one pass over all of them: a local cluster is small.
type router struct {
	agent *Agent
	dirty chan struct{}

	mu         sync.Mutex
	forwarders map[string]*forwarder
}

func newRouter(a *Agent) *router {
	return &router{agent: a, dirty: make(chan struct{}, 1), forwarders: map[string]*forwarder{}}
}

func (r *router) watch(ctx context.Context) error {
	mark := func(any) { signal(r.dirty) }
	handler := cache.ResourceEventHandlerFuncs{AddFunc: mark, UpdateFunc: func(_, _ any) { signal(r.dirty) }, DeleteFunc: mark}
	core := r.agent.factory.Core().V1()
	for _, informer := range []cache.SharedIndexInformer{core.Pods().Informer(), core.Services().Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	r.agent.wg.Go(func() {
		defer r.closeAll()
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.dirty:
				r.sync(ctx)
			}
		}
	})
	return nil
}

// signal wakes whoever reads the channel, and never blocks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *router) sync(ctx context.Context) {
	services, err := r.agent.services.List(labels.Everything())
	if err != nil {
		return
	}
	pods, err := r.agent.pods.List(labels.Everything())
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := map[string]bool{}
	for _, s := range services {
		if !hasClusterIP(s) {
			continue
		}
		for i := range s.Spec.Ports {
			port := &s.Spec.Ports[i]
			if port.Protocol != corev1.ProtocolTCP && port.Protocol != "" {
				continue
			}
			address := net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(port.Port)))
			wanted[address] = true
			f := r.forwarders[address]
			if f == nil {
				f = &forwarder{address: address, log: r.agent.log.With("service", s.Namespace+"/"+s.Name)}
				r.forwarders[address] = f
			}
			f.set(ctx, r.backends(s, port, pods))
		}
	}
	for address, f := range r.forwarders {
		if !wanted[address] {
			f.set(ctx, nil)
			delete(r.forwarders, address)
		}
	}
}

func (r *router) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.forwarders {
		f.set(context.Background(), nil)
	}
}

func (r *router) backends(s *corev1.Service, port *corev1.ServicePort, pods []*corev1.Pod) []string {
	if s.Namespace == metav1.NamespaceDefault && s.Name == "kubernetes" {
		if u, err := url.Parse(r.agent.config.Host); err == nil {
			return []string{u.Host}
		}
	}
	return selectBackends(s, port, pods)
}

// selectBackends gives host:port of every pod that the Service sends this port's connections to, in a
// stable order: the selected pods that are ready and not being deleted.
func selectBackends(s *corev1.Service, port *corev1.ServicePort, pods []*corev1.Pod) []string {
	if len(s.Spec.Selector) == 0 {
		return nil
	}
	selector := labels.SelectorFromSet(s.Spec.Selector)
	var list []string
	for _, p := range pods {
		if p.Namespace != s.Namespace || !selector.Matches(labels.Set(p.Labels)) || p.Status.PodIP == "" {
			continue
		}
		if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		if !s.Spec.PublishNotReadyAddresses && (p.DeletionTimestamp != nil || !podReady(p)) {
			continue
		}
		if n, ok := targetPort(port, p); ok {
			list = append(list, net.JoinHostPort(p.Status.PodIP, strconv.Itoa(n)))
		}
	}
	slices.Sort(list)
	return list
}

func targetPort(port *corev1.ServicePort, p *corev1.Pod) (int, bool) {
	if name := port.TargetPort.StrVal; name != "" {
		return containerPort(p.Spec.Containers, p.Spec.InitContainers, name)
	}
	if n := port.TargetPort.IntValue(); n != 0 {
		return n, true
	}
	return int(port.Port), true
}

func containerPort(containers, inits []corev1.Container, name string) (int, bool) {
	for _, c := range slices.Concat(containers, inits) {
		for _, cp := range c.Ports {
			if cp.Name == name && (cp.Protocol == corev1.ProtocolTCP || cp.Protocol == "") {
				return int(cp.ContainerPort), true
			}
		}
	}
	return 0, false
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// sourceAddress is the client's address for the connection to the pod, so that the pod sees who calls.
// 127.0.0.1 is what the kernel takes anyway.
func sourceAddress(client net.Addr) net.Addr {
	ap, err := netip.ParseAddrPort(client.String())
	if err != nil || !ap.Addr().IsLoopback() || ap.Addr() == netip.MustParseAddr("127.0.0.1") {
		return nil
	}
	return &net.TCPAddr{IP: ap.Addr().AsSlice()}
}
