package controllers

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/probe"
)

// How often to probe where the object does not say, and while not all is well; and how many probes run at a time.
const (
	probeInterval = 5 * time.Minute
	probeAgain    = 30 * time.Second
	probesAtOnce  = 4
)

// accessProbes try policies through the ingress, beside the reconciles, which never wait for one. What they have found is
// kept in memory: a manager that starts tries every policy anew, and until then the condition stays as it is.
//
//	reconcile ── look ──▶ due? ── a goroutine ──▶ ask ──▶ done ──▶ reconcile, which writes the condition
type accessProbes struct {
	*base
	ask   func(context.Context, probe.Question) probe.Result
	done  chan event.TypedGenericEvent[client.Object]
	slots chan struct{}

	mu      sync.Mutex
	ctx     context.Context // of the manager's work; nil before it began
	running sync.WaitGroup
	all     map[types.NamespacedName]*accessProbe
}

// accessProbe is what is known of one policy.
type accessProbe struct {
	of      string // what was probed: another one is probed at once
	running bool
	// due is when to probe again; result is nil before the first came back, at is when that was.
	due    time.Time
	result *probe.Result
	at     time.Time
}

func newAccessProbes(shared *base, reach probe.Reach) *accessProbes {
	return &accessProbes{
		base: shared, ask: probe.New(reach, shared.now).Ask, all: map[types.NamespacedName]*accessProbe{},
		done: make(chan event.TypedGenericEvent[client.Object], 16), slots: make(chan struct{}, probesAtOnce),
	}
}

// Start implements manager.Runnable: it lets probes begin, and waits for those that run when the manager ends.
func (p *accessProbes) Start(ctx context.Context) error {
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.ctx = nil
	p.mu.Unlock()
	p.running.Wait()
	return nil
}

// look returns what the last probe of the policy as it is now has found, nil before there was one, and when to look again.
// It begins a probe if one is due and the policy is programmed.
func (p *accessProbes) look(s *accessStep, programmed bool) (found *probe.Result, at time.Time, again time.Duration) {
	name, now := client.ObjectKeyFromObject(s.acp), p.now()
	of := fmt.Sprintf("%s %d %x", s.acp.UID, s.acp.Generation, s.entry.digest)
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.all[name]
	if one == nil || one.of != of {
		one = &accessProbe{of: of}
		p.all[name] = one
	}
	switch {
	case !programmed:
		one.due = time.Time{} // as soon as it is
	case p.ctx == nil:
		return one.result, one.at, time.Second
	case !one.running && !now.Before(one.due):
		one.running = true
		p.running.Add(1)
		go p.run(p.ctx, s.acp.DeepCopy(), s.service.DeepCopy(), one)
	}
	return one.result, one.at, max(one.due.Sub(now), time.Second)
}

// run probes, and has the policy looked at again.
func (p *accessProbes) run(ctx context.Context, acp *keyturnv1alpha1.AccessPolicy, tsvc *keyturnv1alpha1.TokenService, one *accessProbe) {
	defer p.running.Done()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return
	}
	result := p.try(ctx, acp, tsvc)
	if ctx.Err() != nil {
		return
	}
	p.tell(acp, one, result)
	select {
	case p.done <- event.TypedGenericEvent[client.Object]{Object: acp}:
	case <-ctx.Done():
	}
}

// tell notes a result. A route that is still open is said each time: an Event that was missed does not close it.
func (p *accessProbes) tell(acp *keyturnv1alpha1.AccessPolicy, one *accessProbe, result probe.Result) {
	every := acp.Spec.Probe.Interval.Duration
	if every <= 0 {
		every = probeInterval
	}
	if result.Verdict != probe.Enforced && result.Verdict != probe.Auditing {
		every = min(every, probeAgain)
	}
	p.mu.Lock()
	still := one.result != nil && one.result.Open && result.Open
	one.running, one.result, one.at = false, &result, p.now()
	one.due = one.at.Add(every)
	current := p.all[client.ObjectKeyFromObject(acp)] == one // and not gone, or another one by now
	if current {
		processMetrics().access.probed(acp, result.Verdict)
	}
	p.mu.Unlock()
	if current && still {
		p.recorder.Eventf(acp, nil, corev1.EventTypeWarning, keyturnv1alpha1.ReasonNotEnforced, "Probe", "%s", clip(result.Message+": "+acp.Spec.Probe.URL, 1024))
	}
}

// try asks the ingress.
func (p *accessProbes) try(ctx context.Context, acp *keyturnv1alpha1.AccessPolicy, tsvc *keyturnv1alpha1.TokenService) probe.Result {
	failed := func(format string, args ...any) probe.Result {
		return probe.Result{Verdict: probe.Failed, Message: fmt.Sprintf(format, args...)}
	}
	at, err := probe.ParseURL(acp.Spec.Probe.URL)
	if err != nil {
		return failed("mend spec.probe.url: %v", err)
	}
	question := probe.Question{URL: at, Policy: accessName(acp)}
	secret, err := p.ownedSecret(ctx, tsvc, namesOf(tsvc).feedClient)
	if err == nil && secret == nil {
		err = fmt.Errorf("there is none")
	}
	if err == nil {
		question.Key, err = probe.NewKey(secret.Data[feedToken])
	}
	if err != nil {
		return failed("Secret %s, by which the edges know a probe, cannot be used: %v", namesOf(tsvc).feedClient, err)
	}
	if ref := acp.Spec.Probe.CARef; ref != nil {
		if question.Roots, err = p.authorities(ctx, acp.Namespace, ref.Name); err != nil {
			return failed("spec.probe.caRef: %v", err)
		}
	}
	return p.ask(ctx, question)
}

// authorities reads the certificates of a ConfigMap.
func (p *accessProbes) authorities(ctx context.Context, namespace, name string) (*x509.CertPool, error) {
	var held corev1.ConfigMap
	err := p.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &held)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("ConfigMap %s is not there", name)
	}
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s cannot be read", name)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(held.Data[feedAuthority])) {
		return nil, fmt.Errorf("ConfigMap %s has no certificate in PEM under the key %s", name, feedAuthority)
	}
	return pool, nil
}

// forget drops what is known of a policy that is gone.
func (p *accessProbes) forget(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, name)
	processMetrics().access.forget(name)
}
