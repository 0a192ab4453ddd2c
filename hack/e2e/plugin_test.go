package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
)

// shown is what `kubectl keyturn keys -o json` prints, as far as this test reads it.
type shown struct {
	Sets []struct {
		Epoch  int64  `json:"epoch"`
		Active string `json:"activeKid"`
		Keys   []struct {
			KID   string `json:"kid"`
			State string `json:"state"`
		} `json:"keys"`
	} `json:"sets"`
}

// TestPlugin asks `kubectl keyturn keys` all through a rotation, and holds every answer against the ring.
func TestPlugin(t *testing.T) {
	fast(t)
	eventually(t, inOrder)
	seen := map[string]bool{shownAtRest(t): true}
	before := liveRing(t)
	ctx, done := context.WithCancel(t.Context())
	var command sync.WaitGroup
	defer command.Wait()
	defer done()
	command.Go(func() {
		defer done()
		if out, err := theStage.Plugin(ctx, "rotate", stage.KeySet, "-n", stage.Namespace, "--wait"); err != nil || !strings.Contains(out, "signs in place of "+before.Active().KID[:8]) {
			t.Errorf("rotate --wait: %v\n%s", err, out)
		}
	})
	for ctx.Err() == nil {
		if steps := compareOnce(t); steps != "" {
			seen[steps] = true
		}
	}
	eventually(t, inOrder)
	seen[shownAtRest(t)] = true
	if len(seen) < 2 {
		t.Errorf("only the states %v were seen: the rotation went by unnoticed", seen)
	}
	out := must[string](t)(theStage.Plugin(t.Context(), "keys", "-n", stage.Namespace))
	for _, want := range []string{liveRing(t).Active().KID[:8], "Active", "Retiring", "Published", "now"} {
		if !strings.Contains(out, want) {
			t.Errorf("keys does not show %q:\n%s", want, out)
		}
	}
	eventually(t, func(ctx context.Context) (string, error) { // it looks at more than inOrder does
		out, err := theStage.Plugin(ctx, "status", "-n", stage.Namespace)
		if !strings.Contains(out, "Everything is in order") {
			return "status says\n" + out, err
		}
		return "", err
	})
	if out := must[string](t)(theStage.Plugin(t.Context(), "user", "list", "-n", stage.Namespace)); !strings.Contains(out, "staff:alice") {
		t.Errorf("user list says\n%s", out)
	}
}

// shownAtRest asks until the ring does not move meanwhile, and returns the states that were shown.
func shownAtRest(t *testing.T) (steps string) {
	t.Helper()
	eventually(t, func(context.Context) (string, error) {
		if steps = compareOnce(t); steps == "" {
			return "the ring moves", nil
		}
		return "", nil
	})
	return steps
}

// compareOnce asks once. It returns the states that were shown, or nothing if the ring moved meanwhile.
func compareOnce(t *testing.T) string {
	t.Helper()
	first, ok := tryRing(t.Context())
	if !ok {
		return ""
	}
	var answer shown
	raw := must[string](t)(theStage.Plugin(t.Context(), "keys", stage.KeySet, "-n", stage.Namespace, "-o", "json"))
	if err := json.Unmarshal([]byte(raw), &answer); err != nil || len(answer.Sets) != 1 {
		t.Fatalf("%v\n%s", err, raw)
	}
	last, ok := tryRing(t.Context())
	if !ok || first.Epoch != last.Epoch || answer.Sets[0].Epoch != first.Epoch {
		return ""
	}
	var steps []string
	for _, k := range answer.Sets[0].Keys {
		in := first.Key(k.KID)
		if in == nil && keys.State(k.State) == keys.Pending {
			continue // announced, see compare
		}
		if in == nil || string(in.State) != k.State {
			t.Errorf("key %.8s is shown as %s, in the ring it is %+v", k.KID, k.State, in)
		}
		steps = append(steps, fmt.Sprintf("%.8s %s", k.KID, k.State))
	}
	if answer.Sets[0].Active != first.Active().KID {
		t.Errorf("the active key is shown as %.8s", answer.Sets[0].Active)
	}
	slices.Sort(steps)
	return strings.Join(steps, ", ")
}
