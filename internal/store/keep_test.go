package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

// clocked is a store with a clock of its own.
type clocked struct {
	compactions
	at  time.Time
	err error
}

func (c *clocked) Clock(context.Context) (time.Time, error) { return c.at, c.err }

// A store that several processes share is compacted by its own clock where that of a process is ahead, and not at all
// while its own is not known.
func TestNoCompactionByAClockAheadOfTheStores(t *testing.T) {
	server := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		wall time.Time
		err  error
		want compactions
	}{
		"agree":  {wall: server, want: compactions{server}},
		"ahead":  {wall: server.Add(24 * time.Hour), want: compactions{server}},
		"behind": {wall: server.Add(-time.Hour), want: compactions{server.Add(-time.Hour)}},
		"silent": {wall: server, err: errors.New("no answer")},
	} {
		t.Run(name, func(t *testing.T) {
			s := &clocked{at: server, err: row.err}
			k := keeper{Compacter: s, log: slog.New(slog.DiscardHandler), wall: row.wall}
			k.tick(t.Context(), row.wall, 0)
			if !slices.Equal(s.compactions, row.want) {
				t.Errorf("compacted at %v, want %v", s.compactions, row.want)
			}
		})
	}
}

// Keep compacts at every tick of a steady clock, says what became of it, and ends with its context.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &moody{answers: []error{nil, errors.New("the disk is gone"), nil}}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- Keep(ctx, s, slog.New(slog.NewTextHandler(&log, nil)), time.Now) }()
		time.Sleep(3*compactEvery + time.Second) //nolint:forbidigo // in a bubble, this is the clock
		synctest.Wait()
		end()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Keep ended with %v", err)
		}
		if s.asked != 3 {
			t.Errorf("%d compactions in 3 ticks", s.asked)
		}
		if text := log.String(); strings.Count(text, "store_compacted") != 2 || strings.Count(text, "the disk is gone") != 1 {
			t.Errorf("log: %s", text)
		}
	})
}

// moody compacts as its answers say.
type moody struct {
	answers []error
	asked   int
}

func (m *moody) Compact(context.Context, time.Time) (int, error) {
	err := m.answers[m.asked]
	m.asked++
	if err != nil {
		return 0, err
	}
	return 1, nil
}
