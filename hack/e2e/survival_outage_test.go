package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/cluster/binaries"
	"github.com/keyturn/keyturn/hack/stage"
)

// TestRotationAcrossOutage: a rotation is due while the API server is down. Users notice nothing, and when it is back there is
// one rotation.
func TestRotationAcrossOutage(t *testing.T) {
	fast(t)
	eventually(t, inOrder)
	before := liveRing(t)
	next := before.Standby().KID
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := must[*stage.Load](t)(theStage.StartLoad(ctx, 2, bob, bobPassword, time.Second))
	defer load.Stop()
	request := keyturnv1alpha1.AnnotationRotateRequestedAt + "=outage"
	if _, err := theStage.Kubectl(ctx, "annotate", "-n", stage.Namespace, "sks", stage.KeySet, "--overwrite", request); err != nil {
		t.Fatal(err)
	}
	if err := theStage.Cluster.Kill(binaries.APIServer); err != nil {
		t.Fatal(err)
	}
	calls := load.Sent.Load()
	waitForCalls(t, load, calls+100)
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
}

// settle waits longer than eventually: the operator may have to take its lease again.
func settle(t *testing.T, probe func(context.Context) (string, error)) {
	t.Helper()
	if err := theStage.Await(t.Context(), 3*time.Minute, probe); err != nil {
		t.Fatal(err)
	}
}

// waitForCalls waits until the users have made so many calls, so that an outage lasts as long as its test says.
func waitForCalls(t *testing.T, load *stage.Load, calls int64) {
	t.Helper()
	eventually(t, func(context.Context) (string, error) {
		if load.Sent.Load() < calls {
			return fmt.Sprintf("%d calls", load.Sent.Load()), nil
		}
		return "", nil
	})
}
