package e2e

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// brownout: for a while half of the sessions are refused, of clients that have nothing else. All mend it: an application
// by the exchange, a browser by the page that it is sent to, and go on with tokens.
func brownout(t *testing.T) {
	plan := rolloutPlan{namespace: "rollout-brownout", users: fleetUsers(240), pace: calm}
	w := newRolloutWorld(t, plan)
	w.launch(plan)
	w.at(0, false)
	now := time.Now()
	at := func(after time.Duration) string { return now.Add(after).UTC().Format(time.RFC3339) }
	patch := func(spec string) {
		t.Helper()
		must[string](t)(theStage.Kubectl(t.Context(), "patch", "-n", w.namespace, "aro/web", "--type=merge", "-p", `{"spec":`+spec+`}`))
	}
	patch(fmt.Sprintf(`{"deprecation":{"at":%q},"sunset":{"at":%q}}`, at(-time.Hour), at(24*time.Hour)))
	cookie := legacyapp.Cookie + "=" + w.fleet.clients[0].session
	user := w.front.User()
	w.eventually(func(ctx context.Context) (string, error) {
		for range 8 { // of both edges
			answer, err := user.Call(ctx, "/orders", "Cookie", cookie)
			if err != nil || answer.Status != http.StatusOK || answer.Header.Get("Deprecation") == "" {
				return fmt.Sprintf("%d with the headers %v", answer.Status, answer.Header), err
			}
			user.Forget()
		}
		return "", nil
	})
	patch(fmt.Sprintf(`{"brownouts":[{"start":%q,"duration":"10m","percent":50}]}`, at(-time.Minute)))
	w.everywhere("the brownout", func(r *snapshot.Rollout) bool { return len(r.Brownouts) == 1 })
	// The first turn that ends may have begun before; from the second on whoever is not refused is not meant.
	before := map[*caller]int64{}
	for _, c := range w.fleet.clients {
		before[c] = c.served.Load()
	}
	all := len(w.fleet.clients)
	w.eventually(func(context.Context) (string, error) {
		for _, c := range w.fleet.clients {
			if c.served.Load() < before[c]+3 {
				return fmt.Sprintf("%s, kind %d, has been served %d times in the brownout; it refused %d calls", c.user, c.kind, c.served.Load()-before[c], w.fleet.brownouts.Load()), nil
			}
		}
		return "", nil
	})
	w.nobodyOut("in the brownout")
	met, byPage := 0, 0
	for _, c := range w.fleet.clients {
		if c.brown.Load() != c.holds.Load() {
			t.Errorf("%s, kind %d, was refused: %t, has tokens: %t", c.user, c.kind, c.brown.Load(), c.holds.Load())
		}
		if c.out.Load() {
			t.Errorf("%s, kind %d, is out", c.user, c.kind)
		}
		if c.brown.Load() {
			met++
			if c.kind == pageBrowser {
				byPage++
			}
		}
	}
	t.Logf("the brownout met %d of %d, %d of them browsers", met, all, byPage)
	if off := math.Abs(float64(met) - float64(all)/2); off > 3.3*math.Sqrt(float64(all)/4)+1 || byPage == 0 {
		t.Errorf("a brownout of 50 %% met %d of %d, %d of them browsers", met, all, byPage)
	}
}
