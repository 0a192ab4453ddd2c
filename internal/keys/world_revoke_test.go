package keys_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// overdueRevocation is how long the manager may run until a revocation is carried out, whatever happens.
const overdueRevocation = 48 * time.Hour

// distrust asks for revocations: of the Active key mostly, of any other, of several at once, of one that is long gone, of one
// that never was. And it looks whether the earlier ones were carried out.
func (w *world) distrust() {
	for kid, since := range w.wanted {
		if w.known(kid) && w.uptime-since > overdueRevocation {
			w.fail("%s was to be revoked %s ago, and is not", kid, w.uptime-since)
		}
	}
	if w.ring == nil || len(w.ring.Keys) == 0 {
		return
	}
	ask := func(kid string) {
		w.log("somebody revokes %s", kid)
		w.revoke = append(w.revoke, kid)
		w.wanted[kid] = w.uptime
		w.counts["revocations"]++
	}
	switch w.rng.IntN(8) {
	case 0:
		for _, k := range w.ring.Keys { // the Active one and what stands by
			if k.State != keys.Retiring {
				ask(k.KID)
			}
		}
	case 1:
		if n := len(w.ring.Tombstones); n > 0 {
			ask(w.ring.Tombstones[w.rng.IntN(n)].KID)
		}
	case 2:
		w.names++
		w.revoke = append(w.revoke, fmt.Sprint("never-", w.names))
	case 3, 4:
		ask(w.ring.Keys[w.rng.IntN(len(w.ring.Keys))].KID)
	default:
		if a := w.ring.Active(); a != nil {
			ask(a.KID)
		}
	}
}

// known tells whether the ring has a key, or has had it, that is not revoked.
func (w *world) known(kid string) bool {
	return w.ring != nil && (w.ring.Key(kid) != nil ||
		slices.ContainsFunc(w.ring.Tombstones, func(s keys.Tombstone) bool { return s.KID == kid && s.State != keys.Revoked }))
}

// record is what the status says of revoked keys before the ring does.
func (w *world) record(ring *keys.Ring) {
	for _, kid := range ring.Taken {
		if !slices.Contains(w.taken, kid) {
			w.taken = append(w.taken, kid)
		}
	}
	for _, t := range ring.Tombstones {
		if t.State == keys.Revoked && !slices.Contains(w.revoked, t.KID) {
			w.revoked = append(w.revoked, t.KID)
		}
	}
}

// again lets the time of all revocations begin anew, since an older ring is back.
func (w *world) again() {
	for kid := range w.wanted {
		w.wanted[kid] = w.uptime
	}
}

// judge looks at a step of an emergency.
func (w *world) judge(t keys.Transition, asked []keys.Replica) {
	if t.To == keys.Revoked {
		w.dead[t.KID] = true
	}
	if t.To == keys.Active && w.dead[t.KID] {
		w.fail("the revoked %s signs", t.KID)
	}
	if t.To != keys.Active || t.Reason != keys.ReasonRevoked {
		return
	}
	w.rushed[t.KID] = w.t
	for _, p := range w.pods {
		if !p.doc.has(t.KID) {
			w.without[t.KID+p.name] = true
		}
	}
	for _, r := range asked {
		if r.Reachable && r.Epoch > 0 && !slices.Contains(r.KIDs, t.KID) {
			w.fail("%s takes over although %s answers and lacks it", t.KID, r.Name)
		}
	}
}

// outOfReach excuses a pod that refuses a key which took over in an emergency: it could not be asked then, or was starting. It is
// excused for good: after a restart it begins with the document that its kubelet has mounted, which may still be the old one.
func (w *world) outOfReach(kid string, p *pod) bool {
	at, rushed := w.rushed[kid]
	if !rushed || p == nil {
		return false
	}
	if !p.born.Before(at.Add(-time.Minute)) && p.born.Before(at.Add(time.Minute+2*w.policy.ClockSkew)) {
		w.without[kid+p.name] = true
	}
	return w.without[kid+p.name]
}

// newer are the kids that the replicas hold, if one of them is ahead of the ring.
func (w *world) newer() []string {
	var all []string
	ahead := false
	for _, p := range w.pods {
		if p.doc == nil || w.t.Before(p.downUntil) || w.t.Before(p.partitionUntil) {
			continue
		}
		ahead = ahead || p.doc.epoch > w.ring.Epoch
		all = append(all, p.doc.kids...)
	}
	if !ahead {
		return nil
	}
	return all
}
