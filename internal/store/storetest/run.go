package storetest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// Start is the time at which every test begins; backends must not look at their own clock.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Open opens a new, empty store. It is the backend's to close it when the test ends.
type Open func(t *testing.T) store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"Rotate", testRotate},
		{"RetryWindow", testRetryWindow},
		{"ReuseRevokesThatFamilyOnly", testReuse},
		{"Expiry", testExpiry},
		{"UnknownToken", testUnknown},
		{"Eviction", testEviction},
		{"RevokeSession", testRevokeSession},
		{"RevokeUserAndAll", testRevokeUserAndAll},
		{"AppendOnce", testAppendOnce},
		{"RetentionFollowsTheLongestToken", testRetention},
		{"LogOrderAndPages", testLog},
		{"Compact", testCompact},
		{"ParallelRefreshesOfOneToken", testParallelRefresh},
		{"ParallelRefreshesWithoutWindow", testParallelRefreshNoWindow},
		{"LogoutWinsAgainstRefresh", testLogoutRace},
		{"ParallelLogins", testParallelLogins},
		{"RateLimit", testRateLimit},
		{"RateLimitParallel", testRateLimitParallel},
		{"CancelledContext", testCancelled},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// repeat is how often a race is run: a few times, or many with KEYTURN_SOAK=1.
func repeat(few, many int) int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return many
	}
	return few
}

func limits() store.Limits {
	return store.Limits{
		Idle: time.Hour, Absolute: 10 * time.Hour, RetryWindow: 10 * time.Second, MaxFamilies: 5,
		Retention: store.Retention{AccessTTL: 15 * time.Minute, Slack: 2 * time.Minute},
	}
}

// scene is a store with short words for what the tests do.
type scene struct {
	*testing.T
	store.Store
	ctx context.Context
}

func on(t *testing.T, s store.Store) scene { return scene{t, s, t.Context()} }

func (s scene) login(user string, at time.Time) store.Created {
	s.Helper()
	created, err := s.Create(s.ctx, store.NewFamily{
		Owner: store.Owner{Subject: user, Name: user, Source: "test"}, Now: at, Limits: limits(), AccessExpiry: at.Add(15 * time.Minute),
	})
	if err != nil {
		s.Fatalf("Create: %v", err)
	}
	return created
}

func (s scene) refresh(token store.Token, at time.Time, want store.Outcome) store.RotateResult {
	s.Helper()
	return s.refreshWith(token, at, limits(), want)
}

func (s scene) refreshWith(token store.Token, at time.Time, l store.Limits, want store.Outcome) store.RotateResult {
	s.Helper()
	result, err := s.Rotate(s.ctx, store.RotateRequest{Token: token, Now: at, Limits: l, AccessExpiry: at.Add(15 * time.Minute)})
	if err != nil {
		s.Fatalf("Rotate: %v", err)
	}
	if result.Outcome != want {
		s.Fatalf("Rotate: outcome %q, want %q", result.Outcome, want)
	}
	return result
}

func (s scene) logout(sid string, at time.Time) uint64 {
	s.Helper()
	seq, err := s.RevokeSession(s.ctx, store.Revoke{SessionID: sid, Now: at, Retention: limits().Retention})
	if err != nil {
		s.Fatalf("RevokeSession: %v", err)
	}
	return seq
}

func (s scene) last() uint64 {
	s.Helper()
	last, err := s.Last(s.ctx)
	if err != nil {
		s.Fatalf("Last: %v", err)
	}
	return last
}

func same(a, b store.Token) bool { return a.Hash().Equal(b.Hash()) }
