package keys_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// TestSimulation lets key sets live for months in a hostile world and asserts the promises at every step.
func TestSimulation(t *testing.T) {
	seeds, length := uint64(50), 60*24*time.Hour
	if os.Getenv("KEYTURN_SOAK") == "1" {
		seeds, length = 1000, 365*24*time.Hour
	}
	total, events := map[string]int{}, 0
	for seed := range seeds {
		w := newWorld(seed, keys.Next, length)
		w.run()
		if w.failure != "" {
			t.Fatalf("seed %d: %s\n%s", seed, w.failure, strings.Join(w.lastLine, "\n"))
		}
		if n := w.counts["Active/Interval"] + w.counts["Active/Requested"]; n < 3 {
			t.Errorf("seed %d: only %d rotations in %s: %v", seed, n, length, w.counts)
		}
		for k, n := range w.counts {
			total[k] += n
		}
		events += w.events
	}
	t.Logf("%d seeds, %d events: %v", seeds, events, total)
}
