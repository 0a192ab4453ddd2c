//go:build realnode && linux

package rehearsal

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/stage"
)

// never is a refresh interval for a load that only calls.
const never = 24 * time.Hour

// load calls without a pause until the returned function is called, which tells what became of the calls.
func load(t *testing.T, refreshEvery time.Duration) (stop func() *stage.Load) {
	t.Helper()
	l, err := theStage.StartLoad(t.Context(), 4, bob, bobPassword, refreshEvery)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return func() *stage.Load {
		l.Stop()
		return l
	}
}

func sum(l *stage.Load) string {
	return fmt.Sprintf("%d calls, %d refreshes, %d refused", l.Sent.Load(), l.Refreshed.Load(), l.Refused.Load())
}

// wantNoneRefused is the promise: whatever happens to one replica, no valid token is refused.
func wantNoneRefused(t *testing.T, l *stage.Load) {
	t.Helper()
	if l.Refused.Load() != 0 || l.Sent.Load() < 100 {
		t.Errorf("%s; the first: %s", sum(l), l.FirstRefusal())
	}
}

// gaps repeats an operation and measures the longest time from one that worked to the next that did.
type gaps struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu        sync.Mutex
	longest   time.Duration
	slowest   time.Duration // of one operation
	good, bad int
	firstBad  string
}

func watchGaps(ctx context.Context, every time.Duration, do func(context.Context) (stage.Answer, error)) *gaps {
	ctx, cancel := context.WithCancel(ctx)
	g := &gaps{cancel: cancel}
	g.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		worked := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			began := time.Now()
			answer, err := do(ctx)
			if ctx.Err() != nil {
				return
			}
			g.timed(time.Since(began))
			if g.count(answer, err, time.Since(worked)) {
				worked = time.Now()
			}
		}
	})
	return g
}

func (g *gaps) timed(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slowest = max(g.slowest, took)
}

func (g *gaps) count(answer stage.Answer, err error, since time.Duration) (worked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil || answer.Status != http.StatusOK {
		if g.bad++; g.firstBad == "" {
			g.firstBad = fmt.Sprintf("status %d, code %q, error %v", answer.Status, answer.Code(), err)
		}
		return false
	}
	g.good++
	g.longest = max(g.longest, since)
	return true
}

// again waits until the operation has worked three times more: what hangs now is counted, too.
func (g *gaps) again(t *testing.T) {
	t.Helper()
	count := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.good
	}
	wanted := count() + 3
	await(t, "it works again", time.Minute, func(context.Context) (string, error) {
		if n := count(); n < wanted {
			return fmt.Sprintf("it worked %d times, wanted %d", n, wanted), nil
		}
		return "", nil
	})
}

// stop ends the watch.
func (g *gaps) stop() *gaps {
	g.cancel()
	g.done.Wait()
	return g
}

func (g *gaps) String() string {
	return fmt.Sprintf("longest gap %.1f s, slowest answer %.1f s (%d worked, %d did not)", g.longest.Seconds(), g.slowest.Seconds(), g.good, g.bad)
}

// knocks opens one connection after another to the edge's Service, as a proxy without kept connections does. This is
// where a Service that still leads to a pod which has stopped to listen would show.
type knocks struct {
	done         sync.WaitGroup
	cancel       context.CancelFunc
	good, bad    atomic.Int64
	once         sync.Once
	firstFailure error
}

func knock(t *testing.T) *knocks {
	t.Helper()
	address, err := theStage.ServiceAddress(t.Context(), stage.Namespace, stage.Service+"-extauthz", "http")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	k := &knocks{cancel: cancel}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		k.done.Go(func() {
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
				if err == nil {
					var response *http.Response
					if response, err = client.Do(request); err == nil {
						err = response.Body.Close() // whatever the answer: somebody is there
					}
				}
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					k.bad.Add(1)
					k.once.Do(func() { k.firstFailure = err })
					continue
				}
				k.good.Add(1)
			}
		})
	}
	return k
}

// stop ends the knocking and wants that it was always answered.
func (k *knocks) stop(t *testing.T) string {
	t.Helper()
	k.cancel()
	k.done.Wait()
	if k.bad.Load() != 0 || k.good.Load() < 100 {
		t.Errorf("new connections to the edge: %d answered, %d not; the first: %v", k.good.Load(), k.bad.Load(), k.firstFailure)
	}
	return fmt.Sprintf("%d new connections, %d failed", k.good.Load()+k.bad.Load(), k.bad.Load())
}
