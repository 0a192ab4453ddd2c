package keys_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

func brought(p *keys.Policy) { p.Brought = true }

// own is a brought key.
func own(k keys.Key) keys.Key { k.Brought = true; return k }

// entry is a key that the owner's source offers.
func entry(kid string, algorithm keys.Algorithm, bits int) keys.Key {
	return keys.Key{KID: kid, Algorithm: algorithm, Bits: bits}
}

func offers(all ...keys.Key) func(*keys.Observed) {
	return func(o *keys.Observed) { o.Offered = all }
}

func none(why string) func(*keys.Observed) {
	return func(o *keys.Observed) { o.NoneLeft = why }
}

func revoking(kids ...string) func(*keys.Observed) {
	return func(o *keys.Observed) { o.Revoke = kids }
}

func taken(r keys.Ring, kids ...string) keys.Ring { r.Taken = kids; return r }

var (
	es     = entry("own-1", keys.ES256, 0)
	es2    = entry("own-2", keys.ES256, 0)
	rs     = entry("own-rs", keys.RS256, 3000)
	mine   = own(active)
	aside  = own(warm)
	filled = func() (all []string) {
		for i := range keys.MaxTaken {
			all = append(all, fmt.Sprint("had-", i))
		}
		return all
	}()
)

var broughtRows = []row{
	{"the first key is taken", policy(brought), seen(keys.Ring{}, offers(es, es2)), "take own-1 as 1 ES256; !StandbyMissing"},
	{"an RSA key has the size that it has", policy(brought, rsa), seen(keys.Ring{}, offers(es, rs)), "take own-rs as 1 RS256 3000; !StandbyMissing"},
	{"rsaBits means nothing", policy(brought, rsa, func(p *keys.Policy) { p.RSABits = 0 }), seen(keys.Ring{}, offers(rs)), "take own-rs as 1 RS256 3000; !StandbyMissing"},
	{"there is nothing to take, and nothing is made", policy(brought), seen(keys.Ring{}), "!NoKeyLeft; !StandbyMissing"},
	{"what is there has another algorithm", policy(brought), seen(keys.Ring{}, offers(rs)), "!NoKeyLeft; !StandbyMissing"},
	{"what is there is no key of any size", policy(brought, rsa), seen(keys.Ring{}, offers(entry("x", keys.RS256, 1024), entry("", keys.RS256, 2048))), "!NoKeyLeft; !StandbyMissing"},
	{"an offer counts only where keys are brought", policy(), seen(keys.Ring{}, offers(es)), "generate 1 ES256; !StandbyMissing"},
	{"a taken key comes in, and is remembered", policy(brought), seen(keys.Ring{}, generated(own(fresh))), "kid-2 >Pending Taken; !StandbyMissing"},
	{"a made key that a crash left does not come in", policy(brought), seen(keys.Ring{}, generated(fresh), offers(es)), "take own-1 as 3 ES256; !StandbyMissing"},
	{"a brought key that a crash left does not come in where keys are made", policy(), seen(ring(active), generated(own(fresh))), "generate 3 ES256; !StandbyMissing"},

	{"two brought keys that crashes left, where keys are made", policy(), seen(ring(active), generated(own(key(3, keys.Pending, noon)))), "generate 4 ES256; !StandbyMissing"},

	{"the standby comes from the next entry", policy(brought), seen(taken(ring(own(key(1, keys.Active, ago(day)))), "kid-1", "own-1"), offers(es, es2)), "take own-2 as 2 ES256; !StandbyMissing"},
	{"a key of the ring is not taken again", policy(brought), seen(ring(mine), offers(entry("kid-1", keys.ES256, 0))), "!NoKeyLeft; !StandbyMissing"},
	{"nor is one that was taken and is forgotten but for its kid", policy(brought), seen(taken(ring(mine), "own-1"), offers(es)), "!NoKeyLeft; !StandbyMissing"},
	{"nor is one that was removed", policy(brought), seen(keys.Ring{Epoch: 40, NextSequence: 2, Keys: []keys.Key{mine}, Tombstones: []keys.Tombstone{{KID: "own-1", State: keys.Removed}}}, offers(es)),
		"!NoKeyLeft; !StandbyMissing"},
	{"nor is one that is to be revoked", policy(brought), seen(ring(mine), offers(es, es2), revoking("own-1")), "take own-2 as 2 ES256; !StandbyMissing; !RevocationUnknown"},
	{"one that was taken does not come in from a Secret either", policy(brought), seen(taken(ring(mine), "kid-2"), generated(own(fresh)), offers(es)), "take own-1 as 3 ES256; !StandbyMissing"},
	{"the memory is full: nothing is taken", policy(brought), seen(taken(ring(mine), filled...), offers(es)), "!NoKeyLeft; !StandbyMissing"},
	{"the memory is full: nothing comes in", policy(brought), seen(taken(ring(mine), filled...), generated(own(fresh))), "!NoKeyLeft; !StandbyMissing"},
	{"no standby is wanted: nothing is taken before its time", policy(brought, standby(0)), seen(ring(mine), offers(es)), "-"},

	{"due, and none is left", policy(brought, standby(0)), seen(ring(own(key(1, keys.Active, ago(30*day))))), "!NoKeyLeft"},
	{"overdue, and none is left", policy(brought, standby(0)), seen(ring(own(overdue))), "!NoKeyLeft"},
	{"late, and none is left", policy(brought, standby(0)), seen(ring(own(key(1, keys.Active, ago(40*day))))), "!NoKeyLeft; !RotationOverdue"},
	{"due and warm", policy(brought), seen(ring(own(overdue), aside)), "kid-1 Active>Retiring Interval; kid-2 Published>Active Interval; !StandbyMissing"},
	{"lost, and none is left", policy(brought, standby(0)), seen(ring(mine), material("kid-1", keys.MaterialMissing)), "!KeyMaterialLost; !NoKeyLeft"},
	{"an emergency, and none is left: the key signs on", policy(brought, standby(0)), seen(ring(mine), revoking("kid-1")), "!NoKeyLeft; !RevocationPending"},
	{"an emergency takes the next", policy(brought, standby(0)), seen(ring(mine), revoking("kid-1"), offers(es)), "take own-1 as 2 ES256; !RevocationPending"},
	{"an emergency goes to a made standby rather than wait", policy(brought, propagation), seen(ring(mine, warm), revoking("kid-1")),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !StandbyMissing; !RevocationPending"},

	{"made before, brought now: the next one is taken", policy(brought), seen(ring(active, warm), offers(es)), "take own-1 as 3 ES256; !StandbyMissing"},
	{"made before, brought now, and there is none: all goes on as it is", policy(brought), seen(ring(active, warm)), "!NoKeyLeft; !StandbyMissing"},
	{"made before, brought now: rotate when prePublish is over", policy(brought), seen(ring(active, own(warm))),
		"kid-1 Active>Retiring SourceChanged; kid-2 Published>Active SourceChanged; !StandbyMissing"},
	{"made before, brought now: the made standby goes", policy(brought, manual), seen(ring(active, warm, own(key(3, keys.Published, ago(time.Hour))))), "kid-2 Published>Removed SourceChanged"},
	{"brought before, made now", policy(), seen(ring(mine, aside), offers(es)), "generate 3 ES256; !StandbyMissing"},
	{"another algorithm and another source", policy(brought, rsa), seen(ring(active, own(rsaKey(warm, 3)))),
		"kid-1 Active>Retiring AlgorithmChanged; kid-3 Published>Active AlgorithmChanged; !StandbyMissing"},
	{"RSA keys of two sizes are of one kind", policy(brought, rsa), seen(ring(own(rsaKey(active, 1)), func() keys.Key { k := own(rsaKey(warm, 3)); k.Bits = 4096; return k }())), "-"},
	{"an edited ring that remembers twice", policy(brought), seen(taken(ring(mine), "x", "x")), "!RingInvalid"},
	{"an edited ring that remembers too much", policy(brought), seen(taken(ring(mine), append(filled, "x")...)), "!RingInvalid"},
}

func TestBrought(t *testing.T) { expect(t, broughtRows) }

// TestNoneLeft: whoever looks at a set that waits for a key is told what to do, wherever they look.
func TestNoneLeft(t *testing.T) {
	const why = "Secret shop holds no key that was not used yet: add an entry"
	late := own(key(1, keys.Active, ago(40*day)))
	for _, c := range []struct {
		name string
		pol  keys.Policy
		obs  keys.Observed
		kind keys.FindingKind
	}{
		{"standby", policy(brought), seen(ring(mine), none(why)), keys.StandbyMissing},
		{"overdue", policy(brought), seen(ring(late), none(why)), keys.RotationOverdue},
		{"emergency", policy(brought), seen(ring(mine), none(why), revoking("kid-1")), keys.RevocationPending},
		{"lost", policy(brought), seen(ring(mine), none(why), material("kid-1", keys.MaterialMissing)), keys.KeyMaterialLost},
		{"first key", policy(brought), seen(keys.Ring{}, none(why)), keys.NoKeyLeft},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := keys.Next(noon, c.pol, c.obs)
			if f := plan.Found(c.kind); f == nil || !strings.HasSuffix(f.Message, why) {
				t.Errorf("%s says %v", c.kind, f)
			}
			if plan.Next == nil || plan.Next.BlockedBy != why {
				t.Errorf("the next step is %+v", plan.Next)
			}
			if soon := plan.Requeue <= time.Minute; soon == (c.name == "standby") || plan.Requeue < 59*time.Second {
				t.Errorf("it looks again after %s", plan.Requeue)
			}
		})
	}
	full := keys.Next(noon, policy(brought), seen(taken(ring(mine), filled...), none(why), offers(es)))
	if f := full.Found(keys.NoKeyLeft); f == nil || !strings.Contains(f.Message, "1000 brought keys") {
		t.Errorf("a full memory says %v", f)
	}
	unsaid := keys.Next(noon, policy(brought), seen(ring(mine)))
	if f := unsaid.Found(keys.NoKeyLeft); f == nil || !strings.Contains(f.Message, "no ES256 key is left") {
		t.Errorf("without words of the caller it says %v", f)
	}
	early := keys.Next(noon, policy(brought, standby(0)), seen(ring(mine), none(why)))
	if early.Next == nil || early.Next.BlockedBy != why || early.Next.NotBefore.IsZero() || len(early.Findings) > 0 {
		t.Errorf("long before it is due it says %+v", early.Next)
	}
}

// TestTakenIsRemembered: by the ring that takes, buries and is rebuilt.
func TestTakenIsRemembered(t *testing.T) {
	plan := keys.Next(noon, policy(brought), seen(taken(ring(mine), "first"), generated(own(fresh))))
	if plan.Ring == nil || !slices.Equal(plan.Ring.Taken, []string{"first", "kid-2"}) {
		t.Fatalf("after taking kid-2 the ring remembers %v", plan.Ring)
	}
	lost := keys.Next(noon, policy(brought), seen(ring(mine, aside), material("kid-2", keys.MaterialMissing)))
	if lost.Ring == nil || !slices.Contains(lost.Ring.Taken, "kid-2") {
		t.Error("a brought key that is buried is forgotten")
	}
	for _, c := range []struct {
		name    string
		pol     keys.Policy
		remains keys.Remains
		want    string
	}{
		{"what was remembered", policy(), keys.Remains{Taken: []string{"a", "", "b", "a"}}, "a b"},
		{"a brought key that is left", policy(), keys.Remains{Recorded: statusOnly(active), Material: public(mine)}, "kid-1"},
		{"keys are made: those are not remembered", policy(), keys.Remains{Recorded: statusOnly(active), Material: public(active)}, ""},
		{"keys are brought: all that a replica or a grave has may be one", policy(brought),
			keys.Remains{Seen: public(active), Tombstones: []keys.Tombstone{{KID: "x", State: keys.Removed}}, Revoked: []string{"y"}}, "kid-1 x y"},
	} {
		ring := keys.Rebuild(noon, c.pol, c.remains)
		slices.Sort(ring.Taken)
		if got := strings.Join(ring.Taken, " "); got != c.want {
			t.Errorf("%s: the rebuilt ring remembers %q, want %q", c.name, got, c.want)
		}
		if err := ring.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	returned := keys.Rebuild(noon, policy(brought), keys.Remains{Recorded: statusOnly(mine, aside), Material: public(mine, aside)})
	if a := returned.Active(); a == nil || !a.Brought {
		t.Errorf("the Active key of a rebuilt ring is %+v", a)
	}
}

// neverTakenTwice: where keys are brought none is made, and none is taken that the ring has ever had.
func neverTakenTwice(t *testing.T, before *keys.Ring, pol keys.Policy, g *keys.Generate) {
	if pol.Brought != (g.Take != "") {
		t.Errorf("keys are brought: %t, and the plan is %+v", pol.Brought, *g)
	}
	buried := func(s keys.Tombstone) bool { return s.KID == g.Take }
	if g.Take != "" && (before.Key(g.Take) != nil || slices.Contains(before.Taken, g.Take) || slices.ContainsFunc(before.Tombstones, buried)) {
		t.Errorf("%s is taken again", g.Take)
	}
}

// takenForEver: no write forgets what was taken, or lets a brought key in or out without remembering it.
func takenForEver(t *testing.T, before, after *keys.Ring) {
	if after == nil {
		return
	}
	had := slices.Clone(before.Taken)
	for _, k := range after.Keys {
		if k.Brought && before.Key(k.KID) == nil {
			had = append(had, k.KID)
		}
	}
	for _, k := range before.Keys {
		if k.Brought && after.Key(k.KID) == nil {
			had = append(had, k.KID)
		}
	}
	for _, kid := range had {
		if !slices.Contains(after.Taken, kid) {
			t.Errorf("nobody remembers %s", kid)
		}
	}
}

// anySource gives some keys to their owner, and lets the source offer what it likes, also what the ring has had.
func anySource(rng *rand.Rand, o *keys.Observed) {
	for i := range o.Ring.Keys {
		o.Ring.Keys[i].Brought = rng.IntN(3) == 0
	}
	if o.Generated != nil {
		o.Generated.Brought = rng.IntN(3) == 0
	}
	kids := []string{"offer-1", "offer-2", "offer-3", "offer-4", ""}
	for _, k := range o.Ring.Keys {
		kids = append(kids, k.KID)
	}
	for _, s := range o.Ring.Tombstones {
		kids = append(kids, s.KID)
	}
	for _, kid := range kids {
		if rng.IntN(2) == 0 {
			o.Offered = append(o.Offered, entry(kid, []keys.Algorithm{keys.ES256, keys.RS256}[rng.IntN(2)], 2048))
		}
		if kid != "" && rng.IntN(4) == 0 {
			o.Ring.Taken = append(o.Ring.Taken, kid)
		}
	}
	if o.Ring.Epoch == 0 {
		o.Ring.Taken = nil
	}
	rng.Shuffle(len(o.Offered), func(i, j int) { o.Offered[i], o.Offered[j] = o.Offered[j], o.Offered[i] })
}

func (s *story) bring(kids ...string) {
	for _, kid := range kids {
		s.brought = append(s.brought, entry(kid, keys.ES256, 0))
		s.tell("The owner adds %s to the Secret my-keys.", kid)
	}
}

func (s *story) take(g *keys.Generate) {
	s.secrets[g.Sequence] = keys.Key{KID: g.Take, Algorithm: g.Algorithm, Bits: g.Bits, Brought: true, Sequence: g.Sequence, PublicJWK: []byte(g.Take)}
	s.tell("%s is taken from the Secret my-keys and stored: number %d, %s.", g.Take, g.Sequence, g.Algorithm)
}

func broughtStory(s *story) {
	s.policy.Brought = true
	s.run("tokenservice-a", "edge-a")
	s.tell("The owner has not made the Secret my-keys yet.")
	s.settle()
	s.bring("spring", "summer")
	s.settle()
	s.wait() // the interval
	s.wait() // verifyUntil
	s.now = s.now.Add(40 * day)
	s.tell("Nobody has added a key.")
	s.plan()
	s.tell("summer has leaked: somebody revokes it.")
	s.revoke = []string{"summer"}
	s.settle()
	s.bring("autumn", "winter")
	s.settle()
	s.tell("The owner has had enough, and from now on lets Keyturn make the keys.")
	s.policy.Brought = false
	s.settle()
	s.wait() // prePublish
	s.wait() // verifyUntil
	s.tell("The owner brings the keys again. spring, summer, autumn and winter are in the Secret as before.")
	s.policy.Brought = true
	s.settle()
	s.bring("second-spring")
	s.settle()
	s.wait() // prePublish
}
