package keys_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// FuzzNext lets Next and Rebuild loose on random worlds: rings of any shape, replicas that say anything, clocks at any time.
func FuzzNext(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { tryAny(t, seed) })
}

func TestAnyRing(t *testing.T) {
	n := uint64(5000)
	if os.Getenv("KEYTURN_SOAK") == "1" {
		n = 300_000
	}
	acted := 0
	for seed := range n {
		acted += tryAny(t, seed)
	}
	if acted < int(n)/2 {
		t.Errorf("only %d of %d worlds made the planner act: the test tries nothing", acted, n)
	}
}

// tryAny plans for one random world until it comes to rest, and checks every step.
func tryAny(t *testing.T, seed uint64) int {
	rng := rand.New(rand.NewPCG(seed, 1))
	o, pol := anyObserved(rng), anyPolicy(rng)
	if o.Ring.Validate() != nil {
		t.Fatalf("seed %d: the generator makes invalid rings: %v", seed, o.Ring.Validate())
	}
	acted, asked := 0, int64(0)
	for step := 0; ; step++ {
		before := o.Ring.Clone()
		plan := keys.Next(noon, pol, o)
		sound(t, before, o, plan)
		for _, s := range plan.Remove {
			if slices.ContainsFunc(before.Keys, func(k keys.Key) bool { return k.Sequence == s }) {
				t.Errorf("seed %d: the Secret of a live key is removed", seed)
			}
		}
		if len(o.Replicas) > 0 {
			neverSignBeforePublished(t, before, plan.Ring)
		}
		revokedForEver(t, before, &o, plan.Ring)
		takenForEver(t, before, plan.Ring)
		if t.Failed() {
			t.Fatalf("seed %d, step %d", seed, step)
		}
		if !plan.Again() {
			break
		}
		acted = 1
		if step > 60 {
			t.Fatalf("seed %d: it never comes to rest: %s", seed, told(o, plan))
		}
		if plan.Ring != nil {
			o.Ring, o.Generated, asked = *plan.Ring, nil, 0
		}
		if g := plan.Generate; g != nil {
			neverTakenTwice(t, before, pol, g)
			if g.Sequence <= asked {
				t.Fatalf("seed %d: number %d is asked for again", seed, g.Sequence)
			}
			asked = g.Sequence
			answer(rng, g, &o)
		}
	}
	tryRebuild(t, seed, rng, o, pol)
	return acted
}

// answer makes the key that is wanted, unless its number has a Secret already: a spoiled one, or a key of another kind that a crash left.
func answer(rng *rand.Rand, g *keys.Generate, o *keys.Observed) {
	kid := fmt.Sprint("made-", g.Sequence)
	if g.Take != "" {
		kid = g.Take
	}
	k := keys.Key{KID: kid, Algorithm: g.Algorithm, Bits: g.Bits, Brought: g.Take != "", Sequence: g.Sequence, PublicJWK: []byte(kid)}
	switch rng.IntN(5) {
	case 0:
		o.Spoiled = append(o.Spoiled, g.Sequence)
		return
	case 1:
		k.KID, k.Algorithm, k.Bits = fmt.Sprint("left-", g.Sequence), keys.EdDSA, 0
	case 2:
		k.KID, k.Brought = fmt.Sprint("left-", g.Sequence), !k.Brought
	}
	o.Generated, o.Material[k.KID] = &k, present
}

func tryRebuild(t *testing.T, seed uint64, rng *rand.Rand, o keys.Observed, pol keys.Policy) {
	r := keys.Remains{Tombstones: o.Ring.Tombstones, EpochFloor: o.Ring.Epoch, Restored: rng.IntN(2) == 0}
	for _, k := range append(o.Ring.Keys, anyObserved(rng).Ring.Keys...) {
		if rng.IntN(2) == 0 {
			r.Recorded = append(r.Recorded, k)
		}
		if rng.IntN(2) == 0 {
			r.Material = append(r.Material, k)
		}
		if rng.IntN(2) == 0 {
			r.Seen = append(r.Seen, unnumbered(k))
		}
	}
	ring := keys.Rebuild(noon, pol, r)
	if err := ring.Validate(); err != nil {
		t.Fatalf("seed %d: the rebuilt ring is invalid: %v", seed, err)
	}
	if ring.Epoch <= o.Ring.Epoch {
		t.Fatalf("seed %d: the epoch falls from %d to %d", seed, o.Ring.Epoch, ring.Epoch)
	}
}

// neverSignBeforePublished holds wherever a replica runs: no key comes to sign that was not in the ring before.
func neverSignBeforePublished(t *testing.T, before, after *keys.Ring) {
	if after == nil || after.Active() == nil || !before.EverActive() {
		return
	}
	if k := after.Active(); before.Key(k.KID) == nil {
		t.Errorf("%s signs in the write that brings it in", k.KID)
	}
}

// revokedForEver: no revoked kid leaves the ring's memory or comes back, a doomed key never begins to sign, and a ring that has a
// key which signs never loses it without another.
func revokedForEver(t *testing.T, before *keys.Ring, o *keys.Observed, after *keys.Ring) {
	if after == nil {
		return
	}
	for _, s := range before.Tombstones {
		same := func(n keys.Tombstone) bool { return n.KID == s.KID && n.State == keys.Revoked }
		if s.State == keys.Revoked && !slices.ContainsFunc(after.Tombstones, same) {
			t.Errorf("%s is forgotten", s.KID)
		}
	}
	was, is := before.Active(), after.Active()
	if was != nil && is == nil {
		t.Error("no key is Active any more")
	}
	if is != nil && slices.Contains(o.Revoke, is.KID) && (was == nil || was.KID != is.KID) {
		t.Errorf("the doomed %s begins to sign", is.KID)
	}
	for _, k := range after.Keys {
		if slices.Contains(o.Revoke, k.KID) && (k.State == keys.Pending || k.State == keys.Published) {
			t.Errorf("the doomed %s is %s yet", k.KID, k.State)
		}
	}
}

func anyPolicy(rng *rand.Rand) keys.Policy {
	return keys.Policy{
		UID: fmt.Sprint(rng.IntN(9)), Algorithm: []keys.Algorithm{keys.ES256, keys.RS256}[rng.IntN(2)], RSABits: 2048, Manual: rng.IntN(4) == 0,
		Interval: anySpan(rng), PrePublish: anySpan(rng), Standby: rng.IntN(5) - 1, ClockSkew: anySpan(rng) / 1000, AccessTTL: anySpan(rng) / 100,
		MaxPropagation: anySpan(rng) / 100_000, Brought: rng.IntN(3) == 0,
	}
}

func anySpan(rng *rand.Rand) time.Duration {
	return time.Duration(rng.Int64N(int64(40*day))) * time.Duration(rng.IntN(2))
}
func anyTime(rng *rand.Rand) time.Time {
	return noon.Add(time.Duration(rng.Int64N(int64(80*day))) - 50*day)
}

func anyObserved(rng *rand.Rand) keys.Observed {
	r := ring()
	active := false
	for i := range rng.IntN(8) {
		state := []keys.State{keys.Pending, keys.Published, keys.Active, keys.Retiring}[rng.IntN(4)]
		if state == keys.Active && active {
			state = keys.Retiring
		}
		active = active || state == keys.Active
		k := key(int64(i+1), state, anyTime(rng))
		if rng.IntN(3) == 0 {
			k.Algorithm, k.Bits = keys.RS256, 2048
		}
		if state == keys.Retiring && rng.IntN(2) == 0 {
			k.VerifyUntil = anyTime(rng)
		}
		r.Keys = append(r.Keys, k)
		r.NextSequence = int64(i + 2)
	}
	for range rng.IntN(3) * rng.IntN(60) {
		r.Tombstones = append(r.Tombstones, keys.Tombstone{KID: fmt.Sprint("stone-", r.NextSequence), Sequence: r.NextSequence, State: keys.Removed, Time: noon})
		r.NextSequence++
	}
	o := seen(r)
	for kid := range o.Material {
		o.Material[kid] = []keys.MaterialState{present, present, present, "", keys.MaterialMissing, keys.MaterialInvalid}[rng.IntN(6)]
	}
	for i := range o.Replicas {
		anyReplica(rng, &o.Replicas[i], r)
	}
	if rng.IntN(5) == 0 {
		o.Replicas = o.Replicas[rng.IntN(2)+1:]
	}
	o.Stored = append(o.Stored, rng.Int64N(20), r.NextSequence)
	if rng.IntN(3) == 0 {
		g := key(rng.Int64N(20), keys.Pending, noon)
		o.Generated = &g
	}
	if rng.IntN(4) == 0 {
		o.RotateRequested = "now"
	}
	o.Spoiled = []int64{r.NextSequence}
	o.Revoke = anyRevoke(rng, r)
	anySource(rng, &o)
	return o
}

func anyRevoke(rng *rand.Rand, r keys.Ring) []string {
	if rng.IntN(2) == 0 {
		return nil
	}
	all := []string{"never"}
	for _, k := range r.Keys {
		if rng.IntN(3) == 0 {
			all = append(all, k.KID)
		}
	}
	for _, s := range r.Tombstones {
		if rng.IntN(9) == 0 {
			all = append(all, s.KID)
		}
	}
	return all
}

func anyReplica(rng *rand.Rand, p *keys.Replica, r keys.Ring) {
	switch rng.IntN(6) {
	case 0:
		p.Reachable = false
	case 1:
		p.KIDs = p.KIDs[:rng.IntN(len(p.KIDs)+1)]
	case 2:
		p.Epoch, p.KIDs = 0, nil
	case 3:
		p.Clock, p.Read = anyTime(rng), anyTime(rng)
	}
	if p.Signer && rng.IntN(3) == 0 && len(r.Keys) > 0 {
		k := r.Keys[rng.IntN(len(r.Keys))].KID
		p.ActiveKID, p.LatestExp = k, map[string]time.Time{k: anyTime(rng)}
	}
}
