package agent

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// keepVolumes rewrites what changed: at once when the pod's metadata or specification changed, and
// otherwise once in a period.
func (p *podRun) keepVolumes(ctx context.Context) {
	seen := p.pod()
	for {
		t := time.NewTimer(p.agent.opts.SyncPeriod + time.Duration(rand.Int64N(int64(p.agent.opts.SyncPeriod)/2+1)))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-p.poke:
			now := p.pod()
			same := now.Generation == seen.Generation && reflect.DeepEqual(now.Annotations, seen.Annotations) && reflect.DeepEqual(now.Labels, seen.Labels)
			seen = now
			if same {
				t.Stop()
				continue
			}
		case <-t.C:
		}
		t.Stop()
		if err := p.refresh(ctx); err != nil && ctx.Err() == nil {
			p.event(corev1.EventTypeWarning, "FailedMount", "%v", err)
		}
	}
}

func (p *podRun) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*apiLimit)
	defer cancel()
	err := p.mount(ctx)
	if err == nil && p.hasToken() {
		_, err = p.writeKubeconfig(ctx)
	}
	return err
}

// remount refreshes the volumes before a container starts again, as the kubelet does. What fails keeps
// its content, and a refresh that is under way is not waited for: the API server may hang.
func (p *podRun) remount(ctx context.Context) {
	if !p.mounting.TryLock() {
		return
	}
	defer p.mounting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, apiLimit)
	defer cancel()
	if err := p.mountAll(ctx); err != nil {
		p.agent.log.Warn("the volumes were not refreshed", "pod", p.name(), "error", err)
	}
}
