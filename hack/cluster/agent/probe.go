package agent

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// threshold turns single answers of a probe into a result: a run of as many equal answers as the
// threshold asks for. The zero value with both limits set has no result yet.
type threshold struct {
	success, failure int

	last    bool
	run     int
	result  bool
	decided bool
}

// observe takes an answer and says whether there is a result after it that was reached by this answer's
// run; the result itself is in t.result.
func (t *threshold) observe(ok bool) bool {
	if ok == t.last && t.run > 0 {
		t.run++
	} else {
		t.last, t.run = ok, 1
	}
	if ok && t.run < t.success || !ok && t.run < t.failure {
		return false
	}
	t.result, t.decided = ok, true
	return true
}

const (
	startup   = "Startup"
	liveness  = "Liveness"
	readiness = "Readiness"

	// eagerPause is between two tries in the first period of a container. See probe.
	eagerPause = 100 * time.Millisecond
)

// probe asks until ctx ends and calls result for each answer that decides. In the first period of a
// container's life a failing startup or readiness probe is repeated every 100 ms and not counted: a
// process that needs 200 ms to listen is ready after 200 ms and not after a whole period.
func (c *containerRun) probe(ctx context.Context, kind string, p *corev1.Probe, result func(ok bool)) {
	t := threshold{success: orOne(p.SuccessThreshold), failure: orThree(p.FailureThreshold)}
	period := time.Duration(max(p.PeriodSeconds, 1)) * time.Second
	if !pause(ctx, time.Duration(p.InitialDelaySeconds)*time.Second) {
		return
	}
	begin := time.Now()
	for {
		err := c.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err != nil && kind != liveness && !t.decided && time.Since(begin) < period {
			if !pause(ctx, eagerPause) {
				return
			}
			continue
		}
		if err != nil {
			c.pod.event(corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %v", kind, err)
		}
		if t.observe(err == nil) {
			result(t.result)
			if kind == startup {
				return
			}
		}
		if !pause(ctx, period) {
			return
		}
	}
}

func (c *containerRun) ask(ctx context.Context, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	h := p.ProbeHandler
	switch {
	case h.HTTPGet != nil:
		return c.httpGet(ctx, h.HTTPGet)
	case h.TCPSocket != nil:
		return c.tcpConnect(ctx, h.TCPSocket)
	case h.GRPC != nil:
		return c.grpcHealth(ctx, h.GRPC)
	case h.Exec != nil:
		return c.exec(ctx, h.Exec.Command)
	}
	return nil
}

func orOne(n int32) int { return int(max(n, 1)) }

func orThree(n int32) int {
	if n <= 0 {
		return 3
	}
	return int(n)
}

// startProbes runs the probes of a started container until ctx ends. The startup probe comes first; a
// liveness or startup failure calls kill.
func (c *containerRun) startProbes(ctx context.Context, kill func(grace *int64, message string)) {
	s := c.spec
	rest := func() {
		if s.LivenessProbe != nil {
			go c.probe(ctx, liveness, s.LivenessProbe, func(ok bool) {
				if !ok {
					kill(s.LivenessProbe.TerminationGracePeriodSeconds, "failed liveness probe, will be restarted")
				}
			})
		}
		if s.ReadinessProbe != nil {
			go c.probe(ctx, readiness, s.ReadinessProbe, func(ok bool) {
				if ctx.Err() == nil {
					c.setReady(ok)
				}
			})
		} else {
			c.setReady(true)
		}
	}
	if s.StartupProbe == nil {
		c.setStarted()
		rest()
		return
	}
	go c.probe(ctx, startup, s.StartupProbe, func(ok bool) {
		if !ok {
			kill(s.StartupProbe.TerminationGracePeriodSeconds, "failed startup probe, will be restarted")
			return
		}
		c.setStarted()
		rest()
	})
}
