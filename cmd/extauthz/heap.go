package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapGoal is the size to which the heap may grow before it is collected. What the edge keeps is small, some 4 MB with
// 10,000 tokens in its cache, and what it throws away is much: collected at twice what is kept, as Go does by itself, it
// would collect twenty times a second in a flood, and while it does, checks wait. With GOMEMLIMIT below, that decides.
const heapGoal = 112 << 20

// mostPercent bounds GOGC where next to nothing is kept.
const mostPercent = 10_000

// steadyHeap has the collector run when the heap is as large as heapGoal, or twice as large as what is kept if that is
// more. It looks after each collection. Whoever sets GOGC decides instead.
func steadyHeap() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostPercent) // until it is known what is kept: the program has just begun
		afterCollection(new([16]byte))
	}
}

// afterCollection is called when its argument was collected, and once at first, and makes the next one.
func afterCollection(*[16]byte) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Kind() == metrics.KindUint64 {
		debug.SetGCPercent(percentFor(live[0].Value.Uint64()))
	}
	runtime.SetFinalizer(new([16]byte), afterCollection)
}

// percentFor is the GOGC by which a heap that keeps so many bytes grows to heapGoal.
func percentFor(live uint64) int {
	const least = 100
	switch {
	case live <= heapGoal*100/(mostPercent+100):
		return mostPercent
	case live >= heapGoal/2:
		return least
	}
	return int((heapGoal - live) * 100 / live) //nolint:gosec // below mostPercent
}
