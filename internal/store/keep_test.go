package store

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

type compactions []time.Time

func (c *compactions) Compact(_ context.Context, now time.Time) (int, error) {
	*c = append(*c, now)
	return 0, nil
}

// A clock that is set, in either direction, compacts nothing until it has gone on steadily for settle.
func TestNoCompactionAfterAJump(t *testing.T) {
	for name, jump := range map[string]time.Duration{"none": 0, "a small one": 2 * time.Second, "ahead": 365 * 24 * time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			var done compactions
			wall, up := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), time.Duration(0)
			k := keeper{Compacter: &done, log: slog.New(slog.DiscardHandler), wall: wall}
			step := func(jump time.Duration) int {
				wall, up = wall.Add(compactEvery+jump), up+compactEvery
				before := len(done)
				k.tick(t.Context(), wall, up)
				return len(done) - before
			}
			if step(0) != 1 {
				t.Fatal("no compaction by a steady clock")
			}
			believed := jump.Abs() < maxJump
			if got := step(jump) == 1; got != believed {
				t.Errorf("compaction at the jump: %t", got)
			}
			for passed := compactEvery; passed < settle; passed += compactEvery {
				if got := step(0) == 1; got != believed {
					t.Errorf("compaction %s after the jump: %t", passed, got)
				}
			}
			if step(0) != 1 {
				t.Errorf("no compaction %s after the jump", settle)
			}
		})
	}
}
