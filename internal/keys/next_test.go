package keys_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/keys"
)

func TestDependencies(t *testing.T) { deptest.StdlibOnly(t) }

const (
	day      = 24 * time.Hour
	interval = 30 * day
	pre      = day
	ttl      = 15 * time.Minute
	skew     = time.Minute
)

var (
	noon    = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	present = keys.MaterialPresent
)

func policy(change ...func(*keys.Policy)) keys.Policy {
	p := keys.Policy{UID: "", Algorithm: keys.ES256, RSABits: 2048, Interval: interval, PrePublish: pre, Standby: 1, ClockSkew: skew, AccessTTL: ttl}
	for _, c := range change {
		c(&p)
	}
	return p
}

// key makes a key in a state that it entered at since; every earlier step lies a day before the next.
func key(seq int64, state keys.State, since time.Time) keys.Key {
	kid := fmt.Sprintf("kid-%d", seq)
	k := keys.Key{KID: kid, Algorithm: keys.ES256, Sequence: seq, State: state, PublicJWK: []byte(kid), Created: since}
	steps := map[keys.State]int{keys.Published: 1, keys.Active: 2, keys.Retiring: 3}[state]
	for i, at := range []*time.Time{&k.Published, &k.Activated, &k.Retiring} {
		if i < steps {
			*at = since.Add(-time.Duration(steps-1-i) * day)
		}
	}
	if steps > 0 {
		k.Created = k.Published
	}
	if steps >= 2 {
		k.MaxTTL = ttl
	}
	return k
}

func ring(ks ...keys.Key) keys.Ring {
	r := keys.Ring{Epoch: 40, Revision: 12, NextSequence: 1, Keys: ks}
	for _, k := range ks {
		r.NextSequence = max(r.NextSequence, k.Sequence+1)
	}
	return r
}

// seen is a world in which everything is loaded everywhere and sound.
func seen(r keys.Ring, change ...func(*keys.Observed)) keys.Observed {
	o := keys.Observed{Ring: r, Material: map[string]keys.MaterialState{}}
	edge := keys.Replica{Name: "edge-a", Reachable: true, Epoch: r.Epoch}
	signer := keys.Replica{Name: "tokenservice-a", Signer: true, Reachable: true, Epoch: r.Epoch, LatestExp: map[string]time.Time{}}
	for _, k := range r.Keys {
		o.Material[k.KID] = present
		edge.KIDs, signer.KIDs = append(edge.KIDs, k.KID), append(signer.KIDs, k.KID)
		o.Stored = append(o.Stored, k.Sequence)
		if k.State == keys.Active {
			signer.ActiveKID = k.KID
		}
	}
	o.Replicas = []keys.Replica{signer, edge}
	for _, c := range change {
		c(&o)
	}
	return o
}

func lacks(i int, kid string) func(*keys.Observed) {
	return func(o *keys.Observed) {
		r := &o.Replicas[i]
		r.KIDs = slices.DeleteFunc(slices.Clone(r.KIDs), func(k string) bool { return k == kid })
		r.Epoch = 39
	}
}
func unreachable(i int) func(*keys.Observed) {
	return func(o *keys.Observed) {
		o.Replicas[i] = keys.Replica{Name: o.Replicas[i].Name, Signer: o.Replicas[i].Signer}
	}
}
func noReplicas(o *keys.Observed) { o.Replicas = nil }
func onlyEdges(o *keys.Observed)  { o.Replicas = o.Replicas[1:] }
func requested(o *keys.Observed)  { o.RotateRequested = "2026-06-01T12:00:00Z" }
func signsWith(kid string) func(*keys.Observed) {
	return func(o *keys.Observed) { o.Replicas[0].ActiveKID = kid }
}
func material(kid string, m keys.MaterialState) func(*keys.Observed) {
	return func(o *keys.Observed) { o.Material[kid] = m }
}
func clocks(offset time.Duration) func(*keys.Observed) {
	return func(o *keys.Observed) {
		for i := range o.Replicas {
			o.Replicas[i].Read, o.Replicas[i].Clock = noon, noon.Add(offset)
		}
	}
}
func generated(k keys.Key) func(*keys.Observed) {
	return func(o *keys.Observed) { o.Generated = &k }
}
func standby(n int) func(*keys.Policy)              { return func(p *keys.Policy) { p.Standby = n } }
func manual(p *keys.Policy)                         { p.Manual = true }
func rsa(p *keys.Policy)                            { p.Algorithm = keys.RS256 }
func lifetime(d time.Duration) func(p *keys.Policy) { return func(p *keys.Policy) { p.AccessTTL = d } }
func closed(k keys.Key, at time.Time) keys.Key      { k.VerifyUntil = at; return k }
func future(d time.Duration) time.Time              { return noon.Add(d) }
func ago(d time.Duration) time.Time                 { return noon.Add(-d) }

// told is a plan in words: transitions, then generate, remove, ttl and verifyUntil changes; "-" for nothing.
func told(o keys.Observed, p keys.Plan) string {
	var all []string
	for _, t := range p.Transitions {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s>%s %s", t.KID, t.From, t.To, t.Reason)))
	}
	if g := p.Generate; g != nil {
		what := strings.TrimSuffix(fmt.Sprintf("generate %d %s %d", g.Sequence, g.Algorithm, g.Bits), " 0")
		if g.Take != "" {
			what = strings.Replace(what, "generate", "take "+g.Take+" as", 1)
		}
		all = append(all, what)
	}
	if len(p.Remove) > 0 {
		all = append(all, fmt.Sprint("remove ", p.Remove))
	}
	if p.Ring != nil {
		for _, k := range p.Ring.Keys {
			old := o.Ring.Key(k.KID)
			if old == nil {
				continue
			}
			if !k.VerifyUntil.Equal(old.VerifyUntil) && k.VerifyUntil.IsZero() {
				all = append(all, k.KID+" open")
			} else if !k.VerifyUntil.Equal(old.VerifyUntil) {
				all = append(all, k.KID+" until +"+k.VerifyUntil.Sub(noon).String())
			}
			if k.MaxTTL != old.MaxTTL && k.State == old.State {
				all = append(all, k.KID+" ttl "+k.MaxTTL.String())
			}
		}
	}
	for _, f := range p.Findings {
		all = append(all, "!"+string(f.Kind))
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, "; ")
}

func TestNext(t *testing.T) { expect(t, rows) }

// expect plans each row and compares what is told.
func expect(t *testing.T, all []row) {
	t.Helper()
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			before := r.obs.Ring.Clone()
			plan := keys.Next(noon, r.pol, r.obs)
			if got := told(r.obs, plan); got != r.want {
				t.Errorf("got  %s\nwant %s", got, r.want)
			}
			sound(t, before, r.obs, plan)
		})
	}
}

// sound is what holds for every plan.
func sound(t *testing.T, before *keys.Ring, o keys.Observed, plan keys.Plan) {
	t.Helper()
	if fmt.Sprint(*before) != fmt.Sprint(o.Ring) {
		t.Error("the observed ring was changed")
	}
	if plan.Ring == nil {
		return
	}
	if err := plan.Ring.Validate(); err != nil {
		t.Errorf("the next ring is invalid: %v", err)
	}
	if plan.Ring.Epoch != before.Epoch+1 {
		t.Errorf("epoch %d after %d", plan.Ring.Epoch, before.Epoch)
	}
	same := slices.Equal(kids(*before), kids(*plan.Ring))
	if grown := plan.Ring.Revision - before.Revision; same && grown != 0 || !same && grown != 1 {
		t.Errorf("the revision grew by %d, the published set is the same: %t", grown, same)
	}
	if plan.Generate != nil {
		t.Error("a ring and a generate in one plan")
	}
}
