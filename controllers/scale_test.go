package controllers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/internal/token"
)

// What a manager may cost, whatever the number of sets. The figures that were measured are a third to a half of it.
const (
	callsPerSet = 40       // to bring a set its first two keys, JWKS and status
	bytesPerSet = 96 << 10 // of heap
	heapOfNone  = 96 << 20 // of heap without any set, with what the test itself holds
)

// scale is how many sets there are: a few, 1,000 with KEYTURN_SOAK=1, or KEYTURN_SETS.
func scale(t *testing.T) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("KEYTURN_SETS")); err == nil && n > 0 {
		return n
	}
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return 1000
	}
	return 20
}

// calls counts what a manager asks of the API server. Watches are not counted: their number does not depend on that of sets.
type calls struct {
	next          http.RoundTripper
	reads, writes atomic.Int64
	atOnce, most  atomic.Int64
	looks         sync.Map // by what each look at a set or a TokenService reads once: *atomic.Int64
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Query().Get("watch") != "":
		return c.next.RoundTrip(r)
	case r.Method == http.MethodGet:
		c.reads.Add(1)
		if of := look(r); of != "" {
			times, _ := c.looks.LoadOrStore(of, new(atomic.Int64))
			times.(*atomic.Int64).Add(1)
		}
	default:
		c.writes.Add(1)
	}
	raise(&c.most, c.atOnce.Add(1))
	defer c.atOnce.Add(-1)
	return c.next.RoundTrip(r)
}

// raise brings a maximum up to a value.
func raise(most *atomic.Int64, now int64) {
	for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
	}
}

// TestScale brings many sets their first keys at once, looks at what that costs, then that a settled manager writes nothing, and
// that one that starts anew does not either. It runs alone: what it measures is of the whole process.
func TestScale(t *testing.T) {
	needAPIServer(t)
	n := scale(t)
	ns := namespaces(t, n)
	load := &atScale{}
	before := heap()
	stop := load.manage(t, ns...)
	peak := watchHeap(t)
	load.measure(t, "first keys", n, 2*n, callsPerSet, readsPerLook, func() {
		createSets(t, ns, n)
		awaitSets(t, ns, n, "ready", func(set *keyturnv1alpha1.SigningKeySet) bool { return len(set.Status.Keys) == 2 })
	})
	quiet(t, ns, n, n, &load.count, "settled")
	stop()

	began := time.Now()
	stop = load.manage(t, ns...)
	defer stop()
	quiet(t, ns, n, n, &load.count, "a manager that starts anew")
	t.Logf("the next manager has looked at each after %.1f s", time.Since(began).Seconds())
	bounded(t, n, before, peak(), bytesPerSet)
}

// bounded holds the heap against what it may be.
func bounded(t *testing.T, n int, before, most, each uint64) {
	t.Helper()
	t.Logf("heap: %d MiB before, at most %d MiB: %d KiB a set", before>>20, most>>20, (most-min(before, most))>>10/uint64(n))
	if allowed := heapOfNone + before + uint64(n)*each; most > allowed {
		t.Errorf("the heap grew to %d MiB, want at most %d", most>>20, allowed>>20)
	}
}

// atScale is what the managers of a test ask of the API server and of the processors, and the clock that they go by.
type atScale struct {
	count calls
	ahead atomic.Int64
	asks  StatusReader // nil: over HTTP
	// made are the keys that were generated, most how many of them at a time.
	made, atOnce, most atomic.Int64
}

// Now is the clock.
func (a *atScale) Now() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }

func (a *atScale) leap(d time.Duration) { a.ahead.Add(int64(d)) }

// generate makes a key, and takes longer about it than it does, so that two at a time are seen.
func (a *atScale) generate(algorithm token.Algorithm, bits int) (*token.PrivateKey, error) {
	a.made.Add(1)
	raise(&a.most, a.atOnce.Add(1))
	defer a.atOnce.Add(-1)
	<-time.After(2 * time.Millisecond)
	return token.Generate(algorithm, bits)
}

// measure shows what something cost all sets, and holds it against what it may. The looks that come with time, however long it
// takes, are no part of that.
func (a *atScale) measure(t *testing.T, what string, n, keys int, callsAllowed, perLook float64, do func()) {
	t.Helper()
	reads, writes, made, began := a.count.reads.Load(), a.count.writes.Load(), a.made.Load(), time.Now()
	a.count.most.Store(0)
	a.most.Store(0)
	do()
	took := time.Since(began)
	reads, writes, made = a.count.reads.Load()-reads, a.count.writes.Load()-writes, a.made.Load()-made
	each := func(count int64) float64 { return float64(count) / float64(n) }
	t.Logf("%s: %d sets in %.1f s; %.1f reads and %.1f writes a set, at most %d calls at once; %d keys made, at most %d at once",
		what, n, took.Seconds(), each(reads), each(writes), a.count.most.Load(), made, a.most.Load())
	if got, polls := each(reads+writes), took.Seconds()/steadyPoll(t).Seconds(); got > callsAllowed+polls*perLook {
		t.Errorf("%s: %.1f calls a set, want at most %.0f and %.0f for each of %.1f polls", what, got, callsAllowed, perLook, polls)
	}
	if made != int64(keys) {
		t.Errorf("%s: %d keys were made, want %d", what, made, keys)
	}
	if most := a.most.Load(); most > keysAtOnce {
		t.Errorf("%s: %d keys were made at once, want at most %d", what, most, keysAtOnce)
	}
}

// manage starts the controllers as cmd/manager does; where there are few sets, with a poll that is fit for a test.
func (a *atScale) manage(t *testing.T, ns ...string) (stop func()) {
	t.Helper()
	own := rest.CopyConfig(managerConfig)
	own.Wrap(func(next http.RoundTripper) http.RoundTripper {
		a.count.next = next
		return &a.count
	})
	bounded := CacheOptions()
	bounded.DefaultNamespaces = map[string]cache.Config{}
	for _, name := range ns {
		bounded.DefaultNamespaces[name] = cache.Config{}
	}
	skip := true
	mgr, err := ctrl.NewManager(own, ctrl.Options{
		Scheme: scheme, Cache: bounded, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Setup(mgr, Options{Image: testImage, Namespace: "keyturn-system", SteadyPoll: steadyPoll(t), Status: a.asks, Now: a.Now, generate: a.generate}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := mgr.Start(ctx); err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// steadyPoll is how often settled objects are looked at.
func steadyPoll(t *testing.T) time.Duration {
	t.Helper()
	if scale(t) < 100 {
		return 2 * time.Second
	}
	return pollSteady
}

// mostInOne is how many sets a namespace gets: more than any tenant has.
const mostInOne = 1000

// namespaces makes as many as n sets need.
func namespaces(t *testing.T, n int) (names []string) {
	t.Helper()
	for range (n + mostInOne - 1) / mostInOne {
		names = append(names, newNamespace(t))
	}
	return names
}

func createSets(t *testing.T, ns []string, n int) {
	t.Helper()
	inParallel(t, n, func(i int) error {
		set := &keyturnv1alpha1.SigningKeySet{Spec: keyturnv1alpha1.SigningKeySetSpec{Algorithm: keyturnv1alpha1.ES256}}
		set.Namespace, set.Name = ns[i%len(ns)], fmt.Sprintf("set-%05d", i)
		return again(func() error { return client.IgnoreAlreadyExists(admin.Create(t.Context(), set)) })
	})
}

// awaitSets waits until each set signs and says so, and is as it should be.
func awaitSets(t *testing.T, ns []string, n int, what string, as func(*keyturnv1alpha1.SigningKeySet) bool) {
	t.Helper()
	await(t, n, "sets are "+what, func() (ready int) {
		all := allSets(t, ns)
		for i := range all {
			if want(all[i].Status.Conditions, "Ready", "True Ready") == "" && as(&all[i]) {
				ready++
			}
		}
		return ready
	})
}

// await waits until there are n.
func await(t *testing.T, n int, what string, count func() int) {
	t.Helper()
	tick := time.NewTicker(250*time.Millisecond + time.Duration(n)*time.Millisecond) // to look costs the API server too
	defer tick.Stop()
	deadline := time.After(patience + time.Duration(n)*2*time.Second)
	for {
		have := count()
		if have == n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d of %d %s", have, n, what)
		}
	}
}

func allSets(t *testing.T, ns []string) (all []keyturnv1alpha1.SigningKeySet) {
	t.Helper()
	for _, name := range ns {
		var some keyturnv1alpha1.SigningKeySetList
		if err := admin.List(t.Context(), &some, client.InNamespace(name)); err != nil {
			t.Fatal(err)
		}
		all = append(all, some.Items...)
	}
	return all
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// watchHeap takes the peak of the heap until it is asked.
func watchHeap(t *testing.T) (peak func() uint64) {
	t.Helper()
	var most atomic.Uint64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		cancel()
		<-done
		return most.Load()
	}
}
