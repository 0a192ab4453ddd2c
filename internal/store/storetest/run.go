package storetest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/revocation"
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
		run  func(*testing.T, scene)
	}{
		{"Rotate", testRotate},
		{"RetryWindow", testRetryWindow},
		{"ReuseRevokesThatFamilyOnly", testReuse},
		{"Expiry", testExpiry},
		{"UnknownToken", testUnknown},
		{"Eviction", testEviction},
		{"FleetingFamiliesTakeNoPlace", testFleeting},
		{"ChosenToken", testChosenToken},
		{"ChosenTokenReplacesWhatIsOver", testChosenReplaces},
		{"ChosenTokenOfAnotherUser", testChosenOwner},
		{"Until", testUntil},
		{"Prolonged", testProlonged},
		{"ParallelExchanges", testParallelExchanges},
		{"ParallelExchangesAgain", testParallelExchangesAgain},
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
		{"Refund", testRefund},
		{"RefundParallel", testRefundParallel},
		{"Acquaintances", testAcquaintances},
		{"AcquaintancesAreBounded", testPlacesBound},
		{"AcquaintancesParallel", testPlacesParallel},
		{"ID", testID},
		{"CancelledContext", testCancelled},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, on(t, open(t))) })
	}
}

// repeat is how often a race is run: full is for KEYTURN_SOAK=1, otherwise a tenth of it.
func repeat(full int) int {
	if soak() {
		return full
	}
	return full / 10
}

func soak() bool { return os.Getenv("KEYTURN_SOAK") == "1" }

func limits() store.Limits {
	return store.Limits{
		Idle: time.Hour, Absolute: 10 * time.Hour, RetryWindow: 10 * time.Second, MaxFamilies: 5,
		Retention: store.Retention{AccessTTL: 15 * time.Minute, Slack: 2 * time.Minute},
	}
}

// scene is a store with short words for what the tests do.
type scene struct {
	*testing.T
	store.Store // the first replica
	ctx         context.Context
	// replicas are the same store, opened several times where it is shared; races spread over them.
	replicas []store.Store
	// base is the newest number at the start: a store may begin with an entry that distrusts everything before it.
	base uint64
}

func on(t *testing.T, replicas ...store.Store) scene {
	t.Helper()
	s := scene{T: t, Store: replicas[0], ctx: t.Context(), replicas: replicas}
	s.base = s.last()
	return s
}

func (s scene) replica(i int) store.Store { return s.replicas[i%len(s.replicas)] }

// stranger is the id of a session that the store does not know.
func (s scene) stranger() string {
	s.Helper()
	return revocation.SessionID(s.login("somebody", Start).Family.Number)
}

// newer returns the entries above a number, which must not be more than limit.
func (s scene) newer(after uint64, limit int) []revocation.Entry {
	s.Helper()
	entries, more, err := s.Revocations(s.ctx, after, limit)
	if err != nil || more {
		s.Fatalf("Revocations: more than %d: %t, %v", limit, more, err)
	}
	return entries
}

func owner(user string) store.Owner {
	return store.Owner{Subject: user, Name: user, Source: "test", Client: "spa", Role: "admin", Claims: map[string]string{"team": "blue", "grüße": "\u2028\""}}
}

func (s scene) login(user string, at time.Time) store.Created {
	s.Helper()
	created, err := s.Create(s.ctx, store.NewFamily{
		Owner: owner(user), Now: at, Limits: limits(), AccessExpiry: at.Add(15 * time.Minute),
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
