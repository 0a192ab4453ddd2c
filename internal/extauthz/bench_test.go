package extauthz

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/token"
)

// BenchmarkDecide is one decision without its protocol. The first two are what those pay who have moved, or never had
// anything else.
func BenchmarkDecide(b *testing.B) {
	raw := mint(b, signingKeys()[0], func(c *token.Claims) { c.ExpiresAt = c.IssuedAt.Add(time.Hour) })
	plain := question{protocol: "nginx", policy: "-/default", method: "GET", scheme: "https", host: "app.example.test", target: "/orders/1", peer: loopback,
		authorization: []string{"Bearer " + raw}}
	other, dual := plain, plain
	other.page.cookies = []string{"theme=dark; lang=en"}
	dual.page.cookies = []string{legacyName + "=ann.1"}
	for name, c := range map[string]struct {
		world func(testing.TB) *world
		q     question
	}{
		"token, no rollout":             {newWorld, plain},
		"token, rollout":                {func(t testing.TB) *world { return newLegacyWorld(t) }, plain},
		"token and cookies, no rollout": {newWorld, other},
		"token and cookies, rollout":    {func(t testing.TB) *world { return newLegacyWorld(t) }, other},
		"token and session":             {func(t testing.TB) *world { return newLegacyWorld(t) }, dual},
		"session":                       {func(t testing.TB) *world { return newLegacyWorld(t) }, byCookie("ann.1")},
	} {
		b.Run(name, func(b *testing.B) {
			w := c.world(b)
			b.ReportAllocs()
			for b.Loop() {
				if out := w.decide(b.Context(), c.q); !out.Allow {
					b.Fatal(out.Reason)
				}
			}
		})
	}
}

// A token costs no more where there is a rollout than a few small things, and nothing at all where there is none: no
// allocation, and never a question.
func TestTokensStayCheap(t *testing.T) {
	raw := mint(t, signingKeys()[0])
	q := question{protocol: "nginx", policy: "-/default", method: "GET", scheme: "https", host: "app.example.test", target: "/orders/1", peer: loopback,
		authorization: []string{"Bearer " + raw}}
	allocations := func(w *world) float64 {
		return testing.AllocsPerRun(200, func() {
			if out := w.decide(t.Context(), q); !out.Allow {
				t.Fatal(out.Reason)
			}
		})
	}
	without, with := allocations(newWorld(t)), allocations(newLegacyWorld(t))
	if with > without+3 {
		t.Errorf("%v allocations with a rollout, %v without", with, without)
	}
	t.Logf("%v allocations with a rollout, %v without", with, without)
}
