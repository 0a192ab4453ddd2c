package storetest

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// Replicas opens a new, empty store several times, as as many token services would: three of them, or more. It is the
// backend's to close them when the test ends.
type Replicas func(t *testing.T) []store.Shared

// patience bounds what a test waits for.
const patience = 20 * time.Second

// RunShared checks what several token services on one store owe each other.
func RunShared(t *testing.T, open Replicas) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, scene)
	}{
		{"SharedParallelRefreshes", testParallelRefresh},
		{"SharedParallelRefreshesWithoutWindow", testParallelRefreshNoWindow},
		{"SharedLogoutWinsAgainstRefresh", testLogoutRace},
		{"SharedParallelLogins", testParallelLogins},
		{"SharedParallelExchanges", testParallelExchanges},
		{"SharedParallelExchangesAgain", testParallelExchangesAgain},
		{"SharedRateLimit", testRateLimitParallel},
		{"SharedRefund", testRefundParallel},
		{"SharedAcquaintances", testPlacesParallel},
		{"SharedID", testID},
		{"SharedAtOnce", testSharedAtOnce},
		{"SharedRevocationOnce", testSharedOnce},
		{"SharedSubscribe", testSharedSubscribe},
		{"SharedLogOrder", testSharedLogOrder},
	} {
		t.Run(test.name, func(t *testing.T) {
			var replicas []store.Store
			for _, r := range open(t) {
				replicas = append(replicas, r)
			}
			if len(replicas) < 3 {
				t.Fatalf("%d replicas, three are needed", len(replicas))
			}
			test.run(t, on(t, replicas...))
		})
	}
	t.Run("Clock", func(t *testing.T) { testClock(t, open(t)) })
	t.Run("Leases", func(t *testing.T) { testLeases(t, open(t)) })
	t.Run("LeasesOfManyEdges", func(t *testing.T) { testLeasesOfMany(t, open(t)) })
}

// A replica whose clock is a year ahead forgets nothing that is alive by the store's own, as all other replicas see it.
func testClock(t *testing.T, replicas []store.Shared) {
	s := on(t, replicas[0], replicas[1])
	clock, has := replicas[1].(store.Clocked)
	if !has {
		t.Fatal("a shared store must have a clock: what one replica may forget is not for its own to say")
	}
	server, err := clock.Clock(s.ctx)
	if off := time.Since(server); err != nil || off.Abs() > time.Minute {
		t.Fatalf("the server's clock is %s off, %v", off, err)
	}
	created := s.login("alice", time.Now())
	seq := s.logout(created.Family.SessionID, time.Now())
	ahead := time.Now().Add(365 * 24 * time.Hour)
	if n, err := store.Forget(s.ctx, replicas[0], slog.New(slog.DiscardHandler), ahead); err != nil || n != 0 {
		t.Errorf("a clock ahead made the store forget %d records, %v", n, err)
	}
	if entries := on(t, replicas[2]).newer(seq-1, 10); len(entries) != 1 || entries[0].Seq != seq {
		t.Errorf("a clock ahead made the store forget a logout: %+v", entries)
	}
	s.refresh(created.Token, time.Now(), store.Revoked)
}

// What one replica has acknowledged, the next request finds, whichever replica it meets.
func testSharedAtOnce(t *testing.T, s scene) {
	for i := range 20 {
		a, b, c := on(t, s.replica(i)), on(t, s.replica(i+1)), on(t, s.replica(i+2))
		user := fmt.Sprint("user", i)
		created := a.login(user, Start)
		token := b.refresh(created.Token, Start, store.Rotated).Successor
		if retried := c.refresh(created.Token, Start.Add(time.Second), store.Retried); !same(retried.Successor, token) {
			t.Fatal("a retry at another replica returned another successor")
		}
		seq := a.logout(created.Family.SessionID, Start)
		if seq <= created.Family.Number || b.last() < seq {
			t.Fatalf("logout has number %d after session %d; another replica knows of %d", seq, created.Family.Number, b.last())
		}
		if entries := c.newer(seq-1, 10); len(entries) != 1 || entries[0].Value != created.Family.SessionID {
			t.Fatalf("another replica has %+v", entries)
		}
		b.refresh(token, Start, store.Revoked)
		next, other := b.login(user, Start), c.login("bystander", Start)
		if _, err := a.Append(s.ctx, "", revocation.Entry{Kind: revocation.User, Value: user, Expires: Start.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		c.refresh(next.Token, Start, store.Revoked)
		other.Token = a.refresh(other.Token, Start, store.Rotated).Successor
		if _, err := b.Append(s.ctx, "", revocation.Entry{Kind: revocation.All, Expires: Start.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		a.refresh(other.Token, Start, store.Revoked)
		c.refresh(a.login(user, Start).Token, Start, store.Rotated)
	}
}

// Every replica reads the same Revocation and writes it; it has one number. So has a session that is ended twice.
func testSharedOnce(t *testing.T, s scene) {
	rounds := repeat(200)
	for round := range rounds {
		created := s.login(fmt.Sprint("user", round), Start)
		before := s.last()
		var appended, ended [9]uint64
		atOnce(2*len(appended), func(i int) {
			replica, n := s.replica(i), i/2
			var err error
			if i%2 == 0 {
				entry := revocation.Entry{Kind: revocation.Key, Value: "kid", Expires: Start.Add(time.Hour)}
				appended[n], err = replica.Append(s.ctx, fmt.Sprint("uid", round), entry)
			} else {
				ended[n], err = replica.RevokeSession(s.ctx, store.Revoke{SessionID: created.Family.SessionID, Now: Start, Retention: limits().Retention})
			}
			if err != nil {
				t.Errorf("revocation %d: %v", i, err)
			}
		})
		for _, numbers := range [][]uint64{appended[:], ended[:]} {
			if slices.Min(numbers) != slices.Max(numbers) || numbers[0] <= before {
				t.Fatalf("one revocation has the numbers %d, after %d", numbers, before)
			}
		}
		if entries := s.newer(before, 10); len(entries) != 2 {
			t.Fatalf("%d entries for two revocations: %+v", len(entries), entries)
		}
	}
}

func testSharedSubscribe(t *testing.T, s scene) {
	var heard []<-chan struct{}
	for _, replica := range s.replicas {
		changed, cancel := replica.Subscribe()
		defer cancel()
		heard = append(heard, changed)
	}
	for round := range 9 {
		for _, changed := range heard {
			select {
			case <-changed: // of the round before
			default:
			}
		}
		session := s.login("alice", Start).Family.SessionID
		begun := time.Now()
		seq, err := s.replica(round).RevokeSession(s.ctx, store.Revoke{SessionID: session, Now: Start, Retention: limits().Retention})
		if err != nil {
			t.Fatal(err)
		}
		for i, changed := range heard {
			select {
			case <-changed:
			case <-time.After(patience):
				t.Fatalf("round %d: replica %d did not hear of a revocation at replica %d", round, i, round%len(s.replicas))
			}
			if last, err := s.replica(i).Last(s.ctx); err != nil || last < seq {
				t.Fatalf("replica %d was told, and knows %d of %d, %v", i, last, seq, err)
			}
		}
		t.Logf("all replicas heard after %s", time.Since(begun).Round(10*time.Microsecond))
	}
	changed, cancel := s.replica(1).Subscribe()
	cancel()
	cancel() // again does nothing
	s.logout(s.login("alice", Start).Family.SessionID, Start)
	_ = changed
}

// A reader that has seen a number has seen everything below it: nothing appears there later, although the writers take
// their numbers and commit at different replicas.
func testSharedLogOrder(t *testing.T, s scene) {
	const writers = 8
	each := repeat(1000)
	var writing, reading sync.WaitGroup
	var ended atomic.Bool
	var late atomic.Int64
	for w := range writers {
		writing.Go(func() {
			replica := s.replica(w)
			for n := range each {
				if err := patiently(&late, func() error { return writeSomething(s, replica, w, n) }); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	seen := make([][]uint64, len(s.replicas))
	for i := range s.replicas {
		reading.Go(func() {
			after, final := s.base, false
			for {
				final = ended.Load()
				err := patiently(&late, func() (err error) {
					seen[i], after, err = readOn(s, i, seen[i], after)
					return err
				})
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				if final {
					return
				}
			}
		})
	}
	writing.Wait()
	ended.Store(true)
	reading.Wait()
	all, _, err := readOn(s, 0, nil, s.base)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < writers*each {
		t.Errorf("%d entries of %d", len(all), writers*each)
	}
	for i := range seen {
		if !slices.Equal(seen[i], all) {
			t.Errorf("reader %d saw %d entries in order, and there are %d: some appeared below what it had seen", i, len(seen[i]), len(all))
		}
	}
}

// writeSomething takes numbers in every way there is.
func writeSomething(s scene, replica store.Store, w, n int) error {
	created, err := replica.Create(s.ctx, store.NewFamily{Owner: store.Owner{Subject: fmt.Sprint("user", w)}, Now: Start, Limits: limits()})
	if err != nil {
		return err
	}
	if n%3 == 0 {
		_, err = replica.Append(s.ctx, "", revocation.Entry{Kind: revocation.TokenID, Value: fmt.Sprint(w, "-", n), Expires: Start.Add(time.Hour)})
	} else {
		_, err = replica.RevokeSession(s.ctx, store.Revoke{SessionID: created.Family.SessionID, Now: Start, Retention: limits().Retention})
	}
	return err
}

// readOn reads what is above after at replica i, and checks that this is everything up to what another one calls the
// newest.
func readOn(s scene, i int, seen []uint64, after uint64) ([]uint64, uint64, error) {
	last, err := s.replica(i + 1).Last(s.ctx)
	if err != nil {
		return seen, after, err
	}
	for {
		entries, more, err := s.replica(i).Revocations(s.ctx, after, 7)
		if err != nil {
			return seen, after, err
		}
		for _, e := range entries {
			if e.Seq <= after {
				return seen, after, fmt.Errorf("number %d after %d", e.Seq, after)
			}
			after = e.Seq
			seen = append(seen, e.Seq)
		}
		if !more {
			break
		}
	}
	if after < last {
		return seen, after, fmt.Errorf("read up to %d, the newest was %d before", after, last)
	}
	return seen, after, nil
}
