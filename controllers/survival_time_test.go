package controllers

import (
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// twoStandbys gives a set a second key that waits, so that nothing but the interval is in the way of a second rotation.
func twoStandbys(set *keyturnv1alpha1.SigningKeySet, _ *keyturnv1alpha1.TokenPolicy, _ *keyturnv1alpha1.TokenService) {
	set.Spec.Rotation.StandbyKeys = new(int32(2))
}

// oneRotation waits until the set has rotated to the key next, then sees that it rotates no further.
func (w *world) oneRotation(next string, asked int64) {
	w.Helper()
	w.eventually("one rotation", func() string {
		if active := w.ring().Active(); active == nil || active.KID != next {
			return "another key signs"
		}
		return w.unhealthy()
	})
	w.polls(4)
	ring := w.ring()
	if ring.Active().KID != next {
		w.Errorf("a second rotation followed: %s signs", short(ring.Active().KID))
	}
	if made := ring.NextSequence - asked; made != 1 {
		w.Errorf("%d keys were made, want 1", made)
	}
}

// TestDownForDays: the manager is away for four intervals. Nothing stops verifying meanwhile, and on its return it makes up for
// them with one rotation, though another key is ready for a second.
func TestDownForDays(t *testing.T) {
	w := settled(t, twoStandbys)
	ring := w.ring()
	w.eventually("a second key waits", func() string {
		if ring = w.ring(); len(ring.Keys) != 3 || ring.Keys[2].State != keys.Published {
			return "it does not"
		}
		return w.unhealthy()
	})
	first, second := ring.Active().KID, ring.Standby().KID
	w.fleet.holds(first, second)
	w.stopManager()
	w.clock.step(4 * 30 * 24 * time.Hour)
	w.startManager()
	w.oneRotation(second, ring.NextSequence)
	if k := w.ring().Key(first); k == nil || k.State != keys.Retiring {
		t.Errorf("the key that signed until now: %+v", k)
	}
}

// outage is a way to the API server that can be cut: nothing arrives, and what was on its way is lost.
type outage struct {
	next http.RoundTripper
	down atomic.Bool
	lost atomic.Int64
}

var errDown = errors.New("connection refused")

func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.down.Load() {
		o.lost.Add(1)
		return nil, errDown
	}
	return o.next.RoundTrip(r)
}

// TestAPIServerDownAcrossRotation: the manager does not reach the API server when a rotation is due. Nothing ends, and when the
// way is open again it rotates once.
func TestAPIServerDownAcrossRotation(t *testing.T) {
	w := newQuietWorld(t)
	cut := &outage{}
	w.startManagerOver(func(next http.RoundTripper) http.RoundTripper {
		cut.next = next
		return cut
	})
	w.declare(twoStandbys)
	var ring *keys.Ring
	w.eventually("settle", func() string {
		if ring = w.ring(); ring == nil || len(ring.Keys) != 3 || ring.Keys[2].State != keys.Published {
			return "no second key waits"
		}
		return w.unhealthy()
	})
	first, second := ring.Active().KID, ring.Standby().KID
	w.fleet.holds(first, second)
	cut.down.Store(true)
	w.step(4 * 32 * 24 * time.Hour)
	w.eventually("the manager tries in vain", func() string {
		if cut.lost.Load() < 3 {
			return "it does not try"
		}
		return ""
	})
	if got := w.ring(); got.Epoch != ring.Epoch || got.Active().KID != first {
		t.Fatalf("the ring moved while nothing arrived: epoch %d after %d", got.Epoch, ring.Epoch)
	}
	cut.down.Store(false)
	w.oneRotation(second, ring.NextSequence)
}

// TestClockJumps: the manager's clock leaps a year ahead or back while those of the replicas go on. Nothing that compares a time
// happens, and somebody is told; once it is right again everything goes on as if nothing had been.
func TestClockJumps(t *testing.T) {
	for name, leap := range map[string]time.Duration{"ahead": 365 * 24 * time.Hour, "back": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := settled(t)
			second := w.ring().Standby().KID
			w.step(25 * time.Hour)
			w.request("now")
			w.state(second, keys.Active)
			w.eventually("a key retires until a known time", func() string {
				if w.ring().Keys[0].VerifyUntil.IsZero() {
					return "it is open"
				}
				return w.unhealthy()
			})
			before := w.ring()
			live, _ := kids(before)
			w.fleet.holds(live...)
			// The manager's clock and the replicas' are one here. These differ first, and then all leap, so that no look falls in
			// between and believes that everybody's clock leapt.
			for _, component := range []string{"edge", "signer"} {
				w.fleet.set(component, fault{skew: -leap})
			}
			told := func() string { return want(w.set().Status.Conditions, "ClockSkewed", "True ClockSkewed") }
			w.eventually("the clocks differ", told)
			w.step(leap)
			w.polls(3)
			w.eventually("the wrong clock is told", told)
			if got := w.ring(); got.Epoch != before.Epoch {
				t.Errorf("by a wrong clock the ring became %+v", got)
			}
			w.clock.step(-leap) // before they agree
			for _, component := range []string{"edge", "signer"} {
				w.fleet.set(component, fault{})
			}
			w.touch()
			w.eventually("the clock is right again", func() string {
				if bad := want(w.set().Status.Conditions, "ClockSkewed", "False AsExpected"); bad != "" {
					return bad
				}
				return w.unhealthy()
			})
			if got := w.ring(); got.Active().KID != second || got.Key(live[0]) == nil || got.NextSequence != before.NextSequence {
				t.Errorf("the leap left a trace: %+v", got)
			}
			if slices.Contains(w.events(), restored) {
				t.Error("the leap was taken for a restore")
			}
		})
	}
}
