package steering

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/rollout"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// healthy is a world in which nothing is forced: each user has a first device that is in use, and some log in on a second
// one. Users refresh at any replica; each edge asks one, to which its feed is connected.
type healthy struct {
	replicas, edges, users int
	percent                int
	second                 float64
}

const ttl = 15 * time.Minute

// logins are what the replicas count.
func (h healthy) logins(t *testing.T) rollout.Sides {
	doc := &snapshot.Rollout{Cookie: "sid", Salt: "x", Percent: h.percent, Watched: h.percent}
	s := made(t, doc)
	replicas := make([]Counter, h.replicas)
	r := rand.New(rand.NewPCG(1, 2))
	login := begin.Add(2 * time.Hour)
	type event struct {
		replica int
		user    string
	}
	const step = time.Minute
	at := map[time.Duration][]event{}
	devices := map[string]bool{}
	for u := range h.users {
		user := fmt.Sprint("u", u)
		if devices[user] = r.Float64() < h.second; !devices[user] {
			continue
		}
		every, pick := step, func() int { return r.IntN(h.edges) }
		if s.Side(user) == Cohort {
			every, pick = ttl, func() int { return r.IntN(h.replicas) }
		}
		for ago := time.Duration(r.Int64N(int64(every/step))) * step; ago < 2*ttl; ago += every {
			at[ago] = append(at[ago], event{pick(), user})
		}
	}
	for ago := 2 * ttl; ago >= 0; ago -= step {
		for _, e := range at[ago] {
			replicas[e.replica].Given(s, login.Add(-ago), e.user)
		}
	}
	for user := range devices {
		replicas[r.IntN(h.replicas)].Login(s, login, user, false, 0, ttl+ttl/3)
	}
	var sum rollout.Sides
	for i := range replicas {
		l := replicas[i].Status(s, begin).Logins
		sum = sum.Plus(rollout.Sides{Cohort: rollout.Counts(l.Cohort), Control: rollout.Counts(l.Control)})
	}
	return sum
}

// TestFairness: a healthy world fails no guard, with several replicas, nor where there are more users than places.
func TestFairness(t *testing.T) {
	guard := rollout.Guard{MinSamples: 1, MinLogins: 100, MaxForcedIncrease: 0.05, MaxIncrease: 0.005}
	for _, h := range []healthy{
		{replicas: 1, edges: 1, users: 6000, percent: 50, second: 0.5},
		{replicas: 2, edges: 1, users: 6000, percent: 50, second: 0.5},
		{replicas: 3, edges: 1, users: 6000, percent: 50, second: 0.15},
		{replicas: 3, edges: 1, users: 6000, percent: 50, second: 0.5},
		{replicas: 3, edges: 2, users: 6000, percent: 50, second: 0.5},
		{replicas: 5, edges: 1, users: 6000, percent: 50, second: 0.5},
		{replicas: 1, edges: 1, users: 120_000, percent: 10, second: 0.5},
	} {
		logins := h.logins(t)
		j := guard.Judge(rollout.Sample{Cohort: rollout.Counts{Events: 5000}, Control: rollout.Counts{Events: 5000}, Logins: logins})
		t.Logf("%+v: forced in the cohort %.1f %% of %d, control %.1f %% of %d", h, logins.Cohort.Rate()*100, logins.Cohort.Events, logins.Control.Rate()*100, logins.Control.Events)
		if j.Logins != rollout.Passed {
			t.Errorf("%+v: %q", h, j.Logins)
		}
	}
}
