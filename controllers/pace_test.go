package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// TestPace: the more sets there are, the less often each is polled; what they cost together stays the same.
func TestPace(t *testing.T) {
	var p pace
	for _, row := range []struct {
		sets int
		poll time.Duration
	}{{0, 30 * time.Second}, {500, 30 * time.Second}, {1000, time.Minute}, {10000, 10 * time.Minute}} {
		for i := range row.sets {
			name := types.NamespacedName{Namespace: "n", Name: fmt.Sprint(i)}
			p.note(name)
			p.note(name)
		}
		if got := p.poll(30 * time.Second); got != row.poll {
			t.Errorf("%d sets are polled every %s, want %s", row.sets, got, row.poll)
		}
	}
	for i := range 9000 {
		p.forget(types.NamespacedName{Namespace: "n", Name: fmt.Sprint(i)})
	}
	if got := p.poll(30 * time.Second); got != time.Minute {
		t.Errorf("after 9,000 were deleted: %s", got)
	}
}
