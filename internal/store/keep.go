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

// Clocked is a store with a clock of its own, beside those of the processes that use it.
type Clocked interface {
	// Clock is the time by the clock of the server at hand.
	Clock(ctx context.Context) (time.Time, error)
}

// A compaction cannot be undone, so a clock that was just set is not believed: not before it has gone on for settle
// without a jump. maxJump is how far it may stray from the monotonic clock in one compactEvery.
const (
	settle  = time.Hour
	maxJump = 5 * time.Second
)

// Keep compacts the store from time to time until ctx ends. now must carry a monotonic reading, as time.Now does: a
// wall clock that jumps puts off the compaction, because with one far ahead everything would seem to have expired. A store
// that is [Clocked] forgets nothing that is alive by its own clock: several processes share it, and one whose clock was
// wrong from the start must not forget what the others revoked.
func Keep(ctx context.Context, s Compacter, log *slog.Logger, now func() time.Time) error {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	began := now()
	k := keeper{Compacter: s, log: log, wall: began.Round(0)}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			at := now()
			k.tick(ctx, at.Round(0), at.Sub(began))
		}
	}
}

// keeper remembers when it looked last, by both clocks.
type keeper struct {
	Compacter
	log     *slog.Logger
	wall    time.Time
	up      time.Duration
	doubted time.Duration // until when, by the monotonic clock, the wall clock is not believed
}

func (k *keeper) tick(ctx context.Context, wall time.Time, up time.Duration) {
	jump := wall.Sub(k.wall) - (up - k.up)
	k.wall, k.up = wall, up
	if jump.Abs() > maxJump {
		k.doubted = up + settle
		k.log.Warn("clock_jumped", "by", jump.String(), "no_compaction_for", settle.String())
	}
	if up < k.doubted {
		return
	}
	removed, err := Forget(ctx, k.Compacter, k.log, wall)
	if err != nil && ctx.Err() == nil {
		k.log.Error("store_compaction_failed", "error", err.Error())
	} else if removed > 0 {
		k.log.Info("store_compacted", "removed", removed)
	}
}

// Forget compacts s by the clock at now, or by the store's own where it is [Clocked] and earlier.
func Forget(ctx context.Context, s Compacter, log *slog.Logger, now time.Time) (int, error) {
	if server, is := s.(Clocked); is {
		at, err := server.Clock(ctx)
		if err != nil {
			return 0, err
		}
		if ahead := now.Sub(at); ahead > maxJump {
			log.Warn("clock_ahead_of_store", "by", ahead.String())
		}
		if at.Before(now) {
			now = at
		}
	}
	return s.Compact(ctx, now)
}
