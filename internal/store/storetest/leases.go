package storetest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// table reads the leases by edge.
func table(t *testing.T, s store.Leases) (map[string]store.Lease, time.Duration) {
	t.Helper()
	read, err := s.Leases(t.Context())
	if err != nil {
		t.Fatalf("Leases: %v", err)
	}
	if read.Kept < 0 {
		t.Fatalf("leases are kept for %s", read.Kept)
	}
	leases := map[string]store.Lease{}
	for _, l := range read.Leases {
		if _, twice := leases[l.Edge]; twice {
			t.Fatalf("edge %.40q is in the table twice", l.Edge)
		}
		leases[l.Edge] = l
	}
	return leases, read.Kept
}

func put(t *testing.T, s store.Leases, edge string, applied uint64, length time.Duration) {
	t.Helper()
	if err := s.PutLease(t.Context(), edge, applied, length); err != nil {
		t.Fatalf("PutLease(%.40q): %v", edge, err)
	}
}

func drop(t *testing.T, s store.Leases, edge string) {
	t.Helper()
	if err := s.DropLease(t.Context(), edge); err != nil {
		t.Fatalf("DropLease(%.40q): %v", edge, err)
	}
}

// waitFor asks again until it is so.
func waitFor(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

func testLeases(t *testing.T, replicas []store.Shared) {
	a, b, c := replicas[0], replicas[1], replicas[2]
	if leases, _ := table(t, a); len(leases) != 0 {
		t.Fatalf("a new store has leases: %+v", leases)
	}
	const length = 10 * time.Second
	put(t, a, "edge-1#x", 7, length)
	leases, _ := table(t, b)
	first := leases["edge-1#x"]
	if len(leases) != 1 || first.Applied != 7 || first.Left > length || first.Left < length-5*time.Second {
		t.Fatalf("put at one replica, seen at another: %+v", leases)
	}
	waitFor(t, patience, "the lease gets shorter", func() bool {
		leases, _ = table(t, c)
		return leases["edge-1#x"].Left <= first.Left-50*time.Millisecond
	})
	put(t, c, "edge-1#x", 9, length)
	if leases, _ = table(t, a); leases["edge-1#x"].Applied != 9 || leases["edge-1#x"].Left < length-5*time.Second {
		t.Errorf("renewed at another replica: %+v", leases)
	}
	put(t, b, "edge-2#x", 5, 100*time.Millisecond)
	waitFor(t, patience, "the short lease has run out, and is there", func() bool {
		leases, _ = table(t, a)
		e, found := leases["edge-2#x"]
		if !found || e.Applied != 5 {
			t.Fatalf("a lease that ran out is not kept: %+v", leases)
		}
		return e.Left <= 0
	})
	if leases["edge-1#x"].Left <= 0 {
		t.Error("the long lease ran out with the short one")
	}
	put(t, a, "edge-2#x", 6, length)
	if leases, _ = table(t, b); leases["edge-2#x"].Applied != 6 || leases["edge-2#x"].Left <= 0 {
		t.Errorf("renewed after it ran out: %+v", leases)
	}
	drop(t, c, "edge-1#x")
	drop(t, c, "edge-1#x")
	drop(t, c, "nobody")
	if leases, _ = table(t, a); len(leases) != 1 || leases["edge-2#x"].Applied != 6 {
		t.Errorf("after an edge was dropped: %+v", leases)
	}
	_, kept := table(t, a)
	waitFor(t, patience, "leases are kept for longer as time passes", func() bool {
		_, now := table(t, a)
		return now >= kept+100*time.Millisecond
	})
	if soak() {
		put(t, a, "edge-3#x", 1, 100*time.Millisecond)
		begun := time.Now()
		waitFor(t, 3*time.Minute, "the lease that ran out is forgotten", func() bool {
			leases, _ = table(t, b)
			_, found := leases["edge-3#x"]
			return !found
		})
		if after := time.Since(begun); after < 55*time.Second {
			t.Errorf("a lease that ran out was forgotten after %s", after)
		}
	}
}

// Many edges report at once, at every replica; none gets the number of another.
func testLeasesOfMany(t *testing.T, replicas []store.Shared) {
	// Numbers are above those that a float holds.
	const base = uint64(1) << 60
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("edge-%d#%08d", i/2, i))
	}
	names = append(names, "é#1", "e\u0301#1", "a:b#1", "a b#1", `"{}'%*`, strings.Repeat("n", 280), strings.Repeat("n", 279)+"m")
	var late atomic.Int64
	for round := range repeat(50) {
		number := func(i int) uint64 { return base + uint64(1000*round+i) } //nolint:gosec // small
		atOnce(len(names), func(i int) {
			put := func() error {
				return replicas[(i+round)%len(replicas)].PutLease(t.Context(), names[i], number(i), time.Minute)
			}
			if err := patiently(&late, put); err != nil {
				t.Errorf("PutLease: %v", err)
			}
		})
		leases, _ := table(t, replicas[round%len(replicas)])
		if len(leases) != len(names) {
			t.Fatalf("%d leases of %d edges", len(leases), len(names))
		}
		for i, name := range names {
			if got := leases[name].Applied; got != number(i) {
				t.Fatalf("edge %.40q has %d, want %d", name, got, number(i))
			}
		}
	}
}
