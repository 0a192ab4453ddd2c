package keys_test

import (
	"maps"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// sign lets every signer sign one token now; only the latest expiry of each key matters.
func (w *world) sign() {
	for _, p := range w.pods {
		if !p.signer || !w.ready(p) || p.doc.active == "" {
			continue
		}
		exp := w.t.Add(p.offset + p.doc.ttl)
		if exp.After(p.latestExp[p.doc.active]) {
			p.latestExp[p.doc.active] = exp
		}
		if !p.leapt && exp.After(w.maxExp[p.doc.active]) {
			w.maxExp[p.doc.active] = exp
		}
	}
}

// check asserts the promises. A token is unexpired if the verifier's own clock says so.
func (w *world) check() {
	for kid, exp := range w.maxExp {
		if w.t.After(exp.Add(2*w.skew)) || w.dead[kid] {
			delete(w.maxExp, kid)
			continue
		}
		for _, p := range w.pods {
			if w.ready(p) && !w.t.Add(p.offset).After(exp) && !p.doc.has(kid) && !w.outOfReach(kid, p) {
				w.fail("%s (epoch %d) refuses a token of %s that expires %s", p.name, p.doc.epoch, kid, exp.Format(time.RFC3339))
			}
		}
		for i, v := range w.verifiers {
			if w.t.Sub(v.fetched) > w.limit || w.t.Add(v.offset).After(exp) || w.t.Before(w.excused[kid]) {
				continue
			}
			if !slices.Contains(v.kids, kid) && !w.outOfReach(kid, v.from) {
				w.fail("third party %d (fetched %s) refuses a token of %s that expires %s", i, v.fetched.Format(time.RFC3339), kid, exp.Format(time.RFC3339))
			}
		}
	}
	if w.ring == nil {
		return
	}
	for i := range w.ring.Keys {
		k := &w.ring.Keys[i]
		if s, ok := w.secrets[k.Sequence]; !ok && w.excused["lost "+k.KID].IsZero() || ok && s.KID != k.KID {
			w.fail("the Secret of live key %s is gone", k.KID)
		}
	}
}

// fetch is a third party that refreshes its JWKS from any token service that serves.
func (w *world) fetch(v *verifier) {
	var from []*pod
	for _, p := range w.pods {
		if p.signer && w.ready(p) {
			from = append(from, p)
		}
	}
	if len(from) == 0 {
		w.after(10*time.Second, func() { w.fetch(v) })
		return
	}
	v.from, v.fetched = from[w.rng.IntN(len(from))], w.t
	v.kids = v.from.doc.kids
	w.touched = false // the next event tries it before it does anything
	w.after(w.span(w.limit/4, w.limit), func() { w.fetch(v) })
}

// observe is the manager reading the world; w.ring must exist or be absent for good.
func (w *world) observe() keys.Observed {
	o := keys.Observed{Material: map[string]keys.MaterialState{}, RotateRequested: w.request, EpochFloor: w.epochFloor(), Revoke: w.revoke, Offered: w.offered()}
	if w.ring != nil {
		o.Ring = *w.ring.Clone()
	}
	o.Replicas = w.ask()
	for _, k := range o.Ring.Keys {
		o.Material[k.KID] = keys.MaterialMissing
		if s, ok := w.secrets[k.Sequence]; ok && s.KID == k.KID {
			o.Material[k.KID] = keys.MaterialPresent
		}
	}
	for _, s := range slices.Sorted(maps.Keys(w.secrets)) {
		o.Stored = append(o.Stored, s)
		if k := w.secrets[s]; s >= o.Ring.NextSequence && o.Generated == nil {
			o.Generated = &k
		}
	}
	return o
}

// ask lists all pods and collects their reports. The list is live; a report may be two minutes old, and now and then
// there is none.
func (w *world) ask() []keys.Replica {
	all := make([]keys.Replica, 0, len(w.pods))
	for _, p := range w.pods {
		if w.t.Sub(p.reported) < 2*time.Minute && w.chance(3) {
			all = append(all, p.report)
			continue
		}
		p.report = keys.Replica{Name: p.name, Signer: p.signer}
		if r := &p.report; !w.t.Before(p.downUntil) && !w.t.Before(p.partitionUntil) && !w.chance(50) {
			r.Reachable, r.Clock, r.Read = true, w.t.Add(p.offset), w.now()
			if p.doc != nil {
				r.Epoch, r.KIDs = p.doc.epoch, p.doc.kids
			}
			if p.doc != nil && p.signer {
				r.ActiveKID, r.LatestExp = p.doc.active, maps.Clone(p.latestExp)
			}
		}
		p.reported = w.t
		all = append(all, p.report)
	}
	return all
}
