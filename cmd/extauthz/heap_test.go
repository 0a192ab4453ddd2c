package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentOfTheHeap(t *testing.T) {
	for live, want := range map[uint64]int{
		0: mostPercent, 1 << 20: mostPercent, 4 << 20: 2700, 28 << 20: 300, 56 << 20: 100, 200 << 20: 100, 1 << 40: 100,
	} {
		if got := percentFor(live); got != want {
			t.Errorf("%d MiB: %d, want %d", live>>20, got, want)
		}
	}
	for live := uint64(2 << 20); live < heapGoal; live += 1 << 20 {
		if goal := live + live*uint64(percentFor(live))/100; goal > max(heapGoal, 2*live) {
			t.Errorf("%d MiB grow to %d", live>>20, goal>>20)
		}
	}
}

// What is kept is looked at after each collection, whoever began it.
func TestTheHeapIsLookedAfter(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	t.Setenv("GOGC", "")
	steadyHeap()
	for deadline := time.Now().Add(30 * time.Second); ; {
		debug.SetGCPercent(77)
		runtime.GC()
		if now := debug.SetGCPercent(77); now != 77 && now >= 100 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody looks")
		}
		runtime.Gosched()
	}
	t.Setenv("GOGC", "50")
	debug.SetGCPercent(77)
	if steadyHeap(); debug.SetGCPercent(77) == mostPercent {
		t.Error("GOGC does not decide")
	}
}
