package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

// Nothing stays for ever: after everything has expired, Compact leaves the counters, and the rest goes by itself.
func TestMemoryIsBounded(t *testing.T) {
	server := durable(t)
	s := open(t, at(server))
	for i := range 700 { // more than one step of Compact
		created := login(t, s, fmt.Sprint("user", i%20))
		if i%3 == 0 {
			if _, err := logout(t, s, created.Family.SessionID); err != nil {
				t.Fatal(err)
			}
		}
		if i%5 == 0 {
			if _, err := s.Append(t.Context(), fmt.Sprint("id", i), revocation.Entry{Kind: revocation.User, Value: fmt.Sprint("user", i%20), Expires: now.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Take(t.Context(), fmt.Sprint("key", i), 10, time.Minute, now); err != nil {
			t.Fatal(err)
		}
		if err := s.Acquaint(t.Context(), fmt.Sprint("user", i), "place", now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutLease(t.Context(), "edge", 1, time.Second); err != nil {
		t.Fatal(err)
	}
	before := len(command(t, server, "KEYS", "*").([]any))
	removed, err := s.Compact(t.Context(), time.Now().Add(100*24*time.Hour))
	if err != nil || removed < 1000 {
		t.Errorf("Compact removed %d, %v", removed, err)
	}
	for _, key := range command(t, server, "KEYS", "*").([]any) {
		name := key.(string)
		ttl := command(t, server, "PTTL", name).(int64)
		if name != s.meta && (ttl <= 0 || ttl > time.Hour.Milliseconds()+2000) {
			t.Errorf("%s stays for %d ms", name, ttl)
		}
	}
	t.Logf("%d keys before, %d removed", before, removed)
}

// The script decides as store.Family.Judge does, over a walk at random through times, windows and tokens.
func TestJudgesLikeTheFamily(t *testing.T) {
	s := open(t, at(durable(t)))
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test repeats
	outcomes := map[store.Outcome]int{}
	for range rounds(60, 1000) {
		created := login(t, s, "alice")
		tokens := []store.Token{created.Token}
		at := now
		for range 12 {
			at = at.Add(time.Duration(random.Int64N(int64(20*time.Minute))) - 3*time.Minute)
			if random.IntN(12) == 0 {
				at = at.Add(time.Hour)
			}
			l := limits()
			l.RetryWindow = []time.Duration{0, 1, time.Second, 20 * time.Minute}[random.IntN(4)]
			l.MaxFamilies = 0
			token := tokens[max(0, len(tokens)-1-random.IntN(5)/2)]
			if random.IntN(40) == 0 {
				if _, err := s.Append(t.Context(), "", revocation.Entry{Kind: revocation.All, Expires: at.Add(time.Hour)}); err != nil {
					t.Fatal(err)
				}
			}
			seen, err := s.Inspect(t.Context(), token, at, l.RetryWindow)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Rotate(t.Context(), store.RotateRequest{Token: token, Now: at, Limits: l, AccessExpiry: at.Add(time.Minute)})
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != seen.Outcome {
				t.Fatalf("the script says %q, the family %q: %+v at %s", got.Outcome, seen.Outcome, seen.Family, at)
			}
			outcomes[got.Outcome]++
			if got.Outcome == store.Rotated {
				tokens = append(tokens, got.Successor)
			}
		}
	}
	for _, want := range []store.Outcome{store.Rotated, store.Retried, store.Reused, store.Expired, store.Revoked} {
		if outcomes[want] == 0 {
			t.Errorf("the walk never came to %q: %v", want, outcomes)
		}
	}
	t.Log(outcomes)
}

func TestStamps(t *testing.T) {
	for _, at := range []time.Time{{}, now, now.Add(1), time.Unix(0, 1).UTC(), time.Unix(1<<33, 999_999_999).UTC()} {
		text := stamp(at)
		if back, err := timeOf(text); len(text) != 20 || err != nil || !back.Equal(at) {
			t.Errorf("%s became %s and %s, %v", at, text, back, err)
		}
	}
	if early, late := stamp(time.Unix(-5, 0)), stamp(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)); early != strings.Repeat("0", 20) || len(late) != 20 || late < stamp(now) {
		t.Errorf("out of range: %s, %s", early, late)
	}
}

// BenchmarkRotate presents live tokens from many goroutines, each of its own family.
func BenchmarkRotate(b *testing.B) {
	p, err := find()
	if err != nil {
		b.Fatal(err)
	}
	server, err := p.Start(b.Context(), b.TempDir(), redis.Options{Directives: redis.Durable})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Kill()
	s, err := Open(at(server))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // measured before
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Reason() != "" {
		<-tick.C
	}
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		l := limits()
		l.MaxFamilies = 0
		created, err := s.Create(b.Context(), store.NewFamily{Now: now, Limits: l})
		if err != nil {
			b.Error(err)
			return
		}
		token := created.Token
		for pb.Next() {
			r, err := s.Rotate(b.Context(), store.RotateRequest{Token: token, Now: now, Limits: l})
			if err != nil {
				b.Error(err)
				return
			}
			token = r.Successor
		}
	})
}
