package controllers

import (
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// slowHand is a manager whose commits arrive late: it decided by a ring that the other has replaced meanwhile.
type slowHand struct{ next http.RoundTripper }

func (s slowHand) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/secrets/"+keysecret.RingName(setName)) {
		late := time.NewTimer(300 * time.Millisecond)
		defer late.Stop()
		select {
		case <-late.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return s.next.RoundTrip(r)
}

// TestTwoManagers: two managers without leader election do the same work at once, and one of them is slow. The ring has one Active
// key at every instant, nothing is made twice, and what one commits the other never undoes.
func TestTwoManagers(t *testing.T) {
	w := newWorld(t)
	w.startManagerOver(func(next http.RoundTripper) http.RoundTripper { return slowHand{next} })
	w.declare()
	epoch, signed := int64(0), false
	oneActive := func() string {
		ring := w.ring()
		if ring == nil {
			return "there is no ring"
		}
		active := 0
		for _, k := range ring.Keys {
			if k.State == keys.Active {
				active++
			}
		}
		if active > 1 || signed && active != 1 || ring.Epoch < epoch {
			t.Fatalf("%d keys are active at epoch %d after %d", active, ring.Epoch, epoch)
		}
		epoch, signed = ring.Epoch, signed || active == 1 // the first ring has none yet: the next write makes one sign
		return w.unhealthy()
	}
	w.eventually("settle", oneActive)
	for range 3 {
		next := w.ring().Standby().KID
		w.step(25 * time.Hour)
		w.request(w.clock.Now().String())
		w.eventually("rotate", func() string {
			if ring := w.ring(); ring.Active() == nil || ring.Active().KID != next {
				return "another key signs"
			}
			return oneActive()
		})
	}
	if slices.Contains(w.events(), restored) {
		t.Error("a manager found a ring that was put back")
	}
	w.fleet.holds(w.ring().Active().KID)
	a := &attack{world: w, before: w.ring()}
	w.remove(a.ringSecret())
	epoch = 0
	w.eventually("both rebuild the ring", oneActive)
	if w.ring().Active().KID != a.before.Active().KID || w.ring().Epoch < a.before.Epoch {
		t.Error("another key signs, or the epoch fell")
	}
}

// TestSteadyState: a settled system costs no write, whatever is polled.
func TestSteadyState(t *testing.T) {
	w := settled(t)
	w.polls(2) // what settling left to do
	before := w.writes.Load()
	w.polls(4)
	if n := w.writes.Load() - before; n != 0 {
		t.Errorf("%d writes in a settled system", n)
	}
}

// TestNobodyImportsControllers holds the dependency rule of docs/design.md, section 9.
func TestNobodyImportsControllers(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}}: {{join .Imports \" \"}}", "../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := 0
	for line := range strings.Lines(string(out)) {
		path, imports, _ := strings.Cut(line, ":")
		for _, i := range strings.Fields(imports) {
			if i != "github.com/keyturn/keyturn/controllers" {
				continue
			}
			if found++; path != "github.com/keyturn/keyturn/cmd/manager" {
				t.Errorf("%s imports controllers: only cmd/manager may", path)
			}
		}
	}
	if found == 0 {
		t.Error("nobody imports controllers: the check saw nothing")
	}
}
