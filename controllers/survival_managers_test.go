package controllers

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// sleeper is a manager that stops in the middle of one write, as a process does that is paused, and goes on when it is woken.
type sleeper struct {
	next   http.RoundTripper
	once   sync.Once
	asleep chan struct{} // closed when it sleeps
	wake   chan struct{}
	answer chan int // of the write that it held
	armed  chan struct{}
}

func (s *sleeper) RoundTrip(r *http.Request) (*http.Response, error) {
	held := false
	select {
	case <-s.armed:
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/secrets/"+keysecret.RingName(setName)) {
			s.once.Do(func() { held = true; close(s.asleep) })
		}
		select {
		case <-s.asleep: // the whole process is paused
			select {
			case <-s.wake:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		default:
		}
	default:
	}
	response, err := s.next.RoundTrip(r)
	if held {
		code := 0
		if err == nil {
			code = response.StatusCode
		}
		s.answer <- code
	}
	return response, err
}

// TestOldLeaderWoken: a leader is paused in the middle of its commit, its lease runs out, another leads and rotates twice. When
// the old one is woken its write comes too late, and nothing that the new one did comes undone.
func TestOldLeaderWoken(t *testing.T) {
	w := newQuietWorld(t)
	old := &sleeper{asleep: make(chan struct{}), wake: make(chan struct{}), armed: make(chan struct{}), answer: make(chan int, 1)}
	w.startManagerOver(func(next http.RoundTripper) http.RoundTripper {
		old.next = next
		return old
	})
	stopOld := w.stopManager
	w.declare()
	w.eventually("settle", w.unhealthy)
	second := w.ring().Standby().KID
	close(old.armed)
	w.step(25 * time.Hour)
	w.request("first")
	w.eventually("the old leader sleeps", func() string {
		select {
		case <-old.asleep:
			return ""
		default:
			return "it is awake"
		}
	})
	if w.ring().Active().KID == second {
		t.Fatal("its write arrived before it slept")
	}
	w.startManager()
	w.state(second, keys.Active)
	w.eventually("the new leader settles", w.unhealthy)
	third := w.ring().Standby().KID
	w.step(25 * time.Hour)
	w.request("second")
	w.state(third, keys.Active)
	w.eventually("the new leader settles again", w.unhealthy)
	live, _ := kids(w.ring())
	w.fleet.holds(live...)
	epoch := w.ring().Epoch

	close(old.wake)
	select {
	case code := <-old.answer:
		if code != http.StatusConflict {
			t.Errorf("the late write is answered with %d, want a conflict", code)
		}
	case <-time.After(patience):
		t.Fatal("the old leader did not go on")
	}
	w.polls(4)
	w.eventually("both go on as one", w.unhealthy)
	if ring := w.ring(); ring.Active().KID != third || ring.Epoch < epoch {
		t.Errorf("%s signs at epoch %d, want %s and at least %d", short(ring.Active().KID), ring.Epoch, short(third), epoch)
	}
	stopOld()
}
