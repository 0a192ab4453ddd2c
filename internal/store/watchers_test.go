package store_test

import (
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// told tells whether something is waiting, and takes it.
func told(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestWatchers(t *testing.T) {
	var w store.Watchers
	w.Notify() // nobody is there
	a, leave := w.Subscribe()
	b, _ := w.Subscribe()
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing", func() {}, false},
		{"notify", w.Notify, true},
		{"notify twice makes one", func() { w.Notify(); w.Notify() }, true},
		{"a new one", func() { w.Heard(5) }, true},
		{"the same again", func() { w.Heard(5) }, false},
		{"an older one", func() { w.Heard(4) }, false},
		{"a rumour of an older one", func() { w.Rumour(5) }, false},
		{"a rumour", func() { w.Rumour(1 << 60) }, true},
		{"a rumour silences nothing", func() { w.Heard(6) }, true},
		{"notify whatever was told", w.Notify, true},
	} {
		step.do()
		for i, ch := range []<-chan struct{}{a, b} {
			if got := told(ch); got != step.want || told(ch) {
				t.Errorf("%s: watcher %d told: %t, want %t, and once", step.name, i, got, step.want)
			}
		}
	}
	leave()
	leave() // again harms nobody
	w.Notify()
	if told(a) || !told(b) {
		t.Error("who has left is told, or who stays is not")
	}
}

func TestWatchersAtOnce(t *testing.T) {
	var w store.Watchers
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			ch, leave := w.Subscribe()
			defer leave()
			w.Heard(uint64(i + 1)) //nolint:gosec // small
			w.Notify()
			if !told(ch) {
				t.Error("a watcher was not told")
			}
		})
	}
	all.Wait()
}
