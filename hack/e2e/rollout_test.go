package e2e

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/internal/rollout"
)

// nobodyOut checks that nobody was logged out who did nothing for it, and that everybody was taken for who they are.
func (w *rolloutWorld) nobodyOut(when string) {
	w.Helper()
	f := w.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	troubled := 0
	for _, n := range f.trouble {
		troubled += n
	}
	w.Logf("%s: %d calls (%d by session, %d by token), %d refreshes, %d exchanges, %d times by /auth/continue; %d forced logouts, %d late ones out, %d answers that were to be repeated",
		when, f.calls.Load(), f.bySession.Load(), f.byToken.Load(), f.refreshes.Load(), f.exchanges.Load(), f.continued.Load(), len(f.logouts), sum(f.ended), troubled)
	if len(f.logouts) > 0 {
		w.Fatalf("%s, %d were logged out, the first: %s", when, len(f.logouts), f.logouts[0])
	}
	if len(f.wrong) > 0 {
		w.Fatalf("%s, %d answers are wrong, the first: %s", when, len(f.wrong), f.wrong[0])
	}
	if int64(troubled) > f.calls.Load()/100 {
		w.Fatalf("%s, %d of %d calls came to nothing: %v", when, troubled, f.calls.Load(), f.trouble)
	}
}

func sum(counts map[string]int) (all int) {
	for _, n := range counts {
		all += n
	}
	return all
}

// share checks who has tokens: the cohort to a man, and about as many as the percentage says.
func (w *rolloutWorld) share(percent int) {
	w.Helper()
	cohort := rollout.Cohort{Salt: rolloutSalt, Percent: percent}
	all, have := 0, 0
	for _, c := range w.fleet.clients {
		if c.late {
			continue
		}
		all++
		if c.holds.Load() {
			have++
		}
		if c.holds.Load() != cohort.Has(c.user) {
			w.Errorf("at %d%%: %s, kind %d, has tokens: %t, in the cohort: %t", percent, c.user, c.kind, c.holds.Load(), cohort.Has(c.user))
		}
	}
	p := float64(percent) / 100
	bound := 3.3*math.Sqrt(p*(1-p)*float64(all)) + 0.5
	w.Logf("at %d%%: %d of %d have tokens (%.1f%%)", percent, have, all, 100*float64(have)/float64(all))
	if off := math.Abs(float64(have) - p*float64(all)); off > bound {
		w.Errorf("at %d%%: %d of %d have tokens, which is %.1f from the share, more than %.1f", percent, have, all, off, bound)
	}
}

func (w *rolloutWorld) at(percent int) {
	w.Helper()
	w.inForce(int32(percent)) //nolint:gosec // at most 100
	w.openings(2)
	w.share(percent)
	w.nobodyOut(fmt.Sprintf("at %d%%", percent))
}

// schedule announces the end, and sets it.
func (w *rolloutWorld) schedule(sunset time.Time) {
	w.Helper()
	aro, err := w.get(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	now := time.Now()
	link := "https://www.example.com/new-login"
	patch := fmt.Sprintf(`{"spec":{"deprecation":{"at":%q,"link":%q},"sunset":{"at":%q,"requireLegacyBelow":"100%%","maxExtension":"0s"}}}`,
		now.Add(-time.Hour).UTC().Format(time.RFC3339), link, sunset.UTC().Format(time.RFC3339))
	must[string](w.T)(theStage.Kubectl(w.Context(), "patch", "-n", rolloutNamespace, "aro/"+aro.Name, "--type=merge", "-p", patch))
}

// TestRollout takes a fleet with live sessions of an old application to tokens, back, and there again, and ends the
// sessions. Nobody who began anew once while everybody was in the cohort is ever logged out.
func TestRollout(t *testing.T) {
	size := 120
	if os.Getenv("KEYTURN_SOAK") == "1" {
		size = 5000
	}
	users := fleetUsers(size)
	w := newRolloutWorld(t, users)
	w.inForce(0)
	w.fleet, w.lateSession = newFleet(t, w.front, w.app, users)
	w.at(0)
	w.command("resume") // the rest is the guard's: the split is even
	w.at(10)
	w.command("promote")
	w.at(50)
	w.command("promote")
	w.at(100)

	w.command("abort")
	w.inForce(0)
	w.openings(3)
	w.nobodyOut("after the way back")
	for _, c := range w.fleet.clients {
		if bearer := c.kind == apiClient && !c.late; c.holds.Load() != bearer {
			t.Errorf("after the way back: %s, kind %d, has tokens: %t, want %t", c.user, c.kind, c.holds.Load(), bearer)
		}
	}
	for _, percent := range []int32{10, 50, 100} {
		w.command("promote")
		w.inForce(percent)
	}
	w.openings(2)
	w.share(100)
	w.nobodyOut("there again")
	w.end()
}

// end announces the end of the sessions and lets it come. Only the late ones still have nothing else.
func (w *rolloutWorld) end() {
	w.Helper()
	session := legacyapp.Cookie + "=" + w.lateSession
	user := w.front.User()
	w.schedule(time.Now().Add(time.Hour))
	eventually(w.T, func(ctx context.Context) (string, error) {
		answer, err := user.Call(ctx, "/orders", "Cookie", session)
		if h := answer.Header; err != nil || h.Get("Deprecation") == "" || h.Get("Sunset") == "" || h.Get("Link") == "" || answer.Status != http.StatusOK {
			return fmt.Sprintf("the answer to a session is %d with the headers %v", answer.Status, h), err
		}
		return "", nil
	})
	w.openings(1)
	w.nobodyOut("after the announcement")

	begun := time.Now()
	w.schedule(begun)
	eventually(w.T, func(ctx context.Context) (string, error) {
		answer, err := user.Call(ctx, "/orders", "Cookie", session)
		if err != nil || answer.Status != http.StatusUnauthorized || answer.Code() != "legacy_session_sunset" {
			return fmt.Sprintf("the answer to a session is %d %s", answer.Status, answer.Code()), err
		}
		return "", nil
	})
	w.Logf("sessions are refused %s after the sunset was set", time.Since(begun).Round(10*time.Millisecond))
	w.openings(3)
	w.nobodyOut("after the sunset")
	before := w.fleet.bySession.Load()
	w.openings(1)
	if after := w.fleet.bySession.Load(); after != before {
		w.Errorf("after the sunset %d calls were authorized by a session", after-before)
	}
	if w.fleet.continued.Load() == 0 {
		w.Error("no browser was led over /auth/continue")
	}
	w.fleet.stop()
	w.lateOnes()
	aro, err := w.get(w.Context())
	if err != nil || aro.Status.Stage != "Sunset" || aro.Status.SunsetReachedTime.IsZero() {
		w.Errorf("the status says %+v (error %v)", aro.Status, err)
	}
}

// lateOnes checks those who never exchanged of themselves. The edges may hear of the sunset a moment before the token
// service: whoever is refused by the one and mends it at the other in that moment goes on.
func (w *rolloutWorld) lateOnes() {
	w.Helper()
	all, out := 0, 0
	for _, c := range w.fleet.clients {
		switch {
		case !c.late:
			continue
		case c.out.Load():
			out++
		case !c.holds.Load():
			w.Errorf("%s, kind %d, goes on without tokens", c.user, c.kind)
		}
		all++
	}
	w.Logf("%d of the %d who never exchanged have to log in: %v", out, all, w.fleet.ended)
	if out == 0 || sum(w.fleet.ended) != out {
		w.Errorf("%d of %d late ones are out, by %v", out, all, w.fleet.ended)
	}
	last := &caller{fleet: w.fleet, kind: cookieApp, cookies: map[string]string{legacyapp.Cookie: w.lateSession}}
	answer, ok := last.exchange(w.Context())
	if ok {
		w.Error("a session is exchanged after the sunset")
	}
	wantAnswer(w.T, "an exchange after the sunset", answer, nil, http.StatusUnauthorized, "legacy_session_sunset")
}
