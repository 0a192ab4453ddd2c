package rollout

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestReached(t *testing.T) {
	at := time.Date(2027, 3, 31, 9, 0, 0, 0, time.UTC)
	counted := func(last, current uint64) Census {
		usage := func(sessions uint64) Usage {
			return Usage{From: at.Add(-2 * Window), Until: at, Sessions: sessions, Tokens: 1000 - sessions}
		}
		return Census{Last: usage(last), Current: usage(current)}
	}
	empty := Usage{From: at, Until: at}
	ending := Ending{At: at, RequireBelow: 0.01, MaxExtension: 48 * time.Hour}
	endless := Ending{At: at, RequireBelow: 0.01, MaxExtension: -1}
	for _, row := range []struct {
		name    string
		ending  Ending
		now     time.Time
		census  Census
		reached bool
		waiting Reason
	}{
		{"there is none", Ending{}, at, counted(0, 0), false, NoSunset},
		{"a second before", ending, at.Add(-time.Second), counted(0, 0), false, NotYet},
		{"a second before, at any price", Ending{At: at}, at.Add(-time.Second), counted(0, 0), false, NotYet},
		{"nobody left", ending, at, counted(0, 0), true, ""},
		{"few left", ending, at, counted(9, 9), true, ""},
		{"exactly the threshold", ending, at, counted(10, 0), false, LegacyTraffic},
		{"they come back today", ending, at, counted(0, 10), false, LegacyTraffic},
		{"yesterday was above", ending, at, counted(500, 0), false, LegacyTraffic},
		{"nothing counted today yet", ending, at, Census{Last: counted(1, 0).Last, Current: empty}, true, ""},
		{"nothing counted", ending, at, Census{}, false, NoCensus},
		{"no whole day counted", ending, at, Census{Current: counted(0, 0).Current}, false, NoCensus},
		{"counted long ago", ending, at.Add(25 * time.Hour), counted(0, 0), false, NoCensus},
		{"nobody came at all", ending, at, Census{Last: empty, Current: empty}, false, NoCensus},
		{"extended to the end", ending, at.Add(48*time.Hour - 1), counted(500, 500), false, NoCensus},
		{"the extension is over", ending, at.Add(48 * time.Hour), counted(500, 500), true, ""},
		{"the extension is over, nothing counted", ending, at.Add(48 * time.Hour), Census{}, true, ""},
		{"no extension", Ending{At: at, RequireBelow: 0.01}, at, counted(999, 999), true, ""},
		{"at any share, nothing counted", Ending{At: at, RequireBelow: 1, MaxExtension: -1}, at, Census{}, true, ""},
		{"at any share, everybody has one", Ending{At: at, RequireBelow: 1, MaxExtension: -1}, at, counted(1000, 1000), true, ""},
		{"at any share, a second before", Ending{At: at, RequireBelow: 1, MaxExtension: -1}, at.Add(-time.Second), counted(0, 0), false, NotYet},
		{"waits for years", endless, at.Add(9999 * time.Hour), Census{}, false, NoCensus},
	} {
		t.Run(row.name, func(t *testing.T) {
			reached, waiting := row.ending.Reached(row.now, row.census)
			if reached != row.reached || waiting != row.waiting {
				t.Errorf("reached %t, waiting %q; want %t, %q", reached, waiting, row.reached, row.waiting)
			}
		})
	}
}

func TestCensus(t *testing.T) {
	start := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	var c Census
	if _, known := c.Share(); known {
		t.Error("the zero census knows a share")
	}
	for minute := range 3 * 24 * 60 {
		c = c.Count(start.Add(time.Duration(minute)*time.Minute), 1, 3)
		if share, known := c.Share(); !known || share != 0.25 {
			t.Fatalf("minute %d: share %v, %t", minute, share, known)
		}
		if age := c.Current.Until.Sub(c.Current.From); age >= Window {
			t.Fatalf("minute %d: a window of %s", minute, age)
		}
	}
	if got := c.Last.Until.Sub(c.Last.From); got != Window || c.Last.Sessions < 24*60 {
		t.Errorf("the last whole window lasted %s with %d sessions", got, c.Last.Sessions)
	}
	// After two days in which nobody counted, yesterday's figures are gone.
	late := c.Current.Until.Add(2 * Window)
	if c = c.Count(late, 5, 5); c.Last != (Usage{}) || c.Current != (Usage{From: late, Until: late, Sessions: 5, Tokens: 5}) {
		t.Errorf("after a gap: %+v", c)
	}
	// A clock that went back begins anew too.
	if c = c.Count(start, 1, 1); c.Last != (Usage{}) || !c.Current.From.Equal(start) {
		t.Errorf("after a clock that went back: %+v", c)
	}
}

// TestSunsetNeverEarly walks random years: it never comes before its time, and above the threshold only at the end of the
// extension.
func TestSunsetNeverEarly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	reachedAt := 0
	for range 200 {
		ending := Ending{At: start.Add(time.Duration(random.IntN(30*24)) * time.Hour), RequireBelow: 0.05, MaxExtension: time.Duration(random.IntN(20*24)-24) * time.Hour}
		var c Census
		now := start
		for range 1500 {
			now = now.Add(time.Duration(random.IntN(3600)) * time.Second)
			if random.IntN(4) > 0 { // otherwise nobody could count
				c = c.Count(now, uint64(random.IntN(8)), 100)
			}
			reached, _ := ending.Reached(now, c)
			if !reached {
				continue
			}
			reachedAt++
			over := ending.MaxExtension >= 0 && !now.Before(ending.At.Add(ending.MaxExtension))
			share, known := c.Last.Share()
			if now.Before(ending.At) || !over && (!known || share >= 0.05) {
				t.Fatalf("sunset at %s with %v, %+v: %+v", now, share, c, ending)
			}
			break
		}
	}
	if reachedAt < 50 {
		t.Errorf("only %d of 200 came to an end", reachedAt)
	}
}
