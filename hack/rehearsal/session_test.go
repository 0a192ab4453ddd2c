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

// sessions are clients with a login each, who call now and then, as clients do: who is told 401 refreshes once, and then it must
// do.
type sessions struct {
	stop context.CancelFunc
	all  sync.WaitGroup

	mu                              sync.Mutex
	began, lasted, calls, refreshes int
	failure                         string // of the first that did not last
}

func startSessions(t *testing.T, n int) *sessions {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &sessions{stop: cancel, began: n}
	for range n {
		user := theStage.User()
		tokens, answer, err := user.Login(ctx, bob, bobPassword)
		wantAnswer(t, "login", answer, err, http.StatusOK, "")
		s.all.Go(func() {
			failure := s.use(ctx, user, tokens)
			s.mu.Lock()
			defer s.mu.Unlock()
			if failure == "" {
				s.lasted++
			} else if s.failure == "" {
				s.failure = failure
			}
		})
	}
	return s
}

// end stops the clients and wants all of them to be logged in still, with one refresh at most for each key that was revoked.
func (s *sessions) end(t *testing.T, keys int) {
	t.Helper()
	await(t, "the sessions have all noticed", 10*time.Second, func(context.Context) (string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.failure == "" && s.refreshes < s.began*keys {
			return fmt.Sprintf("%d refreshes of %d sessions for %d keys", s.refreshes, s.began, keys), nil
		}
		return "", nil
	})
	s.stop()
	s.all.Wait()
	figure("sessions that outlived it", "%d of %d, %d calls, %d refreshes for %d keys", s.lasted, s.began, s.calls, s.refreshes, keys)
	if s.lasted != s.began {
		t.Errorf("%d of %d sessions lasted; the first that did not: %s", s.lasted, s.began, s.failure)
	}
	if s.refreshes != s.began*keys {
		t.Errorf("%d sessions refreshed %d times for %d keys that were revoked, want once each", s.began, s.refreshes, keys)
	}
}

func (s *sessions) count(of *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*of++
}

// use calls until ctx ends. It says what went wrong: a refresh that was refused, or a call right after one.
func (s *sessions) use(ctx context.Context, user *stage.User, tokens stage.Tokens) (failure string) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for refreshed := false; ; {
		answer, err := user.CallAs(ctx, "/load", tokens.Access)
		if ctx.Err() != nil {
			return ""
		}
		s.count(&s.calls)
		switch {
		case err == nil && answer.Status == http.StatusUnauthorized && !refreshed:
			if tokens, answer, err = user.Refresh(ctx, tokens.Refresh); ctx.Err() != nil {
				return ""
			}
			if err != nil || answer.Status != http.StatusOK {
				return fmt.Sprintf("a refresh: status %d, code %q, error %v", answer.Status, answer.Code(), err)
			}
			s.count(&s.refreshes)
			refreshed = true
			continue
		case err != nil || answer.Status != http.StatusOK:
			return fmt.Sprintf("a call, refreshed just before %t: status %d, code %q, error %v", refreshed, answer.Status, answer.Code(), err)
		}
		refreshed = false
		select {
		case <-ctx.Done():
			return ""
		case <-tick.C:
		}
	}
}
