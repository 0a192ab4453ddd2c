package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// at once runs n functions that wait for each other before they begin.
func atOnce(n int, do func(i int)) {
	var begin, end sync.WaitGroup
	begin.Add(1)
	for i := range n {
		end.Go(func() {
			begin.Wait()
			do(i)
		})
	}
	begin.Done()
	end.Wait()
}

func testParallelRefresh(t *testing.T, st store.Store) {
	s := on(t, st)
	for round := range repeat(5, 100) {
		token := s.login(fmt.Sprint("user", round), Start).Token
		results := make([]store.RotateResult, 50)
		atOnce(len(results), func(i int) {
			r, err := s.Rotate(s.ctx, store.RotateRequest{Token: token, Now: Start, Limits: limits()})
			if err != nil {
				t.Errorf("Rotate: %v", err)
			}
			results[i] = r
		})
		rotated := 0
		for _, r := range results {
			if r.Outcome == store.Rotated {
				rotated++
			} else if r.Outcome != store.Retried {
				t.Fatalf("outcome %q", r.Outcome)
			}
			if !same(r.Successor, results[0].Successor) {
				t.Fatal("two chains: the successors differ")
			}
		}
		if rotated != 1 {
			t.Fatalf("%d rotations of one token", rotated)
		}
		s.refresh(results[0].Successor, Start, store.Rotated)
	}
}

func testParallelRefreshNoWindow(t *testing.T, st store.Store) {
	s := on(t, st)
	none := limits()
	none.RetryWindow = 0
	for round := range repeat(5, 100) {
		token := s.login(fmt.Sprint("user", round), Start).Token
		var rotated, reused, other atomic.Int32
		var successor atomic.Pointer[store.Token]
		atOnce(50, func(int) {
			r, err := s.Rotate(s.ctx, store.RotateRequest{Token: token, Now: Start, Limits: none})
			switch {
			case err != nil:
				t.Errorf("Rotate: %v", err)
			case r.Outcome == store.Rotated:
				rotated.Add(1)
				successor.Store(&r.Successor)
			case r.Outcome == store.Reused:
				reused.Add(1)
			case r.Outcome != store.Revoked:
				other.Add(1)
			}
		})
		if rotated.Load() != 1 || reused.Load() != 1 || other.Load() != 0 {
			t.Fatalf("%d rotated, %d reused, %d others; want 1, 1, 0", rotated.Load(), reused.Load(), other.Load())
		}
		s.refreshWith(*successor.Load(), Start, none, store.Revoked)
	}
}

func testLogoutRace(t *testing.T, st store.Store) {
	s := on(t, st)
	for round := range repeat(20, 500) {
		created := s.login(fmt.Sprint("user", round), Start)
		var mu sync.Mutex
		live := []store.Token{created.Token}
		var revoked atomic.Uint64
		atOnce(9, func(i int) {
			if i == 4 {
				seq, err := s.RevokeSession(s.ctx, store.Revoke{SessionID: created.Family.SessionID, Now: Start, Retention: limits().Retention})
				if err != nil {
					t.Errorf("RevokeSession: %v", err)
				}
				revoked.Store(seq)
				return
			}
			token := created.Token
			for range 3 {
				r, err := s.Rotate(s.ctx, store.RotateRequest{Token: token, Now: Start.Add(time.Duration(i)), Limits: limits()})
				if err != nil {
					t.Errorf("Rotate: %v", err)
				}
				if r.Outcome != store.Rotated && r.Outcome != store.Retried {
					return
				}
				token = r.Successor
				mu.Lock()
				live = append(live, token)
				mu.Unlock()
			}
		})
		if revoked.Load() == 0 {
			t.Fatal("the logout has no number")
		}
		for _, token := range live {
			s.refresh(token, Start.Add(time.Second), store.Revoked)
		}
	}
}

func testParallelLogins(t *testing.T, st store.Store) {
	s := on(t, st)
	var mu sync.Mutex
	numbers := map[uint64]bool{}
	var tokens []store.Token
	atOnce(40, func(int) {
		created, err := s.Create(s.ctx, store.NewFamily{Owner: store.Owner{Subject: "alice"}, Now: Start, Limits: limits()})
		if err != nil {
			t.Errorf("Create: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		numbers[created.Family.Number] = true
		tokens = append(tokens, created.Token)
	})
	if len(numbers) != 40 {
		t.Errorf("%d numbers for 40 sessions", len(numbers))
	}
	alive := 0
	for _, token := range tokens {
		r, err := s.Inspect(s.ctx, token, Start, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome == store.Rotated {
			alive++
		}
	}
	if alive != limits().MaxFamilies {
		t.Errorf("%d families alive, want %d", alive, limits().MaxFamilies)
	}
}

func testRateLimit(t *testing.T, st store.Store) {
	s := on(t, st)
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

func testRateLimitParallel(t *testing.T, st store.Store) {
	s := on(t, st)
	var allowed atomic.Int32
	atOnce(50, func(int) {
		c, err := s.Take(s.ctx, "a", 10, time.Minute, Start)
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
