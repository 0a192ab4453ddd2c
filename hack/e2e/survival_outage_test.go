package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/cluster/binaries"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
)

// TestRotationAcrossOutage: a rotation falls due while the API server is down. Users log in, call and refresh as if nothing were,
// the tokens still come from the old key, and when the API server is back there is one rotation.
func TestRotationAcrossOutage(t *testing.T) {
	fast(t)
	defer fast(t)
	eventually(t, inOrder)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := must[*stage.Load](t)(theStage.StartLoad(ctx, 2, bob, bobPassword, time.Second))
	defer load.Stop()
	before, due := downBeforeDue(t)
	defer func() {
		if t.Failed() { // the tests after this one need an API server
			_ = theStage.Cluster.Restart(context.WithoutCancel(t.Context()), binaries.APIServer)
		}
	}()
	next := before.Standby().KID
	calls, refreshes := load.Sent.Load(), load.Refreshed.Load()
	user := theStage.User()
	tokens := login(t, user, alice, alicePassword)
	settle(t, func(context.Context) (string, error) {
		if load.Sent.Load() < calls+100 || load.Refreshed.Load() < refreshes+4 || !time.Now().After(due) {
			return fmt.Sprintf("%d calls and %d refreshes, the rotation is due at %s", load.Sent.Load()-calls, load.Refreshed.Load()-refreshes, due), nil
		}
		return "", nil
	})
	tokens, answer, err := user.Refresh(ctx, tokens.Refresh)
	wantAnswer(t, "a refresh when the rotation is due and the API server down", answer, err, http.StatusOK, "")
	remember(tokens)
	if kid := kidOf(t, tokens.Access); kid != before.Active().KID {
		t.Errorf("key %.8s signs while the API server is down, want %.8s", kid, before.Active().KID)
	}
	if err := theStage.Cluster.Restart(ctx, binaries.APIServer); err != nil {
		t.Fatal(err)
	}
	settle(t, func(ctx context.Context) (string, error) {
		ring, ok := tryRing(ctx)
		if !ok || ring.Active() == nil || ring.Active().KID != next {
			return "the rotation that was due did not come", nil
		}
		return inOrder(ctx)
	})
	load.Stop()
	if got := liveRing(t); got.NextSequence-before.NextSequence > 1 {
		t.Errorf("%d keys were made, want 1", got.NextSequence-before.NextSequence)
	}
	if load.Refused.Load() > 0 {
		t.Errorf("%d of %d calls refused; the first: %s", load.Refused.Load(), load.Sent.Load(), load.FirstRefusal())
	}
	answer, err = user.CallAs(t.Context(), "/orders", tokens.Access)
	wantAnswer(t, "a token from the outage", answer, err, http.StatusOK, "")
}

// downBeforeDue asks for a rotation for which the next key has not been published long enough yet, and kills the API server before
// it has. It returns the ring and when the rotation is due. A machine that is too slow for that gets more time.
func downBeforeDue(t *testing.T) (before *keys.Ring, due time.Time) {
	t.Helper()
	for ahead := 15 * time.Second; ahead <= 2*time.Minute; ahead *= 2 {
		before = liveRing(t)
		published := before.Standby().Published
		prePublish := (time.Since(published) + ahead).Round(time.Millisecond)
		due = published.Add(prePublish)
		patch(t, "sks", stage.KeySet, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}},"spec":{"rotation":{"interval":"48h","prePublish":%q}}}`,
			keyturnv1alpha1.AnnotationRotateRequestedAt, due.Format(time.RFC3339Nano), prePublish))
		eventually(t, func(ctx context.Context) (string, error) {
			set, err := theStage.KeySet(ctx)
			if err != nil || set.Status.ObservedGeneration == set.Generation {
				return "", err
			}
			return "the operator has not seen the request", nil
		})
		if err := theStage.Cluster.Kill(binaries.APIServer); err != nil {
			t.Fatal(err)
		}
		if time.Now().Before(due) {
			return before, due
		}
		if err := theStage.Cluster.Restart(t.Context(), binaries.APIServer); err != nil {
			t.Fatal(err)
		}
		awaitManager(t, time.Now())
		settle(t, inOrder)
	}
	t.Fatal("the API server could not be stopped before the rotation was due")
	return nil, due
}

// settle waits longer than eventually: the operator may have to take its lease again.
func settle(t *testing.T, probe func(context.Context) (string, error)) {
	t.Helper()
	if err := theStage.Await(t.Context(), 3*time.Minute, probe); err != nil {
		t.Fatal(err)
	}
}
