package controllers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
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
	return 50
}

// calls counts what a manager asks of the API server. Watches are not counted: their number does not depend on that of sets.
type calls struct {
	next          http.RoundTripper
	reads, writes atomic.Int64
	atOnce, most  atomic.Int64
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Query().Get("watch") != "":
		return c.next.RoundTrip(r)
	case r.Method == http.MethodGet:
		c.reads.Add(1)
	default:
		c.writes.Add(1)
	}
	now := c.atOnce.Add(1)
	defer c.atOnce.Add(-1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	return c.next.RoundTrip(r)
}

// TestScale brings many sets their first keys at once, looks at what that costs, then that a settled manager writes nothing, and
// that one that starts anew does not either. It runs alone: what it measures is of the whole process.
func TestScale(t *testing.T) {
	needAPIServer(t)
	n := scale(t)
	ns := newNamespace(t)
	count := &calls{}
	before := heap()
	stop := manageAtScale(t, ns, count)
	peak := watchHeap(t)
	began := time.Now()
	createSets(t, ns, n)
	created := time.Since(began)
	awaitSets(t, ns, n)
	active, reads, writes := time.Since(began), count.reads.Load(), count.writes.Load()
	t.Logf("%d sets: created in %.1f s, all Active after %.1f s; %.1f reads and %.1f writes a set, at most %d calls at once",
		n, created.Seconds(), active.Seconds(), float64(reads)/float64(n), float64(writes)/float64(n), count.most.Load())
	if got := float64(reads+writes) / float64(n); got > callsPerSet {
		t.Errorf("%.1f calls a set, want at most %d", got, callsPerSet)
	}

	quiet(t, ns, n, count, "settled")
	stop()
	again := &calls{}
	began = time.Now()
	stop = manageAtScale(t, ns, again)
	defer stop()
	quiet(t, ns, n, again, "a manager that starts anew")
	t.Logf("the next manager has looked at each after %.1f s", time.Since(began).Seconds())

	most := peak()
	t.Logf("heap: %d MiB before, at most %d MiB: %d KiB a set", before>>20, most>>20, (most-min(before, most))>>10/uint64(n))
	if allowed := uint64(heapOfNone) + before + uint64(n)*bytesPerSet; most > allowed {
		t.Errorf("the heap grew to %d MiB, want at most %d", most>>20, allowed>>20)
	}
}

// manageAtScale starts the controllers as cmd/manager does, with a poll that is fit for a test.
func manageAtScale(t *testing.T, ns string, count *calls) (stop func()) {
	t.Helper()
	own := rest.CopyConfig(managerConfig)
	own.Wrap(func(next http.RoundTripper) http.RoundTripper {
		count.next = next
		return count
	})
	bounded := CacheOptions()
	bounded.DefaultNamespaces = map[string]cache.Config{ns: {}}
	skip := true
	mgr, err := ctrl.NewManager(own, ctrl.Options{
		Scheme: scheme, Cache: bounded, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Setup(mgr, Options{Image: testImage, Namespace: "keyturn-system", SteadyPoll: 5 * time.Second}); err != nil {
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

func createSets(t *testing.T, ns string, n int) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error {
			set := &keyturnv1alpha1.SigningKeySet{Spec: keyturnv1alpha1.SigningKeySetSpec{Algorithm: keyturnv1alpha1.ES256}}
			set.Namespace, set.Name = ns, fmt.Sprintf("set-%05d", i)
			for left := 5; ; left-- { // a busy API server gives up after a minute, having stored it or not
				err := admin.Create(t.Context(), set)
				if err == nil || apierrors.IsAlreadyExists(err) || left == 0 {
					return client.IgnoreAlreadyExists(err)
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// awaitSets waits until each set signs and says so.
func awaitSets(t *testing.T, ns string, n int) {
	t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience + time.Duration(n)*time.Second)
	for {
		ready := 0
		for _, set := range allSets(t, ns) {
			if want(set.Status.Conditions, "Ready", "True Ready") == "" && len(set.Status.Keys) == 2 {
				ready++
			}
		}
		if ready == n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d of %d sets are ready", ready, n)
		}
	}
}

func allSets(t *testing.T, ns string) []keyturnv1alpha1.SigningKeySet {
	t.Helper()
	var all keyturnv1alpha1.SigningKeySetList
	if err := admin.List(t.Context(), &all, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// readsPerLook is what a reconcile of a settled set reads live: the ring, the private halves, the JWKS.
const readsPerLook = 3

// quiet waits until each set was looked at twice more, and wants no write in the second round: the first may have something left
// to do that was late.
func quiet(t *testing.T, ns string, n int, count *calls, who string) {
	t.Helper()
	look := func() (reads int64) {
		from := count.reads.Load()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(patience + time.Duration(n)*100*time.Millisecond)
		for count.reads.Load() < from+int64(n)*readsPerLook {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s: the sets are not looked at", who)
			}
		}
		return count.reads.Load() - from
	}
	look()
	versions := map[string]string{}
	for _, set := range allSets(t, ns) {
		versions[set.Name] = set.ResourceVersion
	}
	writes, began := count.writes.Load(), time.Now()
	reads := look()
	t.Logf("%s: %d writes and %.1f reads a set in %.1f s", who, count.writes.Load()-writes, float64(reads)/float64(n), time.Since(began).Seconds())
	if got := count.writes.Load() - writes; got != 0 {
		t.Errorf("%s: %d writes", who, got)
	}
	for _, set := range allSets(t, ns) {
		if versions[set.Name] != set.ResourceVersion {
			t.Errorf("%s: set %s was written", who, set.Name)
			return
		}
	}
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
