package controllers

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
)

// blow is what happens at a write.
type blow int

const (
	before  blow = iota // the manager dies, and the API server never hears of the write
	during              // the write arrives, the manager dies without the answer
	after               // the manager dies with the answer in its hand
	unheard             // the write arrives, the answer is lost, and the manager lives on
)

func (b blow) String() string { return [...]string{"before", "during", "after", "answer lost"}[b] }

// reaper strikes at one write. Of a manager that is dead nothing arrives any more.
type reaper struct {
	next http.RoundTripper
	aim  aim
	blow blow

	mu     sync.Mutex
	seen   []string // the writes
	struck bool
	dead   bool
}

// aim is one of the writes of a path: of those to one object, or of the creations of one kind, the first, second, … The order of
// writes to different objects is another each time. The zero value is none.
type aim struct {
	write string
	nth   int
}

func (a aim) String() string { return fmt.Sprintf("%s %d", a.write, a.nth) }

// aims are those of the writes of one life.
func aims(writes []string) []aim {
	all, count := make([]aim, 0, len(writes)), map[string]int{}
	for _, w := range writes {
		count[w]++
		all = append(all, aim{w, count[w]})
	}
	return all
}

// RoundTrip implements [http.RoundTripper]. Events are no writes: nothing is decided by them.
func (r *reaper) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet {
		return r.next.RoundTrip(request)
	}
	counts := false
	for _, kind := range []string{"/secrets", "/signingkeysets/", "/configmaps"} {
		counts = counts || strings.Contains(request.URL.Path, kind)
	}
	r.mu.Lock()
	if r.dead {
		r.mu.Unlock()
		return nil, errDead
	}
	struck := false
	if counts {
		_, path, _ := strings.Cut(request.URL.Path, "/namespaces/")
		_, object, _ := strings.Cut(path, "/")
		r.seen = append(r.seen, request.Method+" "+object)
		now := aims(r.seen)
		struck = now[len(now)-1] == r.aim
	}
	r.struck = r.struck || struck
	r.dead = struck && r.blow != unheard
	r.mu.Unlock()
	if !struck {
		return r.next.RoundTrip(request)
	}
	if r.blow == before {
		return nil, errDead
	}
	response, err := r.next.RoundTrip(request)
	if r.blow == after || err != nil {
		return response, err
	}
	_ = response.Body.Close()
	return nil, errors.New("the connection was reset")
}

func (r *reaper) isDead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dead
}

func (r *reaper) writes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// ordeal is a path of a set's life on which the manager is killed.
type ordeal struct {
	name string
	// alone tells that the set is in use by no TokenService.
	alone bool
	// begin makes the world that the manager is to change: it runs, and settled before.
	begin func(*world)
	// done says what is missing yet. It may move the clock on.
	done func(*world) string
}

var ordeals = []ordeal{
	{"first key", true, func(w *world) { w.create(w.newSet()) }, func(w *world) string { return w.shape("1 Active, 2 Pending") }},
	{"first keys of a service", false, nil, func(w *world) string { return w.whole("1 Active, 2 Published") }},
	{"rotation", false, func(w *world) {
		w.step(25 * time.Hour)
		w.request("now")
	}, func(w *world) string {
		if w.set().Status.RotateRequestObserved != "now" {
			return "the request is not acknowledged"
		}
		w.expire()
		return w.whole("2 Active, 3 Published, 1 Removed")
	}},
	{"emergency", false, func(w *world) { w.revoke("leak", w.ring().Active().KID) }, func(w *world) string {
		return w.whole("2 Active, 3 Published, 1 Revoked")
	}},
	{"algorithm change", false, func(w *world) {
		edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) { s.Spec.Algorithm = keyturnv1alpha1.EdDSA })
	}, func(w *world) string {
		if k := w.ring().Key(w.set().Status.StandbyKid); k != nil && k.Algorithm == keys.EdDSA && k.State == keys.Published && w.ring().Active().Algorithm == keys.ES256 {
			w.clock.step(25 * time.Hour)
		}
		w.expire()
		return w.whole("3 Active, 4 Published, 2 Removed, 1 Removed")
	}},
	{"brought key", false, func(w *world) {
		edit(w, w.newSet(), func(s *keyturnv1alpha1.SigningKeySet) { broughtFrom(ownKeys)(s, nil, nil) })
		w.bring("1.json", ownJWK(w.T).text, "2.json", ownJWK(w.T).text)
	}, func(w *world) string {
		if k := w.ring().Key(w.set().Status.StandbyKid); k != nil && k.Brought && k.State == keys.Published && !w.ring().Active().Brought {
			w.clock.step(25 * time.Hour)
		}
		w.expire()
		if bad := w.whole("3 Active, 4 Published, 2 Removed, 1 Removed"); bad != "" {
			return bad
		}
		if ring := w.ring(); len(ring.Taken) < 2 || !ring.Keys[0].Brought || !ring.Keys[1].Brought {
			return "a key was made where one was brought"
		}
		return ""
	}},
	{"lost ring", false, func(w *world) {
		w.remove(&corev1.Secret{ObjectMeta: w.meta(keysecret.RingName(setName))})
	}, func(w *world) string { return w.whole("1 Active, 2 Published") }},
	{"deletion", true, func(w *world) {
		set := w.newSet()
		set.Spec.DeletionPolicy = keyturnv1alpha1.DeletionDestroy
		w.create(set)
		w.eventually("a key signs", func() string { return w.shape("1 Active, 2 Pending") })
		w.remove(w.newSet())
	}, func(w *world) string {
		var left corev1.SecretList
		if err := admin.List(w.ctx, &left, client.InNamespace(w.ns)); err != nil || len(left.Items) > 0 {
			return fmt.Sprintf("%d Secrets are left: %v", len(left.Items), err)
		}
		if w.get(&corev1.ConfigMap{}, keysecret.JWKSName(setName)) || w.get(&keyturnv1alpha1.SigningKeySet{}, setName) {
			return "the JWKS or the set is there"
		}
		return ""
	}},
}

// shape says how the ring differs from what it should be: the keys by number and state, then the tombstones.
func (w *world) shape(wanted string) string {
	ring := w.ring()
	if ring == nil {
		return "there is no ring"
	}
	var all []string
	for _, k := range ring.Keys {
		all = append(all, fmt.Sprintf("%d %s", k.Sequence, k.State))
	}
	for _, s := range ring.Tombstones {
		all = append(all, fmt.Sprintf("%d %s", s.Sequence, s.State))
	}
	if got := strings.Join(all, ", "); got != wanted {
		return "the ring is: " + got
	}
	if w.set().Status.Epoch != ring.Epoch {
		return "the status is of another ring"
	}
	return badKeyStatus(w.set().Status.Keys, ring)
}

// whole is a settled system of that shape, in which no Secret of a key that is gone is left.
func (w *world) whole(wanted string) string {
	if bad := w.shape(wanted); bad != "" {
		return bad
	}
	ring := w.ring()
	var secrets corev1.SecretList
	if err := admin.List(w.ctx, &secrets, client.InNamespace(w.ns)); err != nil {
		return err.Error()
	}
	for i := range secrets.Items {
		sequence, isKey := keysecret.Sequence(setName, secrets.Items[i].Name)
		if isKey && !slices.ContainsFunc(ring.Keys, func(k keys.Key) bool { return k.Sequence == sequence }) {
			return "left over: " + secrets.Items[i].Name
		}
	}
	return w.unhealthy()
}

// expire moves the clock to where the retired keys may go.
func (w *world) expire() {
	for _, k := range w.ring().Keys {
		if k.State == keys.Retiring && k.VerifyUntil.After(w.clock.Now()) {
			w.clock.step(k.VerifyUntil.Sub(w.clock.Now()) + 2*time.Second)
		}
	}
}

// suffer lives one ordeal under a reaper, with the next manager once it has struck.
func (o *ordeal) suffer(w *world, r *reaper) {
	w.Helper()
	if o.begin != nil && !o.alone {
		w.startManager()
		w.declare()
		w.eventually("settle", w.unhealthy)
		w.stopManager()
	}
	w.startManagerOver(func(next http.RoundTripper) http.RoundTripper {
		r.next = next
		return r
	})
	reborn := false
	live := func() {
		if r.isDead() && !reborn {
			reborn = true
			w.stopManager()
			w.startManager()
		}
	}
	if o.begin == nil {
		w.declare()
	} else {
		w.begin(o, live)
	}
	signed := ""
	w.eventually(o.name, func() string {
		live()
		ring := w.ring()
		switch {
		case ring == nil:
		case ring.Active() != nil:
			signed = ring.Active().KID
		case signed != "":
			w.Fatalf("no key is Active any more, it was %s", short(signed))
		}
		return o.done(w)
	})
	w.stopManager()
}

// begin lets the world change while the manager may die of it.
func (w *world) begin(o *ordeal, live func()) {
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				live()
			}
		}
	}()
	o.begin(w)
	close(done)
	<-watched
}

// TestKilledAnywhere kills the manager before, during and after every write to keys, ring, documents, JWKS and status, or loses
// the answer, on every path of a set's life. All end in the same state, with one Active key at every instant. The writes are
// counted first, so that a new one is tried without a new test.
func TestKilledAnywhere(t *testing.T) {
	all := os.Getenv("KEYTURN_SOAK") == "1" // otherwise a few of each path
	for _, o := range ordeals {
		t.Run(o.name, func(t *testing.T) {
			w := newQuietWorld(t)
			counter := &reaper{}
			o.suffer(w, counter)
			writes := counter.writes()
			if len(writes) < 4 {
				t.Fatalf("only %d writes: %v", len(writes), writes)
			}
			t.Logf("%d writes: %v", len(writes), writes)
			var hits blows
			for at, aim := range aims(writes) {
				for _, b := range []blow{before, during, after, unheard} {
					if !all && (at*4+int(b))%11 != 0 {
						continue
					}
					t.Run(fmt.Sprintf("%s %s", b, aim), func(t *testing.T) {
						r := &reaper{aim: aim, blow: b}
						o.suffer(newQuietWorld(t), r)
						hits.note(r)
						if !r.struck {
							t.Logf("not struck: %d writes this time", len(r.writes()))
						}
					})
				}
			}
			t.Cleanup(func() {
				t.Logf("%d blows, %d of them struck nothing", hits.dealt, hits.missed)
				if all {
					hits.check(t, writes)
				}
			})
		})
	}
}

// blows are what was struck on a path.
type blows struct {
	mu            sync.Mutex
	dealt, missed int
	struck        map[string]bool // by write and blow
}

func (c *blows) note(r *reaper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.struck == nil {
		c.struck = map[string]bool{}
	}
	if c.dealt++; !r.struck {
		c.missed++
		return
	}
	c.struck[r.blow.String()+" "+r.aim.write] = true
}

// check asks that each write was struck by each blow, the first one at least: how often the manager repeats one, and so whether
// there is a last one to be struck, depends on how its watches and its clock meet.
func (c *blows) check(t *testing.T, writes []string) {
	for _, w := range slices.Compact(slices.Sorted(slices.Values(writes))) {
		for _, b := range []blow{before, during, after, unheard} {
			if !c.struck[b.String()+" "+w] {
				t.Errorf("nothing was struck %s %s", b, w)
			}
		}
	}
}
