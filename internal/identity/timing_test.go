package identity

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

// rankZ is the Mann–Whitney statistic of two samples as a standard normal deviate: far from 0 if one tends to be larger.
func rankZ(a, b []time.Duration) float64 {
	type value struct {
		d      time.Duration
		second bool
	}
	var all []value
	for _, d := range a {
		all = append(all, value{d, false})
	}
	for _, d := range b {
		all = append(all, value{d, true})
	}
	slices.SortFunc(all, func(x, y value) int { return cmp.Compare(x.d, y.d) })
	sum := 0.0
	for rank, v := range all {
		if v.second {
			sum += float64(rank + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	mean, deviation := m*(n+m+1)/2, math.Sqrt(n*m*(n+m+1)/12)
	return (sum - mean) / deviation
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

// refusals measures two refusals in turn, in random order, so that what else the machine does hits both alike.
func refusals(t *testing.T, d *Directory, names [2]string) (times [2][]time.Duration) {
	t.Helper()
	const samples = 60
	for i := range samples + 5 {
		first := rand.IntN(2)
		for _, which := range []int{first, 1 - first} {
			begun := time.Now()
			_, err := d.Authenticate(t.Context(), names[which], secret.NewText("wrong password"))
			took := time.Since(begun)
			if !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
			if i >= 5 { // the first ones fill caches
				times[which] = append(times[which], took)
			}
		}
	}
	return times
}

// gap is how far apart the medians are, as a part of the larger.
func gap(times [2][]time.Duration) float64 {
	a, b := float64(median(times[0])), float64(median(times[1]))
	return math.Abs(a-b) / max(a, b)
}

// maxGap is what the work around a hash may make of a hash as cheap as the tests'. A real one takes a thousand times as
// long, and the same microseconds around it.
const maxGap = 0.2

// maxZ is passed by chance once in 500 million runs; two samples that do not overlap have 9.4.
const maxZ = 6

// The time tells nobody whether an account exists. Taking the dummy's work away must show, or the test sees nothing.
func TestRefusalsTakeTheSameTime(t *testing.T) {
	away := serve(t, answering(http.StatusUnauthorized, "", ""))
	for name, sources := range map[string][]snapshot.IdentitySource{
		"bcrypt":                  {htpasswdSource("s", "", "alice:"+bcryptOf(t, "right"), "")},
		"argon2id":                {htpasswdSource("s", "", "alice:"+argonOf("right")+"\nbob:"+argonOf("x"), "")},
		"the last of two lists":   {htpasswdSource("a", "a:", "bob:"+bcryptOf(t, "x"), ""), htpasswdSource("b", "b:", "alice:"+bcryptOf(t, "right"), "")},
		"behind providers":        {oidcSource(), clusterSource(testKeys()["rsa"]), htpasswdSource("s", "s:", "alice:"+bcryptOf(t, "right"), "")},
		"a list before a webhook": {htpasswdSource("s", "s:", "bob:"+bcryptOf(t, "x"), ""), webhookSource("app", away)},
	} {
		t.Run(name, func(t *testing.T) {
			d := hook(t, sources...).Directory
			times := refusals(t, d, [2]string{"alice", "nobody"})
			if z := rankZ(times[0], times[1]); math.Abs(z) > maxZ && gap(times) > maxGap {
				t.Errorf("wrong password %s, unknown user %s (medians), z = %.1f", median(times[0]), median(times[1]), z)
			}
			if name == "a list before a webhook" {
				return // there both are refused by the webhook
			}
			for _, e := range d.entries {
				if h, ok := e.source.(*htpasswd); ok {
					list, _, err := h.load()
					if err != nil {
						t.Fatal(err)
					}
					list.dummy = hash{}
				}
			}
			times = refusals(t, d, [2]string{"alice", "nobody"})
			if z := rankZ(times[0], times[1]); z > -maxZ || gap(times) <= maxGap {
				t.Errorf("without the dummy's work: wrong password %s, unknown user %s, z = %.1f: the test cannot see a difference", median(times[0]), median(times[1]), z)
			}
		})
	}
}

// A webhook before a list: a refusal by the one costs a hash as that by the other does.
func TestWebhookRefusalCostsAHash(t *testing.T) {
	h := hook(t, webhookSource("app", serve(t, answering(http.StatusUnauthorized, "", ""))), htpasswdSource("s", "s:", "bob:"+bcryptOf(t, "x"), ""))
	h.hasher = NewHasher(1, 0)
	h.hasher.slots <- struct{}{} // somebody hashes, and nobody may wait
	if _, err := h.Authenticate(t.Context(), "alice", secret.NewText("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("a refusal without a hash: %v", err)
	}
}
