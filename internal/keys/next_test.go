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
		all = append(all, strings.TrimSuffix(fmt.Sprintf("generate %d %s %d", g.Sequence, g.Algorithm, g.Bits), " 0"))
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

type row struct {
	name string
	pol  keys.Policy
	obs  keys.Observed
	want string
}

var (
	fresh   = key(2, keys.Pending, ago(time.Hour))
	warm    = key(2, keys.Published, ago(10*day))
	young   = key(2, keys.Published, ago(time.Hour))
	active  = key(1, keys.Active, ago(10*day))
	overdue = key(1, keys.Active, ago(31*day))
	old     = key(1, keys.Retiring, ago(time.Hour))
	second  = key(2, keys.Active, ago(time.Hour))
	third   = key(3, keys.Published, ago(10*day))
)

var rows = []row{
	// The first key.
	{"nothing at all: make a key", policy(), seen(keys.Ring{}), "generate 1 ES256; !StandbyMissing"},
	{"an RSA key has a size", policy(rsa), seen(keys.Ring{}), "generate 1 RS256 2048; !StandbyMissing"},
	{"a key left by a crash is adopted; nobody has it yet", policy(), seen(keys.Ring{}, generated(fresh)), "kid-2 >Pending Generated; !StandbyMissing"},
	{"no replica: the first key signs at once", policy(), seen(keys.Ring{}, noReplicas, generated(fresh)),
		"kid-2 >Pending Generated; kid-2 Pending>Active FirstKey; !StandbyMissing"},
	{"the first key signs once the replicas have it", policy(), seen(ring(key(1, keys.Pending, noon))),
		"kid-1 Pending>Published Acknowledged; kid-1 Published>Active FirstKey; !StandbyMissing"},
	{"an edge lacks the first key", policy(standby(0)), seen(ring(key(1, keys.Pending, noon)), lacks(1, "kid-1")), "-"},
	{"an unreachable edge blocks the first key", policy(standby(0)), seen(ring(key(1, keys.Pending, noon)), unreachable(1)), "-"},
	{"material unknown blocks the first key", policy(standby(0)), seen(ring(key(1, keys.Published, noon)), material("kid-1", "")), "-"},

	// Standby.
	{"active without standby: make one", policy(), seen(ring(active)), "generate 2 ES256; !StandbyMissing"},
	{"two standbys wanted, one there", policy(standby(2)), seen(ring(active, warm)), "generate 3 ES256; !StandbyMissing"},
	{"no standby wanted: nothing", policy(standby(0)), seen(ring(active)), "-"},
	{"no standby wanted, rotation near: make the next", policy(standby(0)), seen(ring(key(1, keys.Active, ago(31*day-2*time.Hour)))), "generate 2 ES256"},
	{"a generated key is adopted", policy(), seen(ring(active), generated(fresh)), "kid-2 >Pending Generated; !StandbyMissing"},
	{"a generated key of another algorithm is passed over", policy(rsa), seen(ring(active), generated(fresh)), "generate 3 RS256 2048; !StandbyMissing"},
	{"a spoiled Secret is passed over", policy(), seen(ring(active), func(o *keys.Observed) { o.Spoiled = []int64{2, 3} }), "generate 4 ES256; !StandbyMissing"},
	{"a buried kid never returns", policy(), seen(keys.Ring{Epoch: 40, NextSequence: 2, Keys: []keys.Key{active},
		Tombstones: []keys.Tombstone{{KID: "kid-2", State: keys.Revoked}}}, generated(fresh)), "generate 3 ES256; !StandbyMissing"},
	{"publication acknowledged", policy(), seen(ring(active, fresh)), "kid-2 Pending>Published Acknowledged"},
	{"an edge lacks it", policy(), seen(ring(active, fresh), lacks(1, "kid-2")), "!StandbyMissing"},
	{"a signer lacks it", policy(), seen(ring(active, fresh), lacks(0, "kid-2")), "!StandbyMissing"},
	{"an unreachable edge acknowledges nothing", policy(), seen(ring(active, fresh), unreachable(1)), "!StandbyMissing"},
	{"zero replicas acknowledge nothing", policy(), seen(ring(active, fresh), noReplicas), "!StandbyMissing"},
	{"a replica without a published key is seen", policy(), seen(ring(active, warm), lacks(1, "kid-2")), "kid-2 Published>Pending Unacknowledged; !StandbyMissing"},
	{"a replica that has loaded nothing serves nothing", policy(), seen(ring(active, warm), lacks(1, "kid-2"), func(o *keys.Observed) { o.Replicas[1].Epoch = 0 }), "-"},
	{"an unreachable replica does not unpublish", policy(), seen(ring(active, warm), unreachable(1)), "-"},

	// Rotation by time.
	{"not due", policy(), seen(ring(active, warm)), "-"},
	{"due and warm", policy(), seen(ring(overdue, warm)), "kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !StandbyMissing"},
	{"due, prePublish not over", policy(), seen(ring(key(1, keys.Active, ago(30*day)), young)), "-"},
	{"due, an edge is unreachable", policy(), seen(ring(key(1, keys.Active, ago(30*day)), warm), unreachable(1)), "-"},
	{"overdue, an edge is unreachable", policy(), seen(ring(key(1, keys.Active, ago(40*day)), warm), unreachable(1)), "!RotationOverdue"},
	{"overdue, no replica: nothing signs", policy(), seen(ring(key(1, keys.Active, ago(40*day)), warm), noReplicas), "-"},
	{"due, private half not known to be sound", policy(), seen(ring(key(1, keys.Active, ago(30*day)), warm), material("kid-2", "")), "-"},
	{"manual: never due", policy(manual), seen(ring(key(1, keys.Active, ago(400*day)), warm)), "-"},
	{"days late with two standbys: one rotation", policy(standby(2)), seen(ring(key(1, keys.Active, ago(95*day)), warm, third)),
		"kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !StandbyMissing"},

	// Requests and algorithm changes.
	{"requested and warm", policy(manual), seen(ring(active, warm), requested), "kid-1 Active>Retiring Requested; kid-2 Published>Active Requested; !StandbyMissing"},
	{"requested, prePublish is respected", policy(), seen(ring(active, young), requested), "-"},
	{"requested without standby", policy(standby(0)), seen(ring(active), requested), "generate 2 ES256"},
	{"handled already", policy(), seen(func() keys.Ring { r := ring(active, warm); r.RotateHandled = "2026-06-01T12:00:00Z"; return r }(), requested), "-"},
	{"new algorithm: make a key of it, keep the old standby meanwhile", policy(rsa), seen(ring(active, warm)), "generate 3 RS256 2048; !StandbyMissing"},
	{"new algorithm: the right standby replaces the wrong one", policy(rsa), seen(ring(active, warm, rsaKey(young, 3))), "kid-2 Published>Removed AlgorithmChanged"},
	{"new algorithm: rotate when prePublish is over", policy(rsa), seen(ring(active, rsaKey(warm, 3))), "kid-1 Active>Retiring AlgorithmChanged; kid-3 Published>Active AlgorithmChanged; !StandbyMissing"},
	{"new algorithm, manual: the edit is the request", policy(rsa, manual), seen(ring(active, rsaKey(warm, 3))), "kid-1 Active>Retiring AlgorithmChanged; kid-3 Published>Active AlgorithmChanged; !StandbyMissing"},
	{"changed back, no standby wanted: the wrong one goes", policy(standby(0)), seen(ring(active, rsaKey(warm, 3))), "kid-3 Published>Removed AlgorithmChanged"},

	// Retiring and removal.
	{"the switch is acknowledged", policy(standby(0)), seen(ring(old, second)), "kid-1 until +17m0s"},
	{"a longer token is out", policy(standby(0)), seen(ring(old, second), func(o *keys.Observed) { o.Replicas[0].LatestExp["kid-1"] = future(time.Hour) }), "kid-1 until +1h2m0s"},
	{"a signer still signs with the old key", policy(standby(0)), seen(ring(old, second), signsWith("kid-1")), "-"},
	{"a signer cannot be asked", policy(standby(0)), seen(ring(old, second), unreachable(0)), "-"},
	{"an edge that cannot be asked does not matter", policy(standby(0)), seen(ring(old, second), unreachable(1)), "kid-1 until +17m0s"},
	{"zero signers acknowledge nothing", policy(standby(0)), seen(ring(old, second), onlyEdges), "-"},
	{"a signer falls back", policy(standby(0)), seen(ring(closed(old, future(time.Hour)), second), signsWith("kid-1")), "kid-1 open"},
	{"a longer token comes to light", policy(standby(0)), seen(ring(closed(old, future(time.Minute)), second), func(o *keys.Observed) { o.Replicas[0].LatestExp["kid-1"] = future(time.Hour) }), "kid-1 until +1h2m0s"},
	{"expired", policy(standby(0)), seen(ring(closed(old, ago(1)), second)), "kid-1 Retiring>Removed Expired"},
	{"expired to the instant: not yet", policy(standby(0)), seen(ring(closed(old, noon), second)), "-"},
	{"expired, a signer cannot be asked", policy(standby(0)), seen(ring(closed(old, ago(1)), second), unreachable(0)), "-"},
	{"expired, no signer left", policy(standby(0)), seen(ring(closed(old, ago(1)), second), noReplicas), "kid-1 Retiring>Removed Expired"},
	{"the Secret of a removed key goes", policy(standby(0)), seen(ring(second), func(o *keys.Observed) { o.Stored = []int64{1, 2, 3} }), "remove [1]"},

	// Lifetimes.
	{"a longer lifetime is told to the ring first", policy(lifetime(time.Hour)), seen(ring(active, warm)), "kid-1 ttl 1h0m0s"},
	{"a shorter one lowers nothing", policy(lifetime(time.Minute)), seen(ring(active, warm)), "-"},

	// Lost keys.
	{"the active key is lost: the standby takes over, prePublish or not", policy(), seen(ring(active, young), material("kid-1", keys.MaterialMissing)),
		"kid-1 Active>Retiring MaterialLost; kid-2 Published>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"the active key is refused", policy(), seen(ring(active, young), material("kid-1", keys.MaterialInvalid)),
		"kid-1 Active>Retiring MaterialLost; kid-2 Published>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"not known is not lost", policy(), seen(ring(active, warm), material("kid-1", "")), "-"},
	{"lost, and an edge is unreachable", policy(), seen(ring(active, warm), material("kid-1", keys.MaterialMissing), unreachable(1)), "!KeyMaterialLost"},
	{"lost, and the standby was published this minute", policy(), seen(ring(active, key(2, keys.Published, ago(time.Minute))), material("kid-1", keys.MaterialMissing)), "!KeyMaterialLost"},
	{"lost without standby", policy(standby(0)), seen(ring(active), material("kid-1", keys.MaterialMissing)), "generate 2 ES256; !KeyMaterialLost"},
	{"lost, no replica runs: any key takes over", policy(), seen(ring(active, fresh), material("kid-1", keys.MaterialMissing), noReplicas),
		"kid-1 Active>Retiring MaterialLost; kid-2 Pending>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"lost: a standby of the right kind is preferred", policy(rsa), seen(ring(active, warm, rsaKey(young, 3)), material("kid-1", keys.MaterialMissing)),
		"kid-2 Published>Removed AlgorithmChanged; kid-1 Active>Retiring MaterialLost; kid-3 Published>Active MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"a lost standby is dropped", policy(), seen(ring(active, warm), material("kid-2", keys.MaterialMissing)), "kid-2 Published>Removed MaterialLost; !KeyMaterialLost; !StandbyMissing"},
	{"a lost retiring key does not matter", policy(standby(0)), seen(ring(closed(old, future(time.Hour)), second), material("kid-1", keys.MaterialMissing)), "-"},
	{"nothing is active after a rebuild: the first that everyone has", policy(), seen(ring(old, young)), "kid-2 Published>Active NoActive; !StandbyMissing"},

	// Clocks.
	{"a replica's clock is off a little", policy(), seen(ring(overdue, warm), clocks(90*time.Second)),
		"kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !ClockSkewed; !ClockSkewed; !StandbyMissing"},
	{"the replicas contradict the manager's clock", policy(), seen(ring(overdue, warm), clocks(-day)), "!ClockSkewed; !ClockSkewed"},
	{"doubt keeps expired keys", policy(standby(0)), seen(ring(closed(old, ago(1)), second), clocks(-day)), "!ClockSkewed; !ClockSkewed"},
	{"doubt closes nothing", policy(standby(0)), seen(ring(old, second), clocks(day)), "!ClockSkewed; !ClockSkewed"},
	{"doubt publishes nothing", policy(standby(0)), seen(ring(active, fresh), clocks(day)), "!ClockSkewed; !ClockSkewed"},
	{"old reports are doubt", policy(), seen(ring(overdue, warm), func(o *keys.Observed) {
		for i := range o.Replicas {
			o.Replicas[i].Read, o.Replicas[i].Clock = ago(time.Hour), ago(time.Hour)
		}
	}), "-"},
	{"activated in the future: rotate", policy(), seen(ring(backTo(key(1, keys.Active, future(day)), ago(day)), warm), clocks(0)),
		"kid-1 Active>Retiring ClockCorrected; kid-2 Published>Active ClockCorrected; !StandbyMissing"},
	{"published in the future: once more", policy(), seen(ring(active, key(2, keys.Published, future(day))), clocks(0)),
		"kid-2 Published>Pending ClockCorrected; kid-2 Pending>Published Acknowledged"},
	{"the clock went back: nothing", policy(), seen(ring(key(1, keys.Active, future(day)), key(2, keys.Published, future(day)))), "-"},

	// Refusals.
	{"restored from a backup", policy(), seen(ring(active, warm), func(o *keys.Observed) { o.Replicas[1].Epoch = 41 }), "!RestoreDetected"},
	{"restored from a backup, and no replica runs", policy(), seen(ring(active, warm), noReplicas, func(o *keys.Observed) { o.EpochFloor = 41 }), "!RestoreDetected"},
	{"an edited ring", policy(), seen(ring(active, key(2, keys.Active, noon))), "!RingInvalid"},
	{"no algorithm", keys.Policy{}, seen(ring(active, warm)), "!PolicyInvalid"},
	{"too small", policy(func(p *keys.Policy) { p.Algorithm, p.RSABits = keys.PS256, 1024 }), seen(ring(active)), "!PolicyInvalid"},
}

func rsaKey(k keys.Key, seq int64) keys.Key {
	n := key(seq, k.State, k.Published)
	n.Algorithm, n.Bits = keys.RS256, 2048
	return n
}

// backTo corrects the time at which a key was published.
func backTo(k keys.Key, published time.Time) keys.Key {
	k.Created, k.Published = published, published
	return k
}

func TestNext(t *testing.T) {
	for _, r := range rows {
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
