package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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

// gaveUp is less than what any store waits for a server, or for its replicas, before it gives up.
const gaveUp = 500 * time.Millisecond

// patiently asks again while the store is not available because of time, as every caller does: with many at once a busy
// machine lets the server, or a replica that must confirm, be late. late counts how often; what a store that found its
// server late refuses at once is its fault, too.
func patiently(late *atomic.Int64, ask func() error) error {
	for begun := time.Now(); ; <-time.After(10 * time.Millisecond) {
		asked := time.Now()
		err := ask()
		if !errors.Is(err, store.ErrUnavailable) || time.Since(begun) > patience {
			return err
		}
		if time.Since(asked) >= gaveUp {
			late.Add(1)
		} else if late.Load() == 0 {
			return err
		}
	}
}

func testParallelRefresh(t *testing.T, s scene) {
	for round := range repeat(1000) {
		token := s.login(fmt.Sprint("user", round), Start).Token
		results := make([]store.RotateResult, 50)
		atOnce(len(results), func(i int) {
			r, err := s.replica(i).Rotate(s.ctx, store.RotateRequest{Token: token, Now: Start, Limits: limits()})
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

func testParallelRefreshNoWindow(t *testing.T, s scene) {
	none := limits()
	none.RetryWindow = 0
	for round := range repeat(1000) {
		token := s.login(fmt.Sprint("user", round), Start).Token
		var rotated, reused, other atomic.Int32
		var successor atomic.Pointer[store.Token]
		atOnce(50, func(i int) {
			r, err := s.replica(i).Rotate(s.ctx, store.RotateRequest{Token: token, Now: Start, Limits: none})
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

func testLogoutRace(t *testing.T, s scene) {
	for round := range repeat(2000) {
		created := s.login(fmt.Sprint("user", round), Start)
		var mu sync.Mutex
		live := map[store.TokenHash]store.Token{created.Token.Hash(): created.Token}
		var revoked atomic.Uint64
		atOnce(9, func(i int) {
			if i == 4 {
				seq, err := s.replica(round).RevokeSession(s.ctx, store.Revoke{SessionID: created.Family.SessionID, Now: Start, Retention: limits().Retention})
				if err != nil {
					t.Errorf("RevokeSession: %v", err)
				}
				revoked.Store(seq)
				return
			}
			token := created.Token
			for step := range 3 {
				r, err := s.replica(i+step).Rotate(s.ctx, store.RotateRequest{Token: token, Now: Start.Add(time.Duration(i)), Limits: limits()})
				if err != nil {
					t.Errorf("Rotate: %v", err)
				}
				if r.Outcome != store.Rotated && r.Outcome != store.Retried {
					return
				}
				token = r.Successor
				mu.Lock()
				live[token.Hash()] = token
				mu.Unlock()
			}
		})
		if revoked.Load() == 0 {
			t.Fatal("the logout has no number")
		}
		every := slices.Collect(maps.Values(live))
		atOnce(len(every), func(i int) {
			r, err := s.replica(i).Rotate(s.ctx, store.RotateRequest{Token: every[i], Now: Start.Add(time.Second), Limits: limits()})
			if err != nil || r.Outcome != store.Revoked {
				t.Errorf("a token after the logout: %q, %v", r.Outcome, err)
			}
		})
		if t.Failed() {
			return
		}
	}
}

func testParallelLogins(t *testing.T, s scene) {
	var mu sync.Mutex
	numbers := map[uint64]bool{}
	var tokens []store.Token
	var late atomic.Int64
	atOnce(40, func(i int) {
		var created store.Created
		err := patiently(&late, func() (err error) {
			created, err = s.replica(i).Create(s.ctx, store.NewFamily{Owner: store.Owner{Subject: "alice"}, Now: Start, Limits: limits()})
			return err
		})
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
	// What was not confirmed in time may have begun a family all the same, and is no token that anybody knows.
	if most := limits().MaxFamilies; alive > most || alive < most-int(late.Load()) {
		t.Errorf("%d families alive, want %d, and %d logins were not confirmed in time", alive, most, late.Load())
	}
}
