package keys_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

const bound = 5 * time.Second

func revoked(kids ...string) func(*keys.Observed) {
	return func(o *keys.Observed) { o.Revoke = kids }
}
func withStone(r keys.Ring, kid string, seq int64, state keys.State, at time.Time) keys.Ring {
	r.Tombstones = append(r.Tombstones, keys.Tombstone{KID: kid, Sequence: seq, State: state, Time: at})
	r.NextSequence = max(r.NextSequence, seq+1)
	return r
}
func retired(k keys.Key, at time.Time) keys.Key { k.Retiring = at; return k }
func propagation(p *keys.Policy)                { p.MaxPropagation = bound }
func doubtful(o *keys.Observed)                 { clocks(-day)(o) }

var revocations = []row{
	// A key that does not sign goes at once.
	{"the standby", policy(), seen(ring(active, warm), revoked("kid-2")), "kid-2 Published>Revoked Revoked; !StandbyMissing"},
	{"the standby, and no replica answers", policy(), seen(ring(active, warm), revoked("kid-2"), unreachable(0), unreachable(1)), "kid-2 Published>Revoked Revoked; !StandbyMissing"},
	{"a pending key", policy(), seen(ring(active, fresh), revoked("kid-2")), "kid-2 Pending>Revoked Revoked; !StandbyMissing"},
	{"a key generated and not yet in the ring", policy(), seen(ring(active), generated(fresh), revoked("kid-2")), "generate 3 ES256; !StandbyMissing; !RevocationUnknown"},
	{"two keys generated and not yet in the ring", policy(), seen(ring(active), generated(key(3, keys.Pending, noon)), revoked("kid-2", "kid-3")),
		"generate 4 ES256; !StandbyMissing; !RevocationUnknown; !RevocationUnknown"},
	{"a retired key", policy(standby(0), propagation), seen(ring(closed(old, future(time.Hour)), second), revoked("kid-1")), "kid-1 Retiring>Revoked Revoked"},
	{"a retired key, and a signer does not answer", policy(standby(0), propagation), seen(ring(old, second), revoked("kid-1"), unreachable(0)), "kid-1 Retiring>Revoked Revoked"},
	{"a key removed long ago", policy(), seen(withStone(ring(active, warm), "gone", 9, keys.Removed, ago(day)), revoked("gone")), "gone Removed>Revoked Revoked"},
	{"a key revoked already", policy(), seen(withStone(ring(active, warm), "gone", 9, keys.Revoked, ago(day)), revoked("gone")), "-"},
	{"a key that never was", policy(), seen(ring(active, warm), revoked("never")), "!RevocationUnknown"},
	{"asked twice", policy(), seen(ring(active, warm), revoked("never", "never")), "!RevocationUnknown"},

	// The Active key has an heir.
	{"the warm standby takes over", policy(propagation), seen(ring(active, warm), revoked("kid-1")),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"prePublish does not matter", policy(propagation), seen(ring(active, key(2, keys.Published, noon)), revoked("kid-1")),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"an edge out of reach does not matter, the standby was published", policy(propagation), seen(ring(active, warm), revoked("kid-1"), unreachable(1)),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"of two standbys, the one that every replica has", policy(propagation), seen(ring(active, warm, third), revoked("kid-1"), lacks(1, "kid-2")),
		"kid-2 Published>Pending Unacknowledged; kid-1 Active>Retiring Revoked; kid-3 Published>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"a Pending one that all who answer have", policy(propagation), seen(ring(active, fresh), revoked("kid-1"), unreachable(1)),
		"kid-1 Active>Retiring Revoked; kid-2 Pending>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"a Pending one that one who answers lacks", policy(propagation), seen(ring(active, fresh), revoked("kid-1"), lacks(1, "kid-2")), "!StandbyMissing; !RevocationPending"},
	{"a replica that has loaded nothing does not matter", policy(propagation), seen(ring(active, warm), revoked("kid-1"), func(o *keys.Observed) {
		o.Replicas[1].Epoch, o.Replicas[1].KIDs = 0, nil
	}), "kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"a Pending one, and nobody answers", policy(propagation), seen(ring(active, fresh), revoked("kid-1"), unreachable(0), unreachable(1)), "!StandbyMissing; !RevocationPending"},
	{"no standby: make a key", policy(standby(0), propagation), seen(ring(active), revoked("kid-1")), "generate 2 ES256; !RevocationPending"},
	{"active and standby at once: make a key", policy(propagation), seen(ring(active, warm), revoked("kid-1", "kid-2")), "kid-2 Published>Revoked Revoked; !StandbyMissing; !RevocationPending"},
	{"a standby of unknown soundness", policy(propagation), seen(ring(active, warm), revoked("kid-1"), material("kid-2", "")), "!RevocationPending"},
	{"another algorithm is on its way: the one that verifiers know takes over", policy(rsa, propagation), seen(ring(active, warm, rsaKey(fresh, 3)), revoked("kid-1"), unreachable(1)),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"rotation by hand only", policy(manual, propagation), seen(ring(active, warm), revoked("kid-1")),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !StandbyMissing; !RevocationPending"},
	{"no replica: at once, and nothing is left to wait for", policy(propagation), seen(ring(active, fresh), revoked("kid-1"), noReplicas),
		"kid-1 Active>Retiring Revoked; kid-2 Pending>Active Revoked; kid-1 Retiring>Revoked Revoked; !StandbyMissing"},
	{"its private half is lost as well", policy(propagation), seen(ring(active, young), revoked("kid-1"), material("kid-1", keys.MaterialMissing), unreachable(1)),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !KeyMaterialLost; !StandbyMissing; !RevocationPending"},
	{"sixteen keys: there is room for an heir", policy(standby(0), propagation), seen(ring(append(manyRetiring(15), key(16, keys.Active, ago(time.Hour)))...), revoked("kid-16"), signsWith("kid-16")), "generate 17 ES256; !RevocationPending"},
	{"the clock is in doubt: no delay", policy(propagation), seen(ring(active, warm), revoked("kid-1"), doubtful),
		"kid-1 Active>Retiring Revoked; kid-2 Published>Active Revoked; !ClockSkewed; !ClockSkewed; !StandbyMissing; !RevocationPending"},
	{"the clock is in doubt, and the heir is Pending: no delay", policy(propagation), seen(ring(active, fresh), revoked("kid-1"), doubtful),
		"kid-1 Active>Retiring Revoked; kid-2 Pending>Active Revoked; !ClockSkewed; !ClockSkewed; !StandbyMissing; !RevocationPending"},

	// It verifies until the signers have left it.
	{"a signer is on it yet", policy(standby(0), propagation), seen(ring(retired(old, ago(time.Second)), second), revoked("kid-1"), signsWith("kid-1")), "!RevocationPending"},
	{"a signer cannot be asked", policy(standby(0), propagation), seen(ring(retired(old, ago(time.Second)), second), revoked("kid-1"), unreachable(0)), "!RevocationPending"},
	{"every signer has left it", policy(standby(0), propagation), seen(ring(retired(old, ago(time.Second)), second), revoked("kid-1")), "kid-1 Retiring>Revoked Revoked"},
	{"an edge is not waited for", policy(standby(0), propagation), seen(ring(retired(old, ago(time.Second)), second), revoked("kid-1"), unreachable(1)), "kid-1 Retiring>Revoked Revoked"},
	{"the time is up", policy(standby(0), propagation), seen(ring(retired(old, ago(bound)), second), revoked("kid-1"), signsWith("kid-1")), "kid-1 Retiring>Revoked Revoked"},
	{"the time is up, and the clock is in doubt", policy(standby(0), propagation), seen(ring(retired(old, ago(bound)), second), revoked("kid-1"), signsWith("kid-1"), doubtful),
		"kid-1 Retiring>Revoked Revoked; !ClockSkewed; !ClockSkewed"},
	{"it retires in the future: no clock is waited for", policy(standby(0), propagation), seen(ring(retired(old, future(time.Hour)), second), revoked("kid-1"), signsWith("kid-1")), "kid-1 Retiring>Revoked Revoked"},
	{"a rebuilt ring, and a signer is on it: until another takes over", policy(standby(0), propagation), seen(ring(old), revoked("kid-1"), signsWith("kid-1")), "generate 2 ES256; !RevocationPending"},
	{"a rebuilt ring: it verifies for the signers' sake", policy(standby(0), propagation), seen(ring(old, young), revoked("kid-1"), signsWith("kid-1")), "kid-2 Published>Active Revoked; !RevocationPending"},
	{"a rebuilt ring, and no signer is on it", policy(standby(0), propagation), seen(ring(old, young), revoked("kid-1"), signsWith("other")), "kid-2 Published>Active NoActive; kid-1 Retiring>Revoked Revoked"},

	// Afterwards.
	{"a replica that lags is named", policy(), seen(withStone(ring(active, warm), "gone", 9, keys.Revoked, ago(time.Minute)), revoked("gone"), func(o *keys.Observed) {
		o.Replicas[1].KIDs = append(o.Replicas[1].KIDs, "gone")
	}), "!RevocationUnconfirmed"},
	{"one that cannot be asked is named while a token may live", policy(), seen(withStone(ring(active, warm), "gone", 9, keys.Revoked, ago(time.Hour)), revoked("gone"), unreachable(1)), "!RevocationUnconfirmed"},
	{"and not for ever", policy(), seen(withStone(ring(active, warm), "gone", 9, keys.Revoked, ago(2*time.Hour)), revoked("gone"), unreachable(1)), "-"},
}

func manyRetiring(n int) []keys.Key {
	var all []keys.Key
	for i := range n {
		all = append(all, closed(key(int64(i+1), keys.Retiring, ago(time.Minute)), future(time.Hour)))
	}
	return all
}

func TestRevocation(t *testing.T) { expect(t, revocations) }

// TestRevocationSays what the person on call reads while an emergency lasts.
func TestRevocationSays(t *testing.T) {
	soon := retired(old, ago(time.Second))
	for _, c := range []struct {
		name    string
		obs     keys.Observed
		want    string
		requeue time.Duration
	}{
		{"for whom the heir waits", seen(ring(active, key(2, keys.Pending, ago(time.Second))), revoked("kid-1"), lacks(1, "kid-2")),
			"kid kid-1 is revoked, and signs until another key takes over: kid kid-2 not yet loaded by edge-a (has epoch 39, wants 40)", 200 * time.Millisecond},
		{"nobody answers", seen(ring(active, fresh), revoked("kid-1"), unreachable(0), unreachable(1)),
			"kid kid-1 is revoked, and signs until another key takes over: kid kid-2 not yet loaded by edge-a, which is unreachable", 2 * time.Second},
		{"the clock is not to blame", seen(ring(active, key(2, keys.Pending, ago(time.Second))), revoked("kid-1"), lacks(1, "kid-2"), clocks(day)),
			"kid kid-1 is revoked, and signs until another key takes over: kid kid-2 not yet loaded by edge-a (has epoch 39, wants 40)", 200 * time.Millisecond},
		{"nobody knows the heir's private half", seen(ring(active, warm), revoked("kid-1"), material("kid-2", "")),
			"kid kid-1 is revoked, and signs until another key takes over: the private half of kid kid-2 is not known to be sound", 2 * time.Second},
		{"who signs with it yet", seen(ring(soon, second), revoked("kid-1"), signsWith("kid-1")),
			"kid kid-1 is revoked; it verifies for 4s more at most, until tokenservice-a is seen on kid kid-2", 200 * time.Millisecond},
		{"many sign with it yet", seen(ring(soon, second), revoked("kid-1"), signsWith("kid-1"), func(o *keys.Observed) {
			for _, n := range []string{"e", "d", "c", "b"} {
				o.Replicas = append(o.Replicas, keys.Replica{Name: "tokenservice-" + n, Signer: true})
			}
		}), "kid kid-1 is revoked; it verifies for 4s more at most, until tokenservice-a, tokenservice-b, tokenservice-c and 2 more are seen on kid kid-2", 200 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := keys.Next(noon, policy(standby(0), propagation), c.obs)
			found := plan.Found(keys.RevocationPending)
			if found == nil || found.KID != "kid-1" || found.Message != c.want {
				t.Errorf("got  %+v\nwant %s", found, c.want)
			}
			if plan.Requeue != c.requeue || plan.Again() {
				t.Errorf("requeue %s, want %s; again %t", plan.Requeue, c.requeue, plan.Again())
			}
		})
	}
}

// TestManyRevocations: every revoked kid is remembered, whatever else is forgotten.
func TestManyRevocations(t *testing.T) {
	r := ring(active, warm)
	for i := range int64(keys.MaxRemoved) {
		r = withStone(r, "old-"+strings.Repeat("x", int(i)), 100+i, keys.Removed, ago(day))
	}
	r = withStone(r, "first", 50, keys.Revoked, ago(300*day))
	o := seen(r, revoked("first", "old-", "old-xx", "kid-2"))
	plan := keys.Next(noon, policy(), o)
	var got []string
	for _, s := range plan.Ring.Tombstones {
		if s.State == keys.Revoked {
			got = append(got, s.KID)
		}
	}
	slices.Sort(got)
	if want := []string{"first", "kid-2", "old-", "old-xx"}; !slices.Equal(got, want) {
		t.Errorf("revoked are %v, want %v", got, want)
	}
}
