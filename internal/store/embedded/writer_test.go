package embedded

import (
	"testing"
	"time"
)

// A lone writer never waits; several share a commit, up to its bound.
func TestGather(t *testing.T) {
	s := &Store{writes: make(chan *write)}
	if batch := s.gather(&write{}, 0); len(batch) != 1 {
		t.Errorf("%d operations of one", len(batch))
	}
	if batch := s.gather(&write{}, time.Millisecond); len(batch) != 1 {
		t.Errorf("%d operations of one, after the wait", len(batch))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range maxBatch - 1 {
			s.writes <- &write{}
		}
	}()
	if batch := s.gather(&write{}, time.Hour); len(batch) != maxBatch {
		t.Errorf("%d operations share a commit, there were %d", len(batch), maxBatch)
	}
	<-done
}
