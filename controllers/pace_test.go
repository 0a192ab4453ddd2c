package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// TestPace: the more sets there are, the less often each is polled; what they cost together stays the same.
func TestPace(t *testing.T) {
	var p pace
	for _, row := range []struct {
		sets int
		poll time.Duration
	}{{0, 30 * time.Second}, {500, 30 * time.Second}, {1000, time.Minute}, {10000, 10 * time.Minute}} {
		for i := range row.sets {
			name := types.NamespacedName{Namespace: "n", Name: fmt.Sprint(i)}
			p.note(name)
			p.note(name)
		}
		if got := p.poll(30 * time.Second); got != row.poll {
			t.Errorf("%d sets are polled every %s, want %s", row.sets, got, row.poll)
		}
	}
	for i := range 9000 {
		p.forget(types.NamespacedName{Namespace: "n", Name: fmt.Sprint(i)})
	}
	if got := p.poll(30 * time.Second); got != time.Minute {
		t.Errorf("after 9,000 were deleted: %s", got)
	}
}

// TestWaitingPause: the longer replicas have been waited for, the less often they are looked at.
func TestWaitingPause(t *testing.T) {
	for _, row := range []struct{ waited, want time.Duration }{
		{-time.Hour, 500 * time.Millisecond}, {0, 500 * time.Millisecond}, {10 * time.Second, 500 * time.Millisecond},
		{20 * time.Second, time.Second}, {time.Minute, 3 * time.Second}, {100 * time.Second, 5 * time.Second},
		{time.Hour, 5 * time.Second}, {1<<63 - 1, 5 * time.Second},
	} {
		if got := waitingPause(row.waited); got != row.want {
			t.Errorf("after %s: %s, want %s", row.waited, got, row.want)
		}
	}
}

// TestWaits: a wait begins anew for another revision and for one replica more, and not when one of several has answered.
func TestWaits(t *testing.T) {
	var w waits
	set, now := types.NamespacedName{Namespace: "n", Name: "s"}, noon
	for i, row := range []struct {
		later    time.Duration
		revision int64
		pods     []string
		want     time.Duration
	}{
		{0, 1, []string{"a", "b"}, pollWaiting},
		{time.Minute, 1, []string{"a", "b"}, 3 * time.Second},
		{time.Minute, 1, []string{"b"}, pollWaitingMax},
		{time.Second, 1, []string{"a", "b"}, pollWaiting}, // a has lost it again
		{time.Minute, 1, []string{"a", "b"}, 3 * time.Second},
		{time.Second, 2, []string{"a", "b"}, pollWaiting},
		{time.Minute, 2, []string{"a", "b"}, 3 * time.Second},
		{-time.Hour, 2, []string{"a", "b"}, pollWaiting}, // the clock was set back
		{time.Minute, 2, nil, 3 * time.Second},           // something else is waited for
	} {
		now = now.Add(row.later)
		if got := w.pause(set, row.revision, row.pods, now); got != row.want {
			t.Errorf("row %d: %s, want %s", i, got, row.want)
		}
	}
	if w.forget(set); w.pause(set, 2, nil, now) != pollWaiting {
		t.Error("a wait that ended goes on")
	}
}

// TestPauseOfASet: the longer it waits the less often it is looked at, but not while a key leaks.
func TestPauseOfASet(t *testing.T) {
	for name, row := range map[string]struct {
		plan             keys.Plan
		atOnce, hourLate time.Duration
	}{
		"settled":     {keys.Plan{}, pollSteady, pollSteady},
		"due":         {keys.Plan{Requeue: time.Second}, time.Second, time.Second},
		"waiting":     {keys.Plan{Waiting: []string{"a"}}, pollWaiting, pollWaitingMax},
		"and due":     {keys.Plan{Waiting: []string{"a"}, Requeue: time.Second}, pollWaiting, time.Second},
		"leaking":     {keys.Plan{Waiting: []string{"a"}, Findings: []keys.Finding{{Kind: keys.RevocationPending}}}, pollRevocation, pollRevocation},
		"unconfirmed": {keys.Plan{Waiting: []string{"a"}, Findings: []keys.Finding{{Kind: keys.RevocationUnconfirmed}}}, pollWaiting, pollReference},
	} {
		clock := &steppedClock{now: noon}
		r := &signingKeySetReconciler{base: &base{now: clock.Now, steady: pollSteady}}
		set, seen := &keyturnv1alpha1.SigningKeySet{}, &observedSet{plan: row.plan}
		if got := r.pause(set, seen); got != row.atOnce {
			t.Errorf("%s: %s at once, want %s", name, got, row.atOnce)
		}
		clock.step(time.Hour)
		if got := r.pause(set, seen); got != row.hourLate {
			t.Errorf("%s: %s an hour later, want %s", name, got, row.hourLate)
		}
	}
}

// TestPatienceWithSilentReplicas: none while somebody waits for a revocation.
func TestPatienceWithSilentReplicas(t *testing.T) {
	for _, row := range []struct {
		of   revoking
		want time.Duration
	}{
		{revoking{pending: -1}, silencePauseMax}, {revoking{pending: 0}, askEverybody}, {revoking{pending: youngRevocation - 1}, askEverybody},
		{revoking{pending: youngRevocation}, silenceRevoking}, {revoking{pending: time.Hour, takeover: true}, askEverybody},
		{revoking{pending: -1, takeover: true}, askEverybody},
	} {
		if got := row.of.patience(); got != row.want {
			t.Errorf("%+v: %s, want %s", row.of, got, row.want)
		}
	}
}
