package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

func testRateLimit(t *testing.T, s scene) {
	take := func(key string, limit int, at time.Duration) store.Counted {
		t.Helper()
		c, err := s.Take(s.ctx, key, limit, time.Minute, Start.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for i := range 3 {
		if c := take("a", 3, time.Duration(i)*10*time.Second); !c.Allowed || c.Remaining != 2-i {
			t.Fatalf("event %d: %+v", i, c)
		}
	}
	if c := take("a", 3, 25*time.Second); c.Allowed || c.Reset != 35*time.Second {
		t.Errorf("event past the limit: %+v, want refused for 35s", c)
	}
	if c := take("b", 3, 25*time.Second); !c.Allowed {
		t.Errorf("another key: %+v", c)
	}
	if c := take("a", 3, 60*time.Second-1); c.Allowed {
		t.Error("allowed a moment before the window ends")
	}
	if c := take("a", 3, 60*time.Second); !c.Allowed || c.Remaining != 0 {
		t.Errorf("when the first has aged: %+v", c)
	}
	if c := take("a", 3, 61*time.Second); c.Allowed {
		t.Error("the window slides by the event, not at once")
	}
	if c := take("a", 1, 62*time.Second); c.Allowed || c.Reset != 58*time.Second {
		t.Errorf("a lowered limit: %+v, want refused for 58s", c)
	}
	if c := take("zero", 0, 0); c.Allowed {
		t.Error("limit 0 allowed something")
	}
}

func testRateLimitParallel(t *testing.T, s scene) {
	var allowed atomic.Int32
	atOnce(50, func(i int) {
		c, err := s.replica(i).Take(s.ctx, "a", 10, time.Minute, Start)
		if err != nil {
			t.Error(err)
		}
		if c.Allowed {
			allowed.Add(1)
		}
	})
	if allowed.Load() != 10 {
		t.Errorf("%d of 50 allowed, want exactly 10", allowed.Load())
	}
}

func testRefund(t *testing.T, s scene) {
	take := func(key string, limit int, at time.Duration) bool {
		t.Helper()
		c, err := s.Take(s.ctx, key, limit, time.Minute, Start.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return c.Allowed
	}
	refund := func(key string) {
		t.Helper()
		if err := s.Refund(s.ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	refund("a") // nobody has counted it
	if !take("a", 2, 0) || !take("a", 2, 30*time.Second) || take("a", 2, 31*time.Second) {
		t.Fatal("a limit of 2 is not 2 after a refund of nothing")
	}
	if !take("b", 1, 0) {
		t.Fatal("the limit of another key")
	}
	refund("a")
	if take("b", 1, 31*time.Second) {
		t.Error("the refund of one key freed another")
	}
	if !take("a", 2, 31*time.Second) || take("a", 2, 32*time.Second) {
		t.Error("a refund frees exactly one")
	}
	// The newest went, so the event at 0 is the next to age, and not the one at 30 s.
	if !take("a", 2, time.Minute) || take("a", 2, time.Minute) {
		t.Error("it was not the newest that was taken back")
	}
	for range 5 {
		refund("a")
	}
	allowed := 0
	for range 4 {
		if take("a", 2, time.Minute) {
			allowed++
		}
	}
	if allowed != 2 {
		t.Errorf("after more refunds than events a limit of 2 allowed %d", allowed)
	}
}

// What is allowed and not taken back never passes the limit, and is never below it while somebody asks.
func testRefundParallel(t *testing.T, s scene) {
	const limit = 10
	var kept atomic.Int32
	atOnce(60, func(i int) {
		for range 3 {
			c, err := s.replica(i).Take(s.ctx, "a", limit, time.Minute, Start)
			switch {
			case err != nil:
				t.Errorf("Take: %v", err)
			case c.Allowed && i%3 != 0:
				if err := s.replica(i+1).Refund(s.ctx, "a"); err != nil {
					t.Errorf("Refund: %v", err)
				}
			case c.Allowed:
				kept.Add(1)
			}
		}
	})
	left := 0
	for {
		c, err := s.Take(s.ctx, "a", limit, time.Minute, Start)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Allowed {
			break
		}
		left++
	}
	if got := int(kept.Load()) + left; got != limit {
		t.Errorf("%d kept and %d left, want %d together", kept.Load(), left, limit)
	}
}
