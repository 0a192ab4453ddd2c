package keys_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// tooMany failures end a run: the planner is broken, and more of them tell nothing.
const tooMany = 10

// TestSimulation lets key sets live for months in a hostile world and asserts the promises at every step. A seed that fails does not
// keep the others from living, so that one soak finds all.
func TestSimulation(t *testing.T) {
	seeds, length := uint64(50), 45*24*time.Hour
	if os.Getenv("KEYTURN_SOAK") == "1" {
		seeds, length = 1000, 365*24*time.Hour
	}
	var mu sync.Mutex
	var failed []uint64
	total, events, lived := map[string]int{}, 0, 0
	t.Cleanup(func() {
		t.Logf("%d of %d seeds of %s, %d events: %v", lived, seeds, length, events, total)
		if len(failed) > 0 {
			t.Logf("seeds that failed: %v", failed)
		}
	})
	run := func(t *testing.T, seed uint64) (again bool) {
		w, wrong := live(seed, length)
		mu.Lock()
		defer mu.Unlock()
		for k, n := range w.counts {
			total[k] += n
		}
		events += w.events
		if wrong != "" {
			t.Errorf("seed %d: %s", seed, wrong)
			failed = append(failed, seed)
		} else if lived++; lived%50 == 0 {
			t.Logf("%d seeds lived, %d events", lived, events)
		}
		return len(failed) < tooMany
	}
	for shard := range uint64(runtime.GOMAXPROCS(0)) {
		t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < seeds && run(t, seed); seed += uint64(runtime.GOMAXPROCS(0)) {
			}
		})
	}
}

// live runs one seed, and says what is wrong: the promises hold, and keys do rotate.
func live(seed uint64, length time.Duration) (w *world, wrong string) {
	w = newWorld(seed, keys.Next, length)
	w.run()
	if w.failure != "" {
		return w, w.failure + "\n" + strings.Join(w.lastLine, "\n")
	}
	rotations := w.counts["Active/Interval"] + w.counts["Active/Requested"]
	if perMonth := time.Duration(rotations) * 30 * 24 * time.Hour / length; perMonth < 3 {
		return w, fmt.Sprintf("only %d rotations in %s: %v", rotations, length, w.counts)
	}
	return w, ""
}

// TestSimulationCatches breaks the planner on purpose. A simulation that does not notice proves nothing.
func TestSimulationCatches(t *testing.T) {
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(60) {
				w := newWorld(seed, mutant, 30*24*time.Hour)
				if w.run(); w.failure != "" {
					t.Logf("seed %d, after %s: %s", seed, w.t.Sub(start), w.failure)
					return
				}
			}
			t.Error("60 seeds did not notice")
		})
	}
}

var mutants = map[string]planner{
	"no publication gate": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		return keys.Next(now, p, pretend(o, func(r *keys.Replica) { r.Reachable, r.KIDs = true, kids(o.Ring) }))
	},
	"no prePublish": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		p.PrePublish = 0
		return keys.Next(now, p, o)
	},
	"no switch gate": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		return keys.Next(now, p, pretend(o, func(r *keys.Replica) {
			if a := o.Ring.Active(); a != nil && r.Signer {
				r.ActiveKID, r.LatestExp = a.KID, nil
			}
		}))
	},
	"unreachable replicas are ignored": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		o.Replicas = slices.DeleteFunc(slices.Clone(o.Replicas), func(r keys.Replica) bool { return !r.Reachable })
		return keys.Next(now, p, o)
	},
	"verifyUntil forgets the lifetime": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		return rewrite(keys.Next(now, p, o), func(k *keys.Key) {
			if k.State == keys.Retiring {
				k.MaxTTL = 0
			}
		})
	},
	"verifyUntil forgets the skew": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		p.ClockSkew = 0
		o = pretend(o, func(r *keys.Replica) { r.Clock, r.LatestExp = time.Time{}, nil })
		return keys.Next(now, p, o)
	},
	"clocks are trusted": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		return keys.Next(now, p, pretend(o, func(r *keys.Replica) { r.Clock = time.Time{} }))
	},
	"the lifetime is lowered in the ring": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		return rewrite(keys.Next(now, p, o), func(k *keys.Key) { k.MaxTTL = min(k.MaxTTL, p.AccessTTL) })
	},
	"two keys are Active": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		return rewrite(keys.Next(now, p, o), func(k *keys.Key) {
			if k.State == keys.Retiring {
				k.State, k.Retiring, k.VerifyUntil = keys.Active, time.Time{}, time.Time{}
			}
		})
	},
	"the epoch stands still": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		plan := keys.Next(now, p, o)
		if plan.Ring != nil && plan.Ring.Epoch > 5 {
			plan.Ring.Epoch--
		}
		return plan
	},
	"a restored ring is believed": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		o.EpochFloor = 0
		return keys.Next(now, p, pretend(o, func(r *keys.Replica) { r.Epoch = min(r.Epoch, o.Ring.Epoch) }))
	},
	"the Secret of a retiring key is deleted": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		plan := keys.Next(now, p, o)
		for _, k := range o.Ring.Keys {
			if k.State == keys.Retiring {
				plan.Remove = append(plan.Remove, k.Sequence)
			}
		}
		return plan
	},
	"a key that was buried is forgotten": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		o.Ring.Tombstones, o.Ring.Taken = nil, nil
		return keys.Next(now, p, o)
	},
	"a key is made where none is brought": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		p.Brought = false
		return keys.Next(now, p, o)
	},
	"nobody is revoked": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		o.Revoke = nil
		return keys.Next(now, p, o)
	},
	"an emergency asks nobody": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		if a := o.Ring.Active(); a != nil && slices.Contains(o.Revoke, a.KID) {
			all := kids(o.Ring)
			return keys.Next(now, p, pretend(o, func(r *keys.Replica) { r.KIDs = all }))
		}
		return keys.Next(now, p, o)
	},
	"the revoked key goes before its heir comes": func(now time.Time, p keys.Policy, o keys.Observed) keys.Plan {
		if a := o.Ring.Active(); a != nil && slices.Contains(o.Revoke, a.KID) {
			ring := o.Ring.Clone()
			ring.Epoch, ring.Revision = ring.Epoch+1, ring.Revision+1
			ring.Tombstones = append(ring.Tombstones, keys.Tombstone{KID: a.KID, Sequence: a.Sequence, State: keys.Revoked, Time: now})
			ring.Keys = slices.DeleteFunc(ring.Keys, func(k keys.Key) bool { return k.KID == a.KID })
			return keys.Plan{Ring: ring}
		}
		return keys.Next(now, p, o)
	},
}

func kids(r keys.Ring) []string {
	var all []string
	for _, k := range r.Keys {
		all = append(all, k.KID)
	}
	return all
}

// pretend changes what the replicas are said to have reported.
func pretend(o keys.Observed, change func(*keys.Replica)) keys.Observed {
	o.Replicas = slices.Clone(o.Replicas)
	for i := range o.Replicas {
		change(&o.Replicas[i])
	}
	return o
}

// rewrite changes the keys of the next ring.
func rewrite(plan keys.Plan, change func(*keys.Key)) keys.Plan {
	if plan.Ring != nil {
		for i := range plan.Ring.Keys {
			change(&plan.Ring.Keys[i])
		}
	}
	return plan
}
