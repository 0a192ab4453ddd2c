package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/internal/store"
)

// The primary dies right after it has acknowledged a logout. After the failover the logout holds, by the entry or by one
// that distrusts everybody.
func TestSentinelFailover(t *testing.T) {
	g := group(t, redis.Durable...)
	s, other := open(t, sentinelsOf(g)), open(t, sentinelsOf(g))
	failovers(t, s, other, g.Primary, g.Settle)
}

func TestClusterFailover(t *testing.T) {
	c, err := program(t).StartCluster(t.Context(), t.TempDir(), 2*time.Second, redis.Options{Directives: redis.Durable})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	config := Config{Mode: Cluster, Addresses: c.Addresses(), Prefix: "test", Replicas: 1}
	s, other := open(t, config), open(t, config)
	failovers(t, s, other, func(ctx context.Context) (*redis.Server, error) { return c.Primary(ctx, s.meta) }, c.Settle)
}

func failovers(t *testing.T, s, other *Store, primary func(context.Context) (*redis.Server, error), settle func(context.Context) error) {
	t.Helper()
	gone := 0
	var longest time.Duration
	for round := range rounds(3, 20) {
		var ended []store.Created
		for range 20 {
			ended = append(ended, login(t, s, fmt.Sprint("user", round)))
		}
		kept := login(t, s, "kept")
		var last uint64
		for _, c := range ended {
			seq, err := logout(t, s, c.Family.SessionID)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			last = seq
		}
		server, err := primary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		server.Kill()
		begun := time.Now()
		eventually(t, "it works again", func() error {
			_, err := other.Create(t.Context(), store.NewFamily{Now: now, Limits: limits()})
			return err
		})
		longest = max(longest, time.Since(begun))
		t.Logf("round %d: a login after %s", round, time.Since(begun).Round(time.Millisecond))
		if err := server.Restart(t.Context()); err != nil { // a cluster's new primary has no replica before
			t.Fatal(err)
		}
		eventually(t, "a logout is taken again", func() error { _, err := logout(t, other, "x"); return err })
		for _, c := range ended {
			for _, replica := range []*Store{s, other} {
				var r store.RotateResult
				eventually(t, "a refresh has an answer", func() (err error) { r, err = refresh(t, replica, c.Token); return err })
				if r.Outcome != store.Revoked && r.Outcome != store.Unknown {
					t.Fatalf("round %d: after the failover %q", round, r.Outcome)
				}
			}
		}
		// A client that hears of the new primary late closes its connections under whoever asks at that moment: that is an
		// error to ask again after, as every caller does.
		var newest uint64
		eventually(t, "the newest revocation is told", func() (err error) { newest, err = s.Last(t.Context()); return err })
		if newest < last {
			t.Errorf("round %d: the newest revocation is %d; it was %d", round, newest, last)
		}
		var next store.Created
		eventually(t, "the next login", func() (err error) {
			next, err = other.Create(t.Context(), store.NewFamily{Now: now, Limits: limits()})
			return err
		})
		if next.Family.Number <= last || next.Family.Number <= kept.Family.Number {
			t.Errorf("round %d: number %d after %d and %d", round, next.Family.Number, last, kept.Family.Number)
		}
		if r, err := refresh(t, s, kept.Token); err != nil || r.Outcome != store.Rotated {
			gone++
		}
		var leases time.Duration
		eventually(t, "the leases are told", func() error {
			table, err := s.Leases(t.Context())
			leases = table.Kept
			return err
		})
		if leases > time.Since(begun) {
			t.Errorf("round %d: leases are kept for %s; the failover was %s ago", round, leases, time.Since(begun))
		}
		t.Logf("round %d: all looked at after %s", round, time.Since(begun).Round(time.Millisecond))
		if err := settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: settled after %s", round, time.Since(begun).Round(time.Millisecond))
		usable(t, s)
		usable(t, other)
	}
	t.Logf("%d failovers, %d logouts each: all hold; %d times a session that was to stay went; without the primary for at most %s",
		rounds(3, 20), 20, gone, longest.Round(time.Millisecond))
}

// Without replicas nothing is acknowledged, also what is written already; and it counts once they are back.
func TestReplicasLag(t *testing.T) {
	g := groupWith(t, calm, redis.Durable...)
	s := open(t, sentinelsOf(g))
	old, fresh := login(t, s, "alice"), login(t, s, "alice")
	seq, err := logout(t, s, old.Family.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	server, err := g.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var replicas []*redis.Server
	for _, r := range g.Servers {
		if r != server {
			replicas = append(replicas, r)
			if err := r.Pause(); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s is acknowledged without replicas: %v", what, err)
		}
	}
	_, err = logout(t, s, fresh.Family.SessionID)
	refused("a logout", err)
	_, err = logout(t, s, fresh.Family.SessionID)
	refused("the same again", err)
	_, err = logout(t, s, old.Family.SessionID)
	refused("one of before, on another connection,", err)
	used := login(t, s, "bob")
	if r, err := refresh(t, s, used.Token); err != nil || r.Outcome != store.Rotated {
		t.Errorf("a refresh needs no replica: %q, %v", r.Outcome, err)
	}
	_, err = s.Rotate(t.Context(), store.RotateRequest{Token: used.Token, Now: now.Add(time.Minute), Limits: limits()})
	refused("a reuse", err)
	for _, r := range replicas {
		if err := r.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the logout is taken", func() error { _, err := logout(t, s, fresh.Family.SessionID); return err })
	if again, err := logout(t, s, old.Family.SessionID); err != nil || again != seq {
		t.Errorf("number %d, %v; was %d", again, err, seq)
	}
}

// Logouts that wait for replicas leave connections to everybody else: while the replicas hang, a login and a refresh go on.
func TestWaitingForReplicasStarvesNobody(t *testing.T) {
	g := groupWith(t, calm, redis.Durable...)
	s := open(t, sentinelsOf(g))
	token := login(t, s, "alice").Token
	server, err := g.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range g.Servers {
		if r != server {
			if err := r.Pause(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for i := range 4 * poolSize {
		waiting.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = s.RevokeSession(ctx, store.Revoke{SessionID: fmt.Sprint(i, ".", n), Now: now, Retention: limits().Retention})
			}
		})
	}
	var all []time.Duration
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		begun := time.Now()
		r, err := refresh(t, s, token)
		if all = append(all, time.Since(begun)); err != nil {
			t.Errorf("a refresh after %s: %v", time.Since(begun), err)
			break
		}
		token = r.Successor
	}
	stop()
	waiting.Wait()
	slices.Sort(all)
	usual, longest := all[len(all)/2], all[len(all)-1]
	t.Logf("of %d refreshes the longest took %s, the usual one %s", len(all), longest, usual)
	if longest > opTimeout/2 {
		t.Errorf("a refresh took %s", longest)
	}
}
