package keys_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

func TestMessage(t *testing.T) {
	for _, c := range []struct {
		name   string
		obs    keys.Observed
		want   string
		loaded int
	}{
		{"all loaded", seen(ring(active, warm)), "", 2},
		{"one lacks a key", seen(ring(active, fresh), lacks(0, "kid-2")), "kid kid-2 not yet loaded by tokenservice-a (has epoch 39, wants 40)", 1},
		{"one has loaded nothing", seen(ring(active, fresh), func(o *keys.Observed) { o.Replicas[1] = keys.Replica{Name: "edge-a", Reachable: true} }),
			"kid kid-1 not yet loaded by edge-a (has loaded nothing, wants epoch 40)", 1},
		{"one is unreachable", seen(ring(active, fresh), unreachable(1)), "edge-a is unreachable, so it acknowledges nothing", 1},
		{"one signs with the old key", seen(ring(old, second), signsWith("kid-1")), "kid kid-2 not yet signed with by tokenservice-a, which signs with kid kid-1 (has epoch 40, wants 40)", 1},
		{"one signs with nothing", seen(ring(old, second), signsWith("")), "kid kid-2 not yet signed with by tokenservice-a, which signs with nothing (has epoch 40, wants 40)", 1},
		{"two: the first by name", seen(ring(active, fresh), lacks(0, "kid-2"), lacks(1, "kid-2")), "kid kid-2 not yet loaded by edge-a (has epoch 39, wants 40), and 1 more", 0},
	} {
		plan := keys.Next(noon, policy(standby(0)), c.obs)
		if plan.Message != c.want || plan.Loaded != c.loaded || plan.Total != 2 || len(plan.Waiting) != 2-c.loaded {
			t.Errorf("%s: %q, %d/%d, waiting %v\nwant %q, %d", c.name, plan.Message, plan.Loaded, plan.Total, plan.Waiting, c.want, c.loaded)
		}
	}
}

func TestNextTransitionAndRequeue(t *testing.T) {
	due := active.Activated.Add(interval)
	for _, c := range []struct {
		name    string
		pol     keys.Policy
		obs     keys.Observed
		want    *keys.NextTransition
		requeue time.Duration
	}{
		{"the warm standby at the end of the interval", policy(), seen(ring(active, warm)), &keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: due}, due.Sub(noon)},
		{"the gate is later than the interval", policy(), seen(ring(overdue, young)), &keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: young.Published.Add(pre)}, 23 * time.Hour},
		{"no standby yet, none wanted", policy(standby(0)), seen(ring(active)), &keys.NextTransition{To: keys.Active, NotBefore: due}, due.Sub(noon) - pre - pre/10},
		{"waiting for an edge", policy(), seen(ring(overdue, fresh), lacks(1, "kid-2")),
			&keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: overdue.Activated.Add(interval), BlockedBy: "kid kid-2 not yet loaded by edge-a (has epoch 39, wants 40)"}, time.Minute},
		{"a new key: asked often", policy(), seen(ring(active, key(2, keys.Pending, noon)), lacks(1, "kid-2")),
			&keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: due, BlockedBy: "kid kid-2 not yet loaded by edge-a (has epoch 39, wants 40)"}, 2 * time.Second},
		{"blocked by a new, unreachable edge", policy(), seen(ring(overdue, warm), unreachable(1)),
			&keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: overdue.Activated.Add(interval), BlockedBy: "kid kid-2 not yet loaded by edge-a, which is unreachable"}, time.Minute},
		{"requested: as soon as the gate is passed", policy(manual), seen(ring(active, young), requested), &keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: young.Published.Add(pre)}, 23 * time.Hour},
		{"manual: the next removal", policy(manual, standby(0)), seen(ring(closed(old, future(time.Hour)), second)), &keys.NextTransition{KID: "kid-1", To: keys.Removed, NotBefore: future(time.Hour)}, time.Hour + time.Second},
		{"manual and quiet: never on its own", policy(manual), seen(ring(active, warm)), nil, 0},
		{"no replica: an event will come", policy(), seen(ring(overdue, warm), noReplicas),
			&keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: overdue.Activated.Add(interval), BlockedBy: "no replica runs that could load kid kid-2"}, 0},
		{"doubt: look again soon", policy(), seen(ring(overdue, warm), clocks(day)),
			&keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: overdue.Activated.Add(interval), BlockedBy: "the clocks of the replicas contradict the manager's"}, time.Minute},
		{"an heir settles where no replica runs", policy(), seen(ring(active, key(2, keys.Pending, ago(2*time.Minute))), material("kid-1", keys.MaterialMissing), noReplicas),
			&keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: future(time.Minute), BlockedBy: "no replica runs that could load kid kid-2"}, time.Minute},
		{"an heir settles", policy(), seen(ring(active, key(2, keys.Published, ago(time.Minute))), material("kid-1", keys.MaterialMissing)),
			&keys.NextTransition{KID: "kid-2", To: keys.Active, NotBefore: future(time.Minute)}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := keys.Next(noon, c.pol, c.obs)
			if (plan.Next == nil) != (c.want == nil) || c.want != nil && *plan.Next != *c.want {
				t.Errorf("got  %+v\nwant %+v", plan.Next, c.want)
			}
			if plan.Requeue != c.requeue {
				t.Errorf("requeue %s, want %s", plan.Requeue, c.requeue)
			}
			if plan.Again() {
				t.Errorf("it changes something: %s", told(c.obs, plan))
			}
		})
	}
}

// TestJitter: rotations of many sets spread over 5 % of the interval, each always at its own place.
func TestJitter(t *testing.T) {
	places := map[time.Time]bool{}
	for _, uid := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		p := policy(func(p *keys.Policy) { p.UID = uid })
		at := keys.Next(noon, p, seen(ring(active, warm))).Next.NotBefore
		if late := at.Sub(active.Activated) - interval; late < 0 || late > interval/20 {
			t.Errorf("%s: %s late", uid, late)
		}
		if !at.Equal(keys.Next(future(day), p, seen(ring(active, warm))).Next.NotBefore) {
			t.Errorf("%s: the place changes", uid)
		}
		places[at] = true
	}
	if len(places) < 7 {
		t.Errorf("8 sets rotate at %d instants", len(places))
	}
}

// TestNothingMadeIsTold: what keeps keys from being made stands where people look: at the standby and at the next step.
func TestNothingMadeIsTold(t *testing.T) {
	full := []keys.Key{active}
	for n := int64(2); len(full) < keys.MaxKeys; n++ {
		k := old
		k.KID, k.Sequence = fmt.Sprint("kid-", n), n
		full = append(full, k)
	}
	for name, row := range map[string]struct {
		policy keys.Policy
		ring   keys.Ring
		want   string
	}{
		"ring full":      {policy(), ring(full...), "no new one is made until an old one is removed"},
		"policy invalid": {policy(func(p *keys.Policy) { p.Algorithm = "HS256" }), ring(active), `algorithm "HS256" is not one of`},
	} {
		plan := keys.Next(noon, row.policy, seen(row.ring, unreachable(0)))
		if found := plan.Found(keys.StandbyMissing); found == nil || !strings.Contains(found.Message, row.want) {
			t.Errorf("%s: the standby is said to be %+v", name, found)
		}
		if plan.Next == nil || !strings.Contains(plan.Next.BlockedBy, row.want) {
			t.Errorf("%s: next %+v", name, plan.Next)
		}
	}
}
