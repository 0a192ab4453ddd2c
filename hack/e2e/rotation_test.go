package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
)

// rotations is how many rotations run under load: a few, or more with KEYTURN_SOAK=1. A retired key verifies for 17 minutes
// here, and a ring of 16 keys waits for one to go, so there is no point in more than ten at this pace.
func rotations() int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return 10
	}
	return 2
}

// fast scales the waits of the sample key set down to seconds. It stays for all tests.
func fast(t *testing.T) {
	t.Helper()
	if _, err := theStage.Kubectl(t.Context(), "patch", "sks", stage.KeySet, "-n", stage.Namespace, "--type=merge", "-p", stage.FastRotation); err != nil {
		t.Fatal(err)
	}
}

// TestRotationsUnderLoad rotates while users call and refresh, and looks at the status all the time.
func TestRotationsUnderLoad(t *testing.T) {
	fast(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := must[*stage.Load](t)(theStage.StartLoad(ctx, 4, bob, bobPassword, time.Second))
	defer load.Stop()
	witness := watchTruth(ctx, t)
	defer witness()
	defer cancel()
	for range rotations() {
		from, to, err := theStage.Rotate(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if from == to || from == "" {
			t.Fatalf("rotated from %q to %q", from, to)
		}
	}
	load.Stop()
	cancel()
	seen := witness()
	t.Logf("%d rotations: %d calls and %d refreshes, %d refused; %d looks at the status", rotations(), load.Sent.Load(), load.Refreshed.Load(), load.Refused.Load(), seen)
	if load.Refused.Load() != 0 || load.Sent.Load() < 100 || load.Refreshed.Load() == 0 {
		t.Errorf("%d of %d calls refused, %d refreshes; the first: %s", load.Refused.Load(), load.Sent.Load(), load.Refreshed.Load(), load.FirstRefusal())
	}
}

// watchTruth holds what people see against the ring, again and again, until ctx ends. It returns how often.
func watchTruth(ctx context.Context, t *testing.T) (wait func() int) {
	t.Helper()
	looks := 0
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			before, ok := tryRing(ctx)
			if !ok {
				continue
			}
			set, err := theStage.KeySet(ctx)
			if err != nil {
				continue
			}
			after, ok := tryRing(ctx)
			if !ok {
				continue
			}
			looks++
			if lie := compare(set, before, after); lie != "" {
				t.Errorf("the status lies: %s", lie)
				return
			}
		}
	})
	return func() int {
		done.Wait()
		return looks
	}
}

// compare returns what the status says that no ring between the two reads can have said. A status may be one write
// late, never ahead and never of its own making.
func compare(set *keyturnv1alpha1.SigningKeySet, before, after *keys.Ring) string {
	status := &set.Status
	if status.Epoch > after.Epoch {
		return fmt.Sprintf("epoch %d, the ring has %d", status.Epoch, after.Epoch)
	}
	active := 0
	for _, k := range status.Keys {
		if k.State == keyturnv1alpha1.KeyActive {
			active++
			if k.Kid != status.ActiveKid {
				return "activeKid is not the key in state Active"
			}
		}
	}
	if active != 1 {
		return fmt.Sprintf("%d keys are Active", active)
	}
	if status.Epoch != before.Epoch || before.Epoch != after.Epoch {
		return "" // a write in between: only what holds at any time can be said
	}
	for _, k := range status.Keys {
		known := before.Key(k.Kid)
		if known == nil && k.State == keyturnv1alpha1.KeyPending {
			continue // announced: a key is in the status before the ring names it
		}
		if known == nil || string(known.State) != string(k.State) {
			return fmt.Sprintf("key %.8s is %s, in the ring it is %+v", k.Kid, k.State, known)
		}
	}
	if len(status.Keys) < len(before.Keys) {
		return fmt.Sprintf("%d keys, the ring has %d", len(status.Keys), len(before.Keys))
	}
	return ""
}

// TestTables holds the columns that people read.
func TestTables(t *testing.T) {
	fast(t)
	if _, _, err := theStage.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, inOrder)
	ring := liveRing(t)
	out := must[string](t)(theStage.Kubectl(t.Context(), "get", "-n", stage.Namespace, "sks,tpol,tsvc", "-o", "wide"))
	for _, want := range []string{ring.Active().KID[:8], "RS256", "True", "rotate ", "web", "15m", theStage.URL, "1/1", "2/2"} {
		if !strings.Contains(out, want) {
			t.Errorf("kubectl get does not show %q:\n%s", want, out)
		}
	}
	out = must[string](t)(theStage.Kubectl(t.Context(), "describe", "-n", stage.Namespace, "sks", stage.KeySet))
	for _, want := range []string{"Ready", "Published", "StandbyReady", "Retiring", "Acknowledged", "Requested"} {
		if !strings.Contains(out, want) {
			t.Errorf("kubectl describe does not show %q:\n%s", want, out)
		}
	}
	kinds := must[string](t)(theStage.Kubectl(t.Context(), "get", "keyturn", "-n", stage.Namespace, "-o", "name"))
	got := slices.DeleteFunc(strings.Fields(kinds), func(name string) bool { // other tests leave some
		return strings.HasPrefix(name, "revocation.keyturn.dev/")
	})
	if !slices.Contains(got, "tokenservice.keyturn.dev/web") || len(got) != 4 {
		t.Errorf("kubectl get keyturn: %v", got)
	}
}
