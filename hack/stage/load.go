package stage

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Load is a number of users who call the application without a pause, refresh their tokens now and then, and are
// never told to log in again, unless something is wrong.
type Load struct {
	// Sent and Refused count calls; Refreshed counts refreshes.
	Sent, Refused, Refreshed atomic.Int64

	stop  context.CancelFunc
	users sync.WaitGroup

	mu    sync.Mutex
	first string // what the first refusal was
}

// StartLoad logs the user in once for each of n clients. Every client calls without a pause and refreshes every
// refreshEvery.
func (s *Stage) StartLoad(ctx context.Context, n int, name, password string, refreshEvery time.Duration) (*Load, error) {
	ctx, stop := context.WithCancel(ctx)
	l := &Load{stop: stop}
	for range n {
		user := s.User()
		tokens, answer, err := user.Login(ctx, name, password)
		if err != nil || answer.Status != http.StatusOK {
			l.Stop()
			return nil, fmt.Errorf("login of %s: status %d, %s, %w", name, answer.Status, answer.Code(), err)
		}
		l.users.Go(func() { l.run(ctx, user, tokens, refreshEvery) })
	}
	return l, nil
}

func (l *Load) run(ctx context.Context, user *User, tokens Tokens, refreshEvery time.Duration) {
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	for ctx.Err() == nil {
		select {
		case <-refresh.C:
			next, answer, err := user.Refresh(ctx, tokens.Refresh)
			if ctx.Err() != nil {
				return
			}
			if err != nil || answer.Status != http.StatusOK {
				l.refuse("refresh", answer, err)
				continue
			}
			tokens = next
			l.Refreshed.Add(1)
		default:
		}
		answer, err := user.CallAs(ctx, "/load", tokens.Access)
		if ctx.Err() != nil {
			return
		}
		l.Sent.Add(1)
		if err != nil || answer.Status != http.StatusOK {
			l.refuse("call", answer, err)
		}
	}
}

func (l *Load) refuse(what string, answer Answer, err error) {
	l.Refused.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = fmt.Sprintf("%s: status %d, code %q, error %v", what, answer.Status, answer.Code(), err)
	}
}

// FirstRefusal describes the first call that was refused, empty if none was.
func (l *Load) FirstRefusal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// Stop ends the load and waits for the calls under way.
func (l *Load) Stop() {
	l.stop()
	l.users.Wait()
}
