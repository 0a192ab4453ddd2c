package keys

import (
	"cmp"
	"slices"
	"time"
)

// Rebuild makes a ring from what is left of a set whose ring was deleted, edited, or is older than the replicas' documents.
//
// A key that the status recorded and whose private half exists returns in its recorded state. Every other key of which a
// public half is left verifies only: Retiring, open until the signers are seen on another key, with the longest lifetime
// that the API allows, because nobody knows who signs with it. A recorded key without any public half is dropped.
// A tombstone stays one, and a kid that is revoked, or that a newer document lacks, becomes one. There is never more than one Active key; if there is none, [Next] lets one take over as
// soon as every replica has it. The epoch is above the floor, so that replicas take the ring.
func Rebuild(now time.Time, policy Policy, remains Remains) Ring {
	b := builder{now: now.UTC().Round(0), policy: &policy, ring: Ring{
		Epoch: remains.EpochFloor + 1, Revision: remains.RevisionFloor + 1, NextSequence: max(remains.SequenceFloor+1, 1),
		RotateHandled: remains.RotateHandled,
	}}
	b.tombstones(remains)
	for i := range remains.Material {
		b.add(&remains.Material[i], recorded(remains.Recorded, remains.Material[i].KID), !remains.Restored)
		b.ring.NextSequence = max(b.ring.NextSequence, remains.Material[i].Sequence+1)
	}
	for i := range remains.Seen {
		b.add(&remains.Seen[i], recorded(remains.Recorded, remains.Seen[i].KID), false)
	}
	for i := range remains.Recorded {
		if k := &remains.Recorded[i]; len(k.PublicJWK) > 0 {
			b.add(k, k, false)
		}
	}
	b.number(remains)
	b.oneActive()
	b.taken(remains)
	return b.ring
}

type builder struct {
	now    time.Time
	policy *Policy
	ring   Ring
}

func recorded(keys []Key, kid string) *Key {
	for i := range keys {
		if keys[i].KID == kid {
			return &keys[i]
		}
	}
	return nil
}

// tombstones takes over what is known to be gone; Revoked wins over Removed.
func (b *builder) tombstones(remains Remains) {
	all := slices.Clone(remains.Tombstones)
	for _, k := range remains.Recorded {
		if k.State == Removed || k.State == Revoked {
			all = append(all, Tombstone{KID: k.KID, Sequence: k.Sequence, State: k.State, Time: b.now})
		}
	}
	for _, kid := range remains.Revoked {
		all = append(all, Tombstone{KID: kid, Sequence: sequenceOf(remains, kid), State: Revoked, Time: b.now})
	}
	if len(remains.Newer) > 0 {
		for _, k := range remains.Recorded {
			if !slices.Contains(remains.Newer, k.KID) {
				all = append(all, Tombstone{KID: k.KID, Sequence: k.Sequence, State: Removed, Time: b.now})
			}
		}
	}
	slices.SortStableFunc(all, func(x, y Tombstone) int { return x.Time.Compare(y.Time) })
	for _, want := range []State{Revoked, Removed} {
		for _, t := range all {
			if t.State == want && t.KID != "" && !b.buried(t.KID) {
				t.Sequence = max(t.Sequence, 0)
				b.ring.Tombstones = buried(b.ring.Tombstones, t)
			}
		}
	}
	slices.SortStableFunc(b.ring.Tombstones, func(x, y Tombstone) int { return x.Time.Compare(y.Time) })
}

// sequenceOf finds the number of a key, so that its private half can be deleted; zero if nobody knows it.
func sequenceOf(remains Remains, kid string) int64 {
	for _, k := range slices.Concat(remains.Recorded, remains.Material) {
		if k.KID == kid {
			return k.Sequence
		}
	}
	return 0
}

func (b *builder) buried(kid string) bool {
	return slices.ContainsFunc(b.ring.Tombstones, func(t Tombstone) bool { return t.KID == kid })
}

// add takes in one public half, unless it is known already, buried or unusable.
// Only a key that mayReturn keeps a recorded state in which it signs or will.
func (b *builder) add(public, record *Key, mayReturn bool) {
	if b.buried(public.KID) || b.ring.Key(public.KID) != nil {
		return
	}
	k := Key{
		KID: public.KID, Algorithm: public.Algorithm, Bits: public.Bits, Brought: public.Brought, Sequence: max(public.Sequence, 0), PublicJWK: slices.Clone(public.PublicJWK),
		State: Retiring, Retiring: b.now, MaxTTL: max(MaxAccessTTL, b.policy.AccessTTL),
	}
	if record != nil {
		k.Sequence = max(k.Sequence, record.Sequence)
		same := *record
		same.KID, same.Algorithm, same.Bits, same.Sequence, same.PublicJWK = k.KID, k.Algorithm, k.Bits, k.Sequence, k.PublicJWK
		same.Brought = k.Brought
		if same.signed() && same.MaxTTL == 0 {
			same.MaxTTL = k.MaxTTL
		}
		if (mayReturn || same.State == Retiring) && same.validate() == nil {
			k = same
		}
	}
	if k.KID != "" && k.validate() == nil {
		b.ring.Keys = append(b.ring.Keys, k)
	}
}

// number gives each key a sequence of its own: keys that only a replica remembers have none.
func (b *builder) number(remains Remains) {
	used := map[int64]bool{0: true}
	claim := func(s *int64) {
		if used[*s] {
			*s = 0
		}
		used[*s] = true
		b.ring.NextSequence = max(b.ring.NextSequence, *s+1)
	}
	for i := range b.ring.Keys {
		claim(&b.ring.Keys[i].Sequence)
	}
	for i := range b.ring.Tombstones {
		claim(&b.ring.Tombstones[i].Sequence)
	}
	for _, k := range remains.Recorded {
		b.ring.NextSequence = max(b.ring.NextSequence, k.Sequence+1)
	}
	for i := range b.ring.Keys {
		if k := &b.ring.Keys[i]; k.Sequence == 0 {
			k.Sequence = b.ring.NextSequence
			b.ring.NextSequence++
		}
	}
	slices.SortFunc(b.ring.Keys, func(x, y Key) int { return cmp.Compare(x.Sequence, y.Sequence) })
}

// taken remembers what was brought, and, while keys are brought, every key that is left: nobody knows which were.
func (b *builder) taken(remains Remains) {
	for _, kid := range remains.Taken {
		if kid != "" {
			b.ring.remember(kid)
		}
	}
	for i := range b.ring.Keys {
		if b.policy.Brought || b.ring.Keys[i].Brought {
			b.ring.remember(b.ring.Keys[i].KID)
		}
	}
	for _, t := range b.ring.Tombstones {
		if b.policy.Brought {
			b.ring.remember(t.KID)
		}
	}
}

// oneActive keeps the newest of several Active keys; the others verify on.
func (b *builder) oneActive() {
	found := false
	for i := len(b.ring.Keys) - 1; i >= 0; i-- {
		k := &b.ring.Keys[i]
		if k.State != Active {
			continue
		}
		if found {
			k.State, k.Retiring = Retiring, latest(b.now, k.Activated)
		}
		found = true
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
