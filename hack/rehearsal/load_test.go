//go:build realnode && linux

package rehearsal

import (
	"context"
	"fmt"
	"net/http"
	"sync"
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

	longest   time.Duration
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
			answer, err := do(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil || answer.Status != http.StatusOK {
				if g.bad++; g.firstBad == "" {
					g.firstBad = fmt.Sprintf("status %d, code %q, error %v", answer.Status, answer.Code(), err)
				}
				continue
			}
			g.good++
			g.longest = max(g.longest, time.Since(worked))
			worked = time.Now()
		}
	})
	return g
}

// stop ends the watch.
func (g *gaps) stop() *gaps {
	g.cancel()
	g.done.Wait()
	return g
}

func (g *gaps) String() string {
	return fmt.Sprintf("longest gap %.1f s (%d worked, %d did not)", g.longest.Seconds(), g.good, g.bad)
}
