package tokenhttp

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/embedded"
)

// broken is a store whose operations fail when asked to.
type broken struct {
	*embedded.Store
	fail atomic.Pointer[string]
	hang atomic.Bool // fail only when the caller gives up
}

func (b *broken) err(ctx context.Context, operation string) error {
	if f := b.fail.Load(); f != nil && (*f == operation || *f == "all") {
		if b.hang.Load() {
			<-ctx.Done()
		}
		return store.ErrUnavailable
	}
	return nil
}

func (b *broken) Create(ctx context.Context, n store.NewFamily) (store.Created, error) {
	if err := b.err(ctx, "create"); err != nil {
		return store.Created{}, err
	}
	return b.Store.Create(ctx, n)
}

func (b *broken) Inspect(ctx context.Context, t store.Token, now time.Time, w time.Duration) (store.Inspection, error) {
	if err := b.err(ctx, "inspect"); err != nil {
		return store.Inspection{}, err
	}
	return b.Store.Inspect(ctx, t, now, w)
}

func (b *broken) Rotate(ctx context.Context, q store.RotateRequest) (store.RotateResult, error) {
	if err := b.err(ctx, "rotate"); err != nil {
		return store.RotateResult{}, err
	}
	return b.Store.Rotate(ctx, q)
}

func (b *broken) RevokeSession(ctx context.Context, q store.Revoke) (uint64, error) {
	if err := b.err(ctx, "revoke"); err != nil {
		return 0, err
	}
	return b.Store.RevokeSession(ctx, q)
}

func (b *broken) Last(ctx context.Context) (uint64, error) {
	if err := b.err(ctx, "last"); err != nil {
		return 0, err
	}
	return b.Store.Last(ctx)
}

func (b *broken) Take(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (store.Counted, error) {
	if err := b.err(ctx, "take"); err != nil {
		return store.Counted{}, err
	}
	return b.Store.Take(ctx, key, limit, window, now)
}
