package identity

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/keyturn/keyturn/internal/secret"
)

// ErrBusy is returned when as many logins wait for a hash slot as may wait.
var ErrBusy = errors.New("too many logins at this moment")

// Hasher bounds how many password hashes are computed at once, and how many may wait. It is safe for concurrent use.
type Hasher struct {
	slots   chan struct{}
	queue   int64
	waiting atomic.Int64
	memory  *semaphore.Weighted // nil: no limit
	budget  int64
}

// NewHasher returns a hasher with slots hashes at once (one a core is best) and queue waiting.
func NewHasher(slots, queue int) *Hasher {
	return &Hasher{slots: make(chan struct{}, max(slots, 1)), queue: int64(max(queue, 0))}
}

// Within bounds the memory that the hashes at work take together, in bytes, and returns the hasher; one that takes more
// than all of it works alone. Call it before the hasher is used. argon2id takes what each hash says, up to 256 MiB.
func (h *Hasher) Within(memory int64) *Hasher {
	h.budget = max(memory, 1)
	h.memory = semaphore.NewWeighted(h.budget)
	return h
}

// Waiting is how many logins wait for a slot.
func (h *Hasher) Waiting() int { return int(h.waiting.Load()) }

// Running is how many slots are taken.
func (h *Hasher) Running() int { return len(h.slots) }

// matches waits for a slot and compares. It fails with ErrBusy, or with ctx's error if ctx ends first.
func (h *Hasher) matches(ctx context.Context, stored hash, password secret.Text) (bool, error) {
	select {
	case h.slots <- struct{}{}:
	default:
		if err := h.wait(ctx); err != nil {
			return false, err
		}
	}
	defer func() { <-h.slots }()
	if h.memory != nil {
		weight := min(stored.bytes(), h.budget)
		if err := h.memory.Acquire(ctx, weight); err != nil {
			return false, err
		}
		defer h.memory.Release(weight)
	}
	return stored.matches([]byte(password.Reveal())), nil
}

func (h *Hasher) wait(ctx context.Context) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.queue {
		return ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
