package store

import (
	"context"
	"log/slog"
	"time"
)

// compactEvery is how often a store forgets what expired.
const compactEvery = 5 * time.Minute

// Compacter is what [Keep] needs of a store.
type Compacter interface {
	// Compact forgets what expired before now and returns how many records went.
	Compact(ctx context.Context, now time.Time) (int, error)
}

// Keep compacts the store from time to time until ctx ends.
func Keep(ctx context.Context, s Compacter, log *slog.Logger, now func() time.Time) error {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			removed, err := s.Compact(ctx, now())
			if err != nil && ctx.Err() == nil {
				log.Error("store_compaction_failed", "error", err.Error())
			} else if removed > 0 {
				log.Info("store_compacted", "removed", removed)
			}
		}
	}
}
