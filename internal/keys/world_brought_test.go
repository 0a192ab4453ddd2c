package keys_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// mostEntries is how many keys the owner's source holds; the oldest make room.
const mostEntries = 32

// bringKeys is the owner who adds keys to the source: of the right algorithm, of another, of one that the set has had.
func (w *world) bringKeys() {
	for range 1 + w.rng.IntN(3) {
		w.names++
		k := keys.Key{KID: fmt.Sprintf("b-%06d", w.names), Algorithm: w.policy.Algorithm, Brought: true}
		if w.chance(4) {
			k.Algorithm = []keys.Algorithm{keys.RS256, keys.ES256, keys.EdDSA}[w.rng.IntN(3)]
		}
		if k.Algorithm.RSA() {
			k.Bits = []int{2048, 3000, 4096}[w.rng.IntN(3)]
		}
		w.source = append(w.source, k)
	}
	w.source = w.source[max(len(w.source)-mostEntries, 0):]
	w.rng.Shuffle(len(w.source), func(i, j int) { w.source[i], w.source[j] = w.source[j], w.source[i] }) // names are chance
}

// bringUsed is an owner who puts a key back that the set has had.
func (w *world) bringUsed() {
	if len(w.used) > 0 && w.policy.Brought {
		w.source = append([]keys.Key{w.used[w.rng.IntN(len(w.used))]}, w.source...)
		w.counts["used keys offered again"]++
	}
}

// loseSource takes the source away for hours.
func (w *world) loseSource() {
	w.sourceBack = w.t.Add(w.span(time.Hour, 30*time.Hour))
	if w.chance(3) {
		w.source = nil
	}
	w.log("the source of keys is gone until %s", w.sourceBack.Format(time.RFC3339))
}

func (w *world) offered() []keys.Key {
	if !w.policy.Brought || w.t.Before(w.sourceBack) {
		return nil
	}
	return slices.Clone(w.source)
}

// make stores what a plan asks for: a key that is made, or the one that is to be taken.
func (w *world) make(g *keys.Generate) {
	if _, exists := w.secrets[g.Sequence]; exists {
		return
	}
	if g.Take == "" {
		w.names++
		kid := fmt.Sprintf("k%d-%06d", g.Sequence, w.names)
		w.secrets[g.Sequence] = keys.Key{KID: kid, Algorithm: g.Algorithm, Bits: g.Bits, Sequence: g.Sequence, PublicJWK: []byte(kid)}
		return
	}
	i := slices.IndexFunc(w.source, func(k keys.Key) bool { return k.KID == g.Take })
	if i < 0 {
		return // the owner took it away meanwhile
	}
	k := w.source[i]
	k.Sequence, k.PublicJWK = g.Sequence, []byte(k.KID)
	w.secrets[g.Sequence] = k
}

// starve excuses what cannot happen for want of a key.
func (w *world) starve(plan *keys.Plan) {
	if plan.Found(keys.NoKeyLeft) != nil {
		w.counts["no key left"]++
		w.again()
	}
}

// judgeSource looks at where a key that comes in is from, and whether it was here before.
func (w *world) judgeSource(t keys.Transition, next *keys.Ring) {
	if t.To == keys.Removed || t.To == keys.Revoked {
		w.gone[t.KID] = true
		return
	}
	if w.gone[t.KID] {
		w.fail("%s was buried, and is %s again", t.KID, t.To)
	}
	if t.From != "" {
		return
	}
	k := next.Key(t.KID)
	if k.Brought != w.judged.Brought || k.Brought != (t.Reason == keys.ReasonTaken) {
		w.fail("%s comes in (brought: %t), while keys are brought: %t", k.KID, k.Brought, w.judged.Brought)
	}
	if k.Brought && !slices.Contains(next.Taken, k.KID) {
		w.fail("nobody remembers that %s was taken", k.KID)
	}
	if k.Brought {
		w.used = append(w.used, keys.Key{KID: k.KID, Algorithm: k.Algorithm, Bits: k.Bits, Brought: true})
	}
}

// judgeReturn looks at a key of a rebuilt ring. Nothing is left that says of a key when it was removed: its public half may verify
// once more, because a replica or the status still has it. It signs never again, and one that was revoked does not come back at all.
func (w *world) judgeReturn(k *keys.Key) {
	if w.gone[k.KID] && (k.State != keys.Retiring || w.dead[k.KID]) {
		w.fail("%s was buried, and the rebuilt ring has it as %s", k.KID, k.State)
	}
}

// forget excuses the keys of a ring that was restored, if not even the status is newer: then nobody knows that it was.
func (w *world) forget() {
	for _, k := range w.ring.Keys {
		if w.gone[k.KID] && !w.dead[k.KID] && w.floors[0] <= w.ring.Epoch {
			delete(w.gone, k.KID)
			w.counts["buried keys that nobody remembers"]++
		}
	}
}
