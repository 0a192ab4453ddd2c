package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// back is how far the clocks of these tests go back.
const back = 3 * time.Hour

// TestClockBackInRotation: the manager's clock goes back by hours between the write that makes the next key sign and the
// acknowledgement of the last signer. By that clock the old key would verify until a time that is over already when the clock is
// right again, so nothing is recorded meanwhile, though everything that is waited for has happened.
func TestClockBackInRotation(t *testing.T) {
	w := settled(t)
	first, second := w.ring().Active().KID, w.ring().Standby().KID
	w.step(25 * time.Hour)
	w.fleet.set("signer", fault{lag: true})
	w.request("now")
	w.state(second, keys.Active)
	w.eventually("the signer is waited for", func() string {
		if w.loadedByAll() {
			return "it is not"
		}
		return ""
	})
	w.fleet.holds(first, second)
	before := w.ring()
	w.fleet.set("edge", fault{skew: back})
	w.fleet.set("signer", fault{skew: back})
	w.step(-back)
	w.eventually("the wrong clock is told, and the signer has switched", func() string {
		if !w.loadedByAll() {
			return "a replica is waited for"
		}
		return want(w.set().Status.Conditions, "ClockSkewed", "True ClockSkewed")
	})
	w.polls(3)
	ring := w.ring()
	if k := ring.Key(first); k == nil || !k.VerifyUntil.IsZero() {
		t.Errorf("by a clock that went back %s the old key is to verify until: %+v", back, k)
	}
	if ring.Active().KID != second || ring.Epoch < before.Epoch {
		t.Errorf("%s signs at epoch %d, want %s and at least %d", short(ring.Active().KID), ring.Epoch, short(second), before.Epoch)
	}
	w.clock.step(back) // before the replicas', by which it is measured, agree with it
	w.fleet.set("edge", fault{})
	w.fleet.set("signer", fault{})
	w.touch()
	w.eventually("the clock is right again", func() string {
		if bad := want(w.set().Status.Conditions, "ClockSkewed", "False AsExpected"); bad != "" {
			return bad
		}
		if k := w.ring().Key(first); k == nil || k.VerifyUntil.IsZero() {
			return fmt.Sprintf("the old key is %+v", k)
		}
		return w.unhealthy()
	})
	ring = w.ring()
	if k := ring.Key(first); k.VerifyUntil.Before(w.clock.Now().Add(15 * time.Minute)) {
		t.Errorf("the old key verifies until %s, by the right clock it is %s", k.VerifyUntil, w.clock.Now())
	}
	if made := ring.NextSequence - before.NextSequence; ring.Active().KID != second || made > 1 {
		t.Errorf("%s signs, %d keys were made", short(ring.Active().KID), made)
	}
	if slices.Contains(w.events(), restored) {
		t.Error("the clock was taken for a restore")
	}
}

// TestAllClocksBack: every clock of the cluster was ahead by hours when the keys were made, and is put right. What was recorded
// lies in the future: the next key is published anew, by the right clock, and a rotation that is asked for waits until it has been
// published long enough by it. No key that verifies goes meanwhile.
func TestAllClocksBack(t *testing.T) {
	w := settled(t)
	first, second := w.ring().Active().KID, w.ring().Standby().KID
	w.step(25 * time.Hour)
	w.request("now")
	w.state(second, keys.Active)
	w.eventually("a key retires, the next one is published", func() string {
		if w.ring().Key(first).VerifyUntil.IsZero() {
			return "it is open"
		}
		return w.unhealthy()
	})
	third := w.ring().Standby().KID
	w.fleet.holds(first, second)
	w.step(-back)
	w.eventually("the next key is published by the right clock", func() string {
		next := w.ring().Standby()
		switch {
		case next == nil || next.KID != third:
			return "another key is next"
		case next.Published.IsZero() || next.Published.After(w.clock.Now()):
			return fmt.Sprintf("it was published at %s, and it is %s", next.Published, w.clock.Now())
		}
		return w.unhealthy()
	})
	if skewed := shows(w.set().Status.Conditions, keyturnv1alpha1.ConditionClockSkewed); skewed != "False AsExpected" {
		t.Errorf("all clocks agree, and ClockSkewed is %s", skewed)
	}
	w.request("again")
	w.polls(3)
	ring := w.ring()
	if ring.Active().KID != second || ring.Key(first) == nil {
		t.Errorf("%s signs before the next key has been published long enough, the retired one is %+v", short(ring.Active().KID), ring.Key(first))
	}
	w.fleet.holds(second)
	w.step(24*time.Hour + time.Minute)
	w.oneRotation(third, ring.NextSequence)
	for _, k := range w.ring().Keys {
		if late := w.clock.Now(); k.Created.After(late) || k.Published.After(late) || k.Activated.After(late) {
			t.Errorf("at %s there is a key from the future: %+v", late, k)
		}
	}
}
