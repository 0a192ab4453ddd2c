package controllers

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// look is what the look at an object begins with or reads on its way, and no other look reads; empty: this is none of it.
func look(r *http.Request) string {
	_, set, ofSet := strings.Cut(r.URL.Query().Get("labelSelector"), keyturnv1alpha1.LabelSigningKeySet+"=")
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/")
	namespace, object, _ := strings.Cut(path, "/")
	switch {
	case ofSet && object == "secrets":
		return namespace + "/" + set
	case strings.HasSuffix(object, "-feed-server"):
		return namespace + "/" + object
	}
	return ""
}

// looked is how often each was looked at.
func (c *calls) looked() map[string]int64 {
	all := map[string]int64{}
	c.looks.Range(func(object, times any) bool {
		all[object.(string)] = times.(*atomic.Int64).Load()
		return true
	})
	return all
}

// readsPerLook is what a reconcile of a settled set reads live: the ring, the private halves, the JWKS.
const readsPerLook = 3

// quiet waits until each of so many sets and TokenServices was looked at once more, from the beginning to the end, and wants no
// write in a second round of that: the first may have something left to do that was late.
func quiet(t *testing.T, ns []string, n, objects int, count *calls, who string) {
	t.Helper()
	round := func() {
		from := count.looked()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(patience + time.Duration(n)*100*time.Millisecond)
		for done := 0; done < objects; {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s: only %d of %d are looked at", who, done, objects)
			}
			done = 0
			for object, times := range count.looked() {
				if times >= from[object]+2 { // that the first of the two has ended is seen by the second
					done++
				}
			}
		}
	}
	round()
	versions := map[string]string{}
	for _, set := range allSets(t, ns) {
		versions[set.Name] = set.ResourceVersion
	}
	reads, writes, began := count.reads.Load(), count.writes.Load(), time.Now()
	round()
	t.Logf("%s: %d writes and %.1f reads a set in %.1f s", who, count.writes.Load()-writes, float64(count.reads.Load()-reads)/float64(n), time.Since(began).Seconds())
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
