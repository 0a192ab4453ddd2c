package postgres

import (
	"context"
	"sync"
	"time"
)

// remembered is how long a failed operation counts that no later write has disproved: the keeper only reads, so that it
// does not see a full disk, or a standby that does not confirm.
const remembered = 30 * time.Second

// health is what is known of the database. Until the first verdict operations wait; while it is bad they fail at once.
type health struct {
	mu       sync.Mutex
	first    chan struct{} // closed with the first verdict
	judged   bool
	reason   string // why the database is not usable; empty: it is
	lastFail string // why the last operation failed; empty: a write worked since
	failed   time.Time
}

func newHealth() *health { return &health{first: make(chan struct{})} }

// verdict notes what the keeper found, and tells whether that is news.
func (h *health) verdict(reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := !h.judged || reason != h.reason
	h.reason = reason
	if !h.judged {
		h.judged = true
		close(h.first)
	}
	return news
}

// outcome notes why an operation failed, or that a write worked.
func (h *health) outcome(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastFail = reason
	if reason != "" {
		h.failed = time.Now()
	}
}

// usable waits for the first verdict and returns the reason against the database.
func (h *health) usable(ctx context.Context) error {
	select {
	case <-h.first:
	case <-ctx.Done():
		return errStarting
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reason != "" {
		return reasonError(h.reason)
	}
	return nil
}

func (h *health) current() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.judged:
		return string(errStarting)
	case h.reason != "":
		return h.reason
	case time.Since(h.failed) < remembered:
		return h.lastFail
	default:
		return ""
	}
}
