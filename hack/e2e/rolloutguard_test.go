package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/rollout"
)

// guardInterval is the shortest that the API allows.
const guardInterval = 10 * time.Second

// TestRolloutGuard injects failures under fleets. Each has a world of its own, and all go on at the same time: most of
// what they do is to wait for the guard.
func TestRolloutGuard(t *testing.T) {
	for _, story := range []struct {
		name string
		tell func(*testing.T)
	}{
		{"one side fails, then both", oneSideThenBoth},
		{"the store of the tokens fails", tokenStoreFails},
		{"nobody can tell", nobodyCanTell},
		{"a brownout", brownout},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			story.tell(t)
		})
	}
}

// calm is for fleets whose members have nothing to do of their own accord but to call.
var calm = pace{call: time.Second, open: time.Hour}

// oneSideThenBoth: the application tells nonsense about sessions, first those of the cohort of the next step, which is
// taken back, then of everybody, which is not.
func oneSideThenBoth(t *testing.T) {
	plan := rolloutPlan{namespace: "rollout-failure", users: fleetUsers(240), pace: calm}
	w := newRolloutWorld(t, plan)
	w.launch(plan)
	w.at(0, false)
	w.change("promote", 10, false)

	cohort := rollout.Cohort{Salt: rolloutSalt, Percent: 50}
	begun := time.Now()
	w.app.Garble(cohort.Has)
	w.command("promote")
	back := w.rolledBack(begun, 50, 10)
	if s := back.Sample; s.Cohort.Failures == 0 || rate(s.Cohort) < 10*rate(s.Control) {
		t.Errorf("the evidence is %+v: the cohort's failures alone should be in it", s)
	}
	w.app.Garble(nil)
	w.at(10, true)
	w.nobodyOut("after the rollback")

	w.app.Garble(func(string) bool { return true })
	w.command("promote")
	w.inForce(50)
	both := false
	w.watch(5, func(s *keyturnv1alpha1.AuthRolloutStatus) string {
		if *s.Percent != 50 || !s.State.Rollback.At.Equal(&back.At) {
			return fmt.Sprintf("it went from 50%% to %d%%, the rollback is %+v", *s.Percent, s.State.Rollback)
		}
		both = both || rate(s.State.Judged.Cohort) > 0.2 && rate(s.State.Judged.Control) > 0.2
		return ""
	})
	if !both {
		t.Error("the guard has not seen that both sides fail")
	}
	w.app.Garble(nil)
	w.at(50, true)
	w.nobodyOut("after the failure of both")
}

func rate(c keyturnv1alpha1.RolloutCounts) float64 {
	return float64(c.Failures) / float64(max(c.Events, 1))
}

// rolledBack waits until the guard has taken a step back of its own accord, and returns the evidence. That takes four
// intervals at most from when every replica worked with the step, or from when it began to fail if that was later.
func (w *rolloutWorld) rolledBack(failing time.Time, from, to int32) keyturnv1alpha1.RolloutRollback {
	w.Helper()
	var back keyturnv1alpha1.RolloutRollback
	inForce := false
	w.eventually(func(ctx context.Context) (string, error) {
		aro, err := w.get(ctx)
		if err != nil {
			return "", err
		}
		if s := &aro.Status; s.State == nil || s.State.Rollback == nil {
			if s.Percent != nil && *s.Percent == from && !inForce && meta.IsStatusConditionTrue(s.Conditions, keyturnv1alpha1.ConditionInForce) {
				failing, inForce = time.Now(), true
			}
			return fmt.Sprintf("guard: %s, cohort %s, control %s, endpoints %s, replicas %s, waiting for %v", s.Guard.Summary, s.Guard.Cohort, s.Guard.Control, s.Guard.Endpoints, s.Replicas, s.WaitingFor), nil
		}
		back = *aro.Status.State.Rollback
		if last := aro.Status.History[0]; last.Change != "RolledBack" || last.From != from || last.To != to || last.Why == "" {
			w.Errorf("the history says %+v", last)
		}
		return "", nil
	})
	took := back.At.Sub(failing)
	w.Logf("rolled back from %d%% to %d%% %s after the failure began: %s, cohort %d of %d, control %d of %d, endpoints %d of %d", back.From, back.To, took.Round(time.Second),
		back.Verdict, back.Sample.Cohort.Failures, back.Sample.Cohort.Events, back.Sample.Control.Failures, back.Sample.Control.Events, back.Sample.Endpoints.Failures, back.Sample.Endpoints.Events)
	if back.From != from || back.To != to || took > 4*guardInterval {
		w.Errorf("rolled back from %d%% to %d%% after %s, want from %d%% to %d%% within four intervals of %s", back.From, back.To, took, from, to, guardInterval)
	}
	w.inForce(to)
	return back
}

// watch looks at the status for so many intervals of the guard; check tells what is wrong.
func (w *rolloutWorld) watch(intervals int, check func(*keyturnv1alpha1.AuthRolloutStatus) string) {
	w.Helper()
	until := time.Now().Add(time.Duration(intervals) * guardInterval)
	w.eventually(func(ctx context.Context) (string, error) {
		aro, err := w.get(ctx)
		if err != nil {
			return "", err
		}
		if wrong := check(&aro.Status); wrong != "" {
			w.Fatal(wrong)
		}
		if left := time.Until(until); left > 0 {
			return "the intervals are not over", nil
		}
		return "", nil
	})
}

// tokenStoreFails: the Redis of the token service dies for a while. Nobody refreshes, nobody exchanges, and sessions cannot
// be vouched for, so it fails for both sides. Whoever is refused meanwhile is not told to log in, nothing is promoted,
// and when the store is back everybody goes on.
func tokenStoreFails(t *testing.T) {
	plan := rolloutPlan{namespace: "rollout-store", users: fleetUsers(160), pace: pace{call: time.Second, open: 8 * time.Second}, shared: true}
	w := newRolloutWorld(t, plan)
	w.launch(plan)
	w.at(0, false)
	w.change("promote", 10, false)
	w.change("promote", 50, false)
	w.untroubled("before the failure")
	w.store.Kill()
	percent := 50
	w.watch(3, func(s *keyturnv1alpha1.AuthRolloutStatus) string {
		if percent = int(*s.Percent); percent > 50 {
			return fmt.Sprintf("with the store down it went to %d%%", percent)
		}
		return ""
	})
	if err := w.store.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.at(percent, true)
	w.nobodyOut("after the store came back")
}

// nobodyCanTell: a rollout that would go on of its own accord stays where it is while nobody calls, and while the
// counters of an edge cannot be read. When they can, it goes on.
func nobodyCanTell(t *testing.T) {
	plan := rolloutPlan{namespace: "rollout-blind", users: fleetUsers(160), pace: pace{call: time.Second, open: 30 * time.Second}, steps: `
  - {percent: 10, bake: 1s}
  - {percent: 50, bake: 1h}
  - {percent: 100}
`}
	w := newRolloutWorld(t, plan)
	w.command("promote")
	w.inForce(10)
	stays := func(s *keyturnv1alpha1.AuthRolloutStatus) string {
		if *s.Percent != 10 || s.State.Rollback != nil || len(s.History) != 1 {
			return fmt.Sprintf("without data it went to %d%%: %+v", *s.Percent, s.History)
		}
		return ""
	}
	w.watch(3, stays)
	thaw := w.freeze(keyturnv1alpha1.ComponentEdge)
	w.launch(plan)
	blind := false
	w.watch(5, func(s *keyturnv1alpha1.AuthRolloutStatus) string {
		blind = blind || s.Guard.Summary == "NoData"
		return stays(s)
	})
	if !blind {
		t.Error("the status does not say that there is no data")
	}
	thaw()
	w.inForce(50)
	w.at(50, false)
	w.nobodyOut("after an edge that could not be read")
}
