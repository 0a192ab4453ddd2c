package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/hack/legacyapp"
	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// String says what a fleet has done.
func (f *fleet) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%d calls (%d by session, %d by token), %d refreshes, %d exchanges, %d times by /auth/continue; %d forced logouts, %d late ones out, refreshes refused and mended by the session %v, answers that were to be repeated %v",
		f.calls.Load(), f.bySession.Load(), f.byToken.Load(), f.refreshes.Load(), f.exchanges.Load(), f.continued.Load(), len(f.logouts), sum(f.ended), f.refused, f.trouble)
}

// nobodyOut checks that nobody was logged out who did nothing for it, and that everybody was taken for who they are.
func (w *rolloutWorld) nobodyOut(when string) {
	w.Helper()
	f := w.fleet
	w.Logf("%s: %s", when, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.logouts) > 0 {
		w.Fatalf("%s, %d were logged out, the first: %s", when, len(f.logouts), f.logouts[0])
	}
	if len(f.wrong) > 0 {
		w.Fatalf("%s, %d answers are wrong, the first: %s", when, len(f.wrong), f.wrong[0])
	}
}

// untroubled checks that nobody had to ask twice, but for a few on a busy machine.
func (w *rolloutWorld) untroubled(when string) {
	w.Helper()
	f := w.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if troubled := sum(f.trouble); int64(troubled) > f.calls.Load()/100 {
		w.Fatalf("%s, %d of %d calls came to nothing: %v", when, troubled, f.calls.Load(), f.trouble)
	}
	if len(f.refused) > 0 {
		w.Errorf("%s, refreshes were refused and only a session mended it: %v", when, f.refused)
	}
}

func sum(counts map[string]int) (all int) {
	for _, n := range counts {
		all += n
	}
	return all
}

// share checks who has tokens: the cohort to a man, and about as many as the percentage says. keep says of clients that
// keep their tokens themselves that they may have some from before: nothing takes those away.
func (w *rolloutWorld) share(percent int, keep bool) {
	w.Helper()
	cohort := rollout.Cohort{Salt: rolloutSalt, Percent: percent}
	all, have := 0, 0
	for _, c := range w.fleet.clients {
		if c.late {
			continue
		}
		has, in := c.holds.Load(), cohort.Has(c.user)
		if has && !in && keep && c.kind == apiClient {
			has = false
		}
		all++
		if has {
			have++
		}
		if has != in {
			w.Errorf("at %d%%: %s, kind %d, has tokens: %t, in the cohort: %t", percent, c.user, c.kind, has, in)
		}
	}
	p := float64(percent) / 100
	bound := 3.3*math.Sqrt(p*(1-p)*float64(all)) + 0.5
	if all >= 4000 {
		bound = 0.01 * float64(all)
	}
	w.Logf("at %d%%: %d of %d have tokens (%.2f%%)", percent, have, all, 100*float64(have)/float64(all))
	if off := math.Abs(float64(have) - p*float64(all)); off > bound {
		w.Errorf("at %d%%: %d of %d have tokens, which is %.1f from the share, more than %.1f", percent, have, all, off, bound)
	}
}

// at waits until a percentage is in force, and checks that everybody who is moved by it was moved once, and nobody else.
func (w *rolloutWorld) at(percent int, keep bool) {
	w.Helper()
	w.inForce(int32(percent)) //nolint:gosec // at most 100
	w.round(false)
	w.share(percent, keep)
}

// onceEach checks that nobody was moved twice since before, by one change of the percentage.
func (w *rolloutWorld) onceEach(when string, before map[*caller]int64) {
	w.Helper()
	moved := 0
	for c, n := range before {
		switch times := c.moved.Load() - n; {
		case times > 1:
			w.Errorf("%s: %s, kind %d, was moved %d times", when, c.user, c.kind, times)
		case times == 1:
			moved++
		}
	}
	w.Logf("%s: %d were moved, each once", when, moved)
}

// change gives a command and waits until it has moved everybody, each once.
func (w *rolloutWorld) change(action string, percent int, keep bool) {
	w.Helper()
	before := w.fleet.moves()
	w.command(action)
	w.at(percent, keep)
	w.onceEach(fmt.Sprintf("%s to %d%%", action, percent), before)
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
	must[string](w.T)(theStage.Kubectl(w.Context(), "patch", "-n", w.namespace, "aro/"+aro.Name, "--type=merge", "-p", patch))
}

// TestRollout takes a fleet with live sessions of an old application to tokens, back, and there again, and ends the
// sessions. Nobody who began anew once while everybody was in the cohort is ever logged out.
func TestRollout(t *testing.T) {
	size := 500
	if os.Getenv("KEYTURN_SOAK") == "1" {
		size = 5000
	}
	plan := rolloutPlan{namespace: "rollout", users: fleetUsers(size)}
	w := newRolloutWorld(t, plan)
	w.inForce(0)
	w.launch(plan)
	begun := time.Now()
	w.at(0, false)
	w.change("resume", 10, false) // this step is the guard's: the split is even
	w.change("promote", 50, false)
	w.change("promote", 100, false)
	w.change("abort", 0, true)
	for _, percent := range []int32{10, 50} {
		w.command("promote")
		w.inForce(percent)
	}
	w.change("promote", 100, false)
	w.untroubled("there again")
	w.end()
	took := time.Since(begun)
	w.Logf("%d clients, %d calls in %s, %.0f a second", size, w.fleet.calls.Load(), took.Round(time.Second), float64(w.fleet.calls.Load())/took.Seconds())
}

// end announces the end of the sessions and lets it come. Only the late ones still have nothing else.
func (w *rolloutWorld) end() {
	w.Helper()
	session := legacyapp.Cookie + "=" + w.lateSession
	user := w.front.User()
	w.schedule(time.Now().Add(time.Hour))
	w.eventually(func(ctx context.Context) (string, error) {
		answer, err := user.Call(ctx, "/orders", "Cookie", session)
		if h := answer.Header; err != nil || h.Get("Deprecation") == "" || h.Get("Sunset") == "" || h.Get("Link") == "" || answer.Status != http.StatusOK {
			return fmt.Sprintf("the answer to a session is %d with the headers %v", answer.Status, h), err
		}
		return "", nil
	})
	w.round(false)
	w.nobodyOut("after the announcement")

	// Between the edges' sunset and that of the token service, however short, a client mends the one at the other. So that not
	// all who are late do, they rest.
	w.fleet.resting.Store(true)
	begun := time.Now()
	w.schedule(begun)
	w.eventually(func(ctx context.Context) (string, error) {
		answer, err := user.Call(ctx, "/orders", "Cookie", session)
		if err != nil || answer.Status != http.StatusUnauthorized || answer.Code() != "legacy_session_sunset" {
			return fmt.Sprintf("the answer to a session is %d %s", answer.Status, answer.Code()), err
		}
		return "", nil
	})
	w.Logf("sessions are refused %s after the sunset was set", time.Since(begun).Round(10*time.Millisecond))
	w.everywhere("the sunset", func(r *snapshot.Rollout) bool { return r.SunsetReached })
	w.fleet.resting.Store(false)
	w.round(false)
	before := w.fleet.bySession.Load()
	w.round(true) // with the sessions refused and the access tokens over, the refresh tokens are what is left
	w.nobodyOut("after the sunset")
	w.untroubled("after the sunset")
	if after := w.fleet.bySession.Load(); after != before {
		w.Errorf("after the sunset %d calls were authorized by a session", after-before)
	}
	if w.fleet.continued.Load() == 0 {
		w.Error("no browser was led over /auth/continue")
	}
	w.lateOnes()
	w.eventually(func(ctx context.Context) (string, error) {
		aro, err := w.get(ctx)
		if err != nil || aro.Status.Stage != "Sunset" || aro.Status.SunsetReachedTime.IsZero() {
			return fmt.Sprintf("the status says %+v", aro.Status), err
		}
		return "", nil
	})
}

// everywhere waits until a change of the AuthRollout is in both documents, and every replica has loaded them.
func (w *rolloutWorld) everywhere(what string, has func(*snapshot.Rollout) bool) {
	w.Helper()
	read := func(ctx context.Context, name string) ([]byte, error) {
		var stored corev1.Secret
		err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: stage.Service + name}, &stored)
		return stored.Data["snapshot.json.gz"], err
	}
	w.eventually(func(ctx context.Context) (string, error) {
		rawEdge, errEdge := read(ctx, "-edge-snapshot")
		rawIssuer, errIssuer := read(ctx, "-issuer-snapshot")
		if err := errors.Join(errEdge, errIssuer); err != nil {
			return "", err
		}
		edge, errEdge := snapshot.DecodeEdge(rawEdge)
		issuer, errIssuer := snapshot.DecodeIssuer(rawIssuer)
		if err := errors.Join(errEdge, errIssuer); err != nil {
			return "", err
		}
		if edge.Rollout == nil || issuer.Rollout == nil || !has(edge.Rollout) || !has(issuer.Rollout) {
			return fmt.Sprintf("%s is not in the documents: %+v, %+v", what, edge.Rollout, issuer.Rollout), nil
		}
		var service keyturnv1alpha1.TokenService
		if err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: stage.Service}, &service); err != nil {
			return "", err
		}
		s := &service.Status
		if s.EdgeRevision < edge.Revision || s.IssuerRevision < issuer.Revision || s.Edge != "2/2" || s.Replicas != "1/1" {
			return fmt.Sprintf("%s has been loaded by %s token services and %s edges", what, s.Replicas, s.Edge), nil
		}
		return "", nil
	})
}

// lateOnes checks those who never exchanged of themselves. One whose call was under way while the edges had heard of the
// sunset and the token service had not goes on.
func (w *rolloutWorld) lateOnes() {
	w.Helper()
	w.eventually(func(context.Context) (string, error) {
		for _, c := range w.fleet.clients {
			if c.late && !c.out.Load() && !c.holds.Load() {
				return fmt.Sprintf("%s, kind %d, goes on without tokens", c.user, c.kind), nil
			}
		}
		return "", nil
	})
	w.fleet.stop()
	all, out := 0, 0
	for _, c := range w.fleet.clients {
		if c.late {
			all++
		}
		if c.late && c.out.Load() {
			out++
		}
	}
	w.Logf("%d of the %d who never exchanged have to log in: %v", out, all, w.fleet.ended)
	if out == 0 || sum(w.fleet.ended) != out {
		w.Errorf("%d of %d late ones are out, by %v", out, all, w.fleet.ended)
	}
	last := &caller{fleet: w.fleet, http: w.fleet.addresses[0], kind: cookieApp, cookies: map[string]string{legacyapp.Cookie: w.lateSession}}
	answer, ok := last.exchange(w.Context())
	if ok {
		w.Error("a session is exchanged after the sunset")
	}
	wantAnswer(w.T, "an exchange after the sunset", answer, nil, http.StatusUnauthorized, "legacy_session_sunset")
}
