package controllers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
)

// guillotine ends a manager at one of its writes to keys, ring or status: before or after the API server has it. From then on
// nothing of it arrives.
type guillotine struct {
	next  http.RoundTripper
	at    int64 // which write, from 1
	after bool
	seen  atomic.Int64
	dead  chan struct{}
	// counts tells which paths are of interest.
	counts func(path string) bool
}

var errDead = errors.New("the manager is dead")

func (g *guillotine) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return g.next.RoundTrip(r)
	}
	counts := g.counts(r.URL.Path)
	n := g.seen.Load()
	if counts {
		n = g.seen.Add(1)
	}
	switch {
	case n < g.at || n == g.at && !counts:
		return g.next.RoundTrip(r)
	case n > g.at || !counts:
		return nil, errDead
	}
	defer close(g.dead)
	if g.after {
		if response, err := g.next.RoundTrip(r); err == nil {
			_ = response.Body.Close()
		}
	}
	return nil, errDead
}

// TestKilledManager kills a manager before and after each of the writes that bring a set its first two keys. The next manager
// goes on as if nothing had been: nothing is rebuilt, nothing is taken for somebody's.
func TestKilledManager(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := int64(1); at <= 8; at++ {
			t.Run(fmt.Sprintf("write %d after %t", at, after), func(t *testing.T) {
				w := newQuietWorld(t)
				g := &guillotine{at: at, after: after, dead: make(chan struct{}), counts: func(path string) bool {
					return strings.Contains(path, "/secrets") || strings.Contains(path, "/signingkeysets/")
				}}
				w.startManagerOver(func(next http.RoundTripper) http.RoundTripper {
					g.next = next
					return g
				})
				w.create(w.newSet())
				w.eventually("the manager dies", func() string {
					select {
					case <-g.dead:
						return ""
					default:
						return fmt.Sprintf("it has made %d writes", g.seen.Load())
					}
				})
				w.stopManager()
				w.startManager()
				w.eventually("the next manager goes on", func() string {
					ring, status := w.ring(), w.set().Status
					if ring == nil || ring.Active() == nil || ring.Standby() == nil {
						return "no active and standby key"
					}
					if len(ring.Keys) != 2 || len(status.Keys) != 2 || ring.NextSequence != 3 {
						return fmt.Sprintf("ring %+v, status %+v", ring.Keys, status.Keys)
					}
					return badKeyStatus(status.Keys, ring)
				})
				for _, k := range w.ring().Keys {
					if k.State == keys.Retiring {
						t.Errorf("key %s is taken for another set's", k.KID)
					}
				}
				for _, bad := range []string{keyturnv1alpha1.ReasonRingRestored, keyturnv1alpha1.ReasonRingAdopted, keyturnv1alpha1.ReasonKeySecretInvalid} {
					if slices.Contains(w.events(), bad) {
						t.Errorf("Event %s", bad)
					}
				}
			})
		}
	}
}
