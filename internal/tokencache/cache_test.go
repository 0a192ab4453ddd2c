package tokencache

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/token"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

const (
	issuer   = "https://id.example.test"
	audience = "https://api.example.test"
)

// signer signs anything, also what the token service never would.
type signer struct {
	public  *token.PublicKey
	private ed25519.PrivateKey
}

var signers = sync.OnceValue(func() (all []signer) {
	for range 4 {
		key, err := token.Generate(token.EdDSA, 0)
		if err != nil {
			panic(err)
		}
		var jwk struct{ D string }
		if err := json.Unmarshal(key.JWK().Reveal(), &jwk); err != nil {
			panic(err)
		}
		seed, err := base64.RawURLEncoding.DecodeString(jwk.D)
		if err != nil {
			panic(err)
		}
		all = append(all, signer{key.Public(), ed25519.NewKeyFromSeed(seed)})
	}
	return all
})

var b64 = base64.RawURLEncoding.EncodeToString

func (s signer) sign(claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	input := b64(fmt.Appendf(nil, `{"alg":"EdDSA","typ":"at+jwt","kid":%q}`, s.public.KID())) + "." + b64(payload)
	return input + "." + b64(ed25519.Sign(s.private, []byte(input)))
}

// good is a token that is valid from iat for so many seconds.
func good(n int, iat, seconds int64) map[string]any {
	return map[string]any{"iss": issuer, "sub": "user-" + strconv.Itoa(n), "aud": audience, "iat": iat, "exp": iat + seconds, "jti": "jti-" + strconv.Itoa(n),
		"sid": revocation.SessionID(uint64(n + 1)), "client_id": "keyturn-web", "user_id": "u" + strconv.Itoa(n), "role": "customer"}
}

func verifier(t testing.TB, keys ...signer) *token.Verifier {
	t.Helper()
	var public []*token.PublicKey
	for _, k := range keys {
		again, err := token.ParsePublic(k.public.JWK()) // a document's keys are read anew
		if err != nil {
			t.Fatal(err)
		}
		public = append(public, again)
	}
	set, err := token.NewKeySet(public...)
	if err != nil {
		t.Fatal(err)
	}
	return &token.Verifier{Issuer: issuer, Audiences: []string{audience}, Keys: set, MaxTTL: time.Hour, Skew: time.Minute}
}

// differs compares what the cache says with what the verifier says.
func differs(got Verified, want token.Verified) string {
	c := want.Claims
	type flat struct {
		outcome                                  policy.Outcome
		reason                                   policy.Reason
		sub, jti, sid, client, kid, role, userID string
	}
	a := flat{got.Outcome, got.Reason, got.Subject(), got.TokenID(), got.SessionID(), got.ClientID(), got.KID(), got.Claim("role"), got.Claim("user_id")}
	b := flat{want.Outcome, want.Reason, c.Subject, c.ID, c.SessionID, c.ClientID, want.KID, c.Custom["role"], c.Custom["user_id"]}
	if want.Outcome != policy.Valid {
		b = flat{outcome: want.Outcome, reason: want.Reason}
	}
	if len(c.Custom) > 0 && want.Outcome == policy.Valid && !maps.Equal(c.Custom, got.Custom()) {
		return fmt.Sprintf("the cache says %v, the verifier %v", got.Custom(), c.Custom)
	}
	if a != b || got.Claim("sub") != a.sub || got.Claim("jti") != a.jti || got.Claim("sid") != a.sid || got.Claim("client_id") != a.client || got.Claim("nobody") != "" {
		return fmt.Sprintf("the cache says %+v, the verifier %+v", a, b)
	}
	return ""
}

func soak(small, full int) int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return full
	}
	return small
}

// tokens are of every sort, and some change what they are worth within the time of a story.
func tokens(r *rand.Rand, start int64) []string {
	all := []string{"", "garbage", "a.b.c"}
	for n := range 60 {
		s := signers()[r.IntN(len(signers()))]
		c := good(n, start+r.Int64N(400)-200, 60+r.Int64N(600))
		switch r.IntN(12) {
		case 0:
			c["nbf"] = start + r.Int64N(400)
		case 1:
			c["iss"] = "https://other.example.test"
		case 2:
			c["aud"] = []string{"https://else.example.test"}
		case 3:
			c["exp"] = c["iat"].(int64) + 3700 // within an hour and the larger skew
		case 4:
			delete(c, "role")
			delete(c, "sid")
		}
		raw := s.sign(c)
		if r.IntN(8) == 0 {
			raw = raw[:len(raw)-8] + "AAAAAAAA"
		}
		all = append(all, raw)
	}
	return all
}

// Whatever is asked, in whatever order, while time goes on and back, documents change, keys go and come back and tokens
// are revoked: the cache answers what a verifier without a memory answers.
func TestAnswersOfTheVerifier(t *testing.T) {
	stories, hits := soak(60, 6000), uint64(0)
	for story := range stories {
		r := rand.New(rand.NewPCG(uint64(story), 7))
		now := time.Unix(1_800_000_000, r.Int64N(1e9))
		all, list := tokens(r, now.Unix()), revocation.NewList()
		budget := int64(DefaultBytes)
		if r.IntN(2) == 0 {
			budget = shards * (overhead + 200) * 2 // two a shard
		}
		v := verifier(t, signers()[:3]...)
		cache := New(v, budget)
		revoked := func(sub, sid, jti, kid string) bool {
			return list.Revoked(revocation.Credential{User: sub, SessionID: sid, TokenID: jti, KID: kid})
		}
		for step := range 400 {
			switch r.IntN(60) {
			case 0:
				now = now.Add(time.Duration(r.Int64N(int64(90 * time.Second))))
			case 1:
				now = now.Add(-time.Duration(r.Int64N(int64(120 * time.Second))))
			case 2:
				v = change(t, r, v)
				cache = Next(cache, v, budget)
			case 3:
				e := revocation.Entry{Seq: list.Applied() + 1, Kind: revocation.TokenID, Value: "jti-" + strconv.Itoa(r.IntN(60)), Expires: now.Add(time.Hour)}
				if r.IntN(4) == 0 {
					e.Kind, e.Value = revocation.Key, signers()[r.IntN(4)].public.KID()
				}
				if err := list.Apply(e); err != nil {
					t.Fatal(err)
				}
			}
			raw := all[r.IntN(len(all))]
			got, want := cache.Verify(now, raw), v.Verify(now, raw)
			if problem := differs(got, want); problem != "" {
				t.Fatalf("story %d, step %d: %s", story, step, problem)
			}
			if want.Outcome == policy.Valid && revoked(got.Subject(), got.SessionID(), got.TokenID(), got.KID()) != revoked(want.Claims.Subject, want.Claims.SessionID, want.Claims.ID, want.KID) {
				t.Fatalf("story %d, step %d: revoked differs", story, step)
			}
		}
		hits += cache.Stats().Hits
	}
	if hits < uint64(stories)*20 {
		t.Errorf("%d hits in %d stories: the cache was hardly asked", hits, stories)
	}
}

// change makes the verifier of the next document.
func change(t *testing.T, r *rand.Rand, v *token.Verifier) *token.Verifier {
	first := r.IntN(3)
	next := verifier(t, signers()[first:first+1+r.IntN(len(signers())-first)]...)
	next.Issuer, next.Audiences, next.MaxTTL, next.Skew = v.Issuer, v.Audiences, v.MaxTTL, v.Skew
	switch r.IntN(10) {
	case 0:
		next.Keys = v.Keys
	case 1:
		next.Issuer = []string{issuer, "https://other.example.test"}[r.IntN(2)]
	case 2:
		next.Audiences = [][]string{{audience}, {"https://else.example.test"}, {"https://else.example.test", audience}}[r.IntN(3)]
	case 3:
		next.MaxTTL = []time.Duration{time.Hour, 5 * time.Minute, 0}[r.IntN(3)]
	case 4:
		next.Skew = []time.Duration{0, time.Minute, 5 * time.Minute}[r.IntN(3)]
	}
	return next
}

// TestNextKnowsEveryMember fails when a verifier gets a member that sameQuestions does not compare.
func TestNextKnowsEveryMember(t *testing.T) {
	base := verifier(t, signers()[0])
	differ := map[string]func(*token.Verifier){
		"Issuer": func(v *token.Verifier) { v.Issuer += "x" }, "Audiences": func(v *token.Verifier) { v.Audiences = append([]string{"x"}, v.Audiences...) },
		"AnyAudience": func(v *token.Verifier) { v.AnyAudience = true }, "MaxTTL": func(v *token.Verifier) { v.MaxTTL++ }, "Skew": func(v *token.Verifier) { v.Skew++ },
	}
	for _, name := range memberNames() {
		if name == "Keys" {
			continue
		}
		spoil, known := differ[name]
		if !known {
			t.Errorf("token.Verifier.%s is not compared: an entry could outlive what it rests on", name)
			continue
		}
		other := *base
		spoil(&other)
		if sameQuestions(base, &other) {
			t.Errorf("a change of %s is not noticed", name)
		}
	}
}

// counting tells how often the verifier was asked.
func counting(c *Cache) *atomic.Int64 {
	n, ask := new(atomic.Int64), c.verify
	c.verify = func(now time.Time, raw string) token.Verified {
		n.Add(1)
		return ask(now, raw)
	}
	return n
}

func TestNextKeepsWhatItMay(t *testing.T) {
	now := time.Now()
	one, two := signers()[0].sign(good(1, now.Unix(), 600)), signers()[1].sign(good(2, now.Unix(), 600))
	cache := New(verifier(t, signers()[:2]...), 0)
	for _, raw := range []string{one, two} {
		if cache.Verify(now, raw).Outcome != policy.Valid {
			t.Fatal("not valid")
		}
	}
	if Next(cache, verifier(t, signers()[:2]...), 0) != cache {
		t.Error("the same document again, and another cache")
	}
	for name, c := range map[string]struct {
		keys   []signer
		change func(*token.Verifier)
		asked  int64
		valid  int
	}{
		"a key more":        {signers()[:3], nil, 0, 2},
		"a key less":        {signers()[:1], nil, 1, 1},
		"other keys":        {signers()[2:], nil, 2, 0},
		"another issuer":    {signers()[:2], func(v *token.Verifier) { v.Issuer = "x" }, 2, 0},
		"a larger skew":     {signers()[:2], func(v *token.Verifier) { v.Skew *= 2 }, 2, 2},
		"audiences besides": {signers()[:2], func(v *token.Verifier) { v.Audiences = append(v.Audiences, "x") }, 2, 2},
	} {
		v := verifier(t, c.keys...)
		if c.change != nil {
			c.change(v)
		}
		next := Next(cache, v, 0)
		asked, valid := counting(next), 0
		for _, raw := range []string{one, two} {
			if next.Verify(now, raw).Outcome == policy.Valid {
				valid++
			}
		}
		if asked.Load() != c.asked || valid != c.valid {
			t.Errorf("%s: the verifier was asked %d times, want %d; %d valid, want %d", name, asked.Load(), c.asked, valid, c.valid)
		}
		if s := next.Stats(); s.Hits+s.Misses < 4 {
			t.Errorf("%s: the counters began again: %+v", name, s)
		}
	}
}

// A check that began before a key was removed, and ends after, must not teach the cache of those that came after.
func TestLateAnswersStayBehind(t *testing.T) {
	now := time.Now()
	raw := signers()[1].sign(good(1, now.Unix(), 600))
	cache := New(verifier(t, signers()[:2]...), 0)
	next := Next(cache, verifier(t, signers()[0]), 0)
	if cache.Verify(now, raw).Outcome != policy.Valid || next.Verify(now, raw).Reason != policy.UnknownKey {
		t.Error("a removed key counts")
	}
}

func TestHitsDoNotVerify(t *testing.T) {
	now := time.Now()
	cache := New(verifier(t, signers()[0]), 0)
	asked := counting(cache)
	raw, bad := signers()[0].sign(good(1, now.Unix(), 600)), signers()[1].sign(good(1, now.Unix(), 600))
	for range 10 {
		cache.Verify(now, raw)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times about one token", asked.Load())
	}
	for range 10 {
		cache.Verify(now, bad)
	}
	if s := cache.Stats(); asked.Load() != 11 || s.Entries != 1 || s.Hits != 9 || s.Misses != 11 {
		t.Errorf("asked %d times, %+v", asked.Load(), s)
	}
	if n := testing.AllocsPerRun(1000, func() { cache.Verify(now, raw) }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

// A bad signature is computed once, as long as the verifier would say the same: until `exp`, not before the first time,
// and not for another verifier.
func TestBadSignaturesAreComputedOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	v := verifier(t, signers()[:2]...)
	cache := New(v, 0)
	asked := counting(cache)
	raw := signers()[0].sign(good(1, now.Unix(), 600))
	bad := raw[:len(raw)-8] + "AAAAAAAA"
	end := now.Add(600*time.Second + v.Skew)
	for i, step := range []struct {
		at     time.Time
		reason policy.Reason
		asked  uint64
	}{
		{now, policy.BadSignature, 1}, {now, policy.BadSignature, 1}, {now.Add(time.Minute), policy.BadSignature, 1}, {end.Add(-1), policy.BadSignature, 1},
		{end, policy.ReasonExpired, 2}, {now.Add(-1), policy.BadSignature, 3}, {now.Add(-time.Hour), policy.NotYetValid, 4}, {now, policy.BadSignature, 4},
	} {
		if got := cache.Verify(step.at, bad); got.Reason != step.reason || uint64(asked.Load()) != step.asked || got.Subject() != "" {
			t.Errorf("step %d: %s, asked %d times, want %s, %d", i, got.Reason, asked.Load(), step.reason, step.asked)
		}
	}
	if got := cache.Verify(now, raw); got.Outcome != policy.Valid {
		t.Errorf("the good one: %s", got.Reason)
	}
	next := Next(cache, verifier(t, signers()[0]), 0)
	if asked := counting(next); next.Verify(now, bad).Reason != policy.BadSignature || asked.Load() != 1 {
		t.Errorf("the next verifier was asked %d times", asked.Load())
	}
	if n := testing.AllocsPerRun(1000, func() { cache.Verify(now, bad) }); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// A scan of valid tokens that are used once does not push out those that are used, and bad ones push out nobody.
func TestScans(t *testing.T) {
	now := time.Now()
	cache := New(verifier(t, signers()[0]), 1<<20)
	asked := counting(cache)
	hot := make([]string, 500)
	for n := range hot {
		hot[n] = signers()[0].sign(good(n, now.Unix(), 600))
		cache.Verify(now, hot[n])
		cache.Verify(now, hot[n])
	}
	asked.Store(0)
	for n := range 8000 {
		cache.Verify(now, signers()[0].sign(good(1000+n, now.Unix(), 600)))
		if n%8 == 0 {
			cache.Verify(now, hot[n/8%len(hot)])
		}
	}
	if again := asked.Load() - 8000; again > 25 {
		t.Errorf("%d of the 500 hot tokens had to be verified again", again)
	}
	s := cache.Stats()
	if s.Bytes > 1<<20 || s.Evicted == 0 || s.Entries < 1500 || s.Bytes < indexed(cache) {
		t.Errorf("%+v", s)
	}
	asked.Store(0)
	for n := range 2000 {
		cache.Verify(now, signers()[1].sign(good(n, now.Unix(), 600)))
	}
	if after := cache.Stats(); asked.Load() != 2000 || after.Entries != s.Entries || after.Evicted != s.Evicted {
		t.Errorf("a flood of unknown keys: asked %d times, %+v, before %+v", asked.Load(), after, s)
	}
}

// Memory goes back with the traffic: who comes later finds what is over and drops it.
func TestExpiredEntriesGo(t *testing.T) {
	now := time.Now()
	cache := New(verifier(t, signers()[0]), 0)
	for n := range 2000 {
		cache.Verify(now, signers()[0].sign(good(n, now.Unix(), 60)))
	}
	later := now.Add(10 * time.Minute)
	for n := range 1000 {
		cache.Verify(later, signers()[0].sign(good(10_000+n, later.Unix(), 60)))
	}
	if s := cache.Stats(); s.Entries > 1010 || s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
}

// TestBytes holds the figures of [Stats] against the collector's, and the bound against what fills it.
func TestBytes(t *testing.T) {
	const many = 20_000
	now, s := time.Now(), signers()[0]
	all := make([]string, many)
	for n := range all {
		all[n] = s.sign(good(n, now.Unix(), 600))
	}
	cache := New(verifier(t, s), 0)
	before := heap()
	for _, raw := range all {
		cache.Verify(now, raw)
	}
	took, figures := heap()-before, cache.Stats()
	if figures.Entries != many || float64(figures.Bytes) < 0.8*float64(took) || float64(figures.Bytes) > 1.4*float64(took) {
		t.Errorf("%+v, and the heap grew by %d", figures, took)
	}
	t.Logf("%d bytes a token", took/many)
	runtime.KeepAlive(all)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Readers, new tokens, evictions and new documents at once; the race detector watches.
func TestConcurrently(t *testing.T) {
	now := time.Now()
	var cache atomic.Pointer[Cache]
	cache.Store(New(verifier(t, signers()[:2]...), shards*(overhead+200)*3))
	all := make([]string, 600)
	for n := range all {
		all[n] = signers()[n%3].sign(good(n, now.Unix(), 600))
	}
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range soak(5000, 500_000) {
				n := r.IntN(len(all))
				if v := cache.Load().Verify(now, all[n]); (v.Outcome == policy.Valid) != (n%3 < 2) || v.Outcome == policy.Valid && v.Subject() != "user-"+strconv.Itoa(n) {
					t.Errorf("token %d: %v %v %q", n, v.Outcome, v.Reason, v.Subject())
					return
				}
			}
		})
	}
	group.Go(func() {
		for i := range soak(30, 3000) {
			v := verifier(t, signers()[:2]...)
			v.MaxTTL += time.Duration(i/10) * time.Second
			cache.Store(Next(cache.Load(), v, shards*(overhead+200)*3))
			cache.Load().Stats()
		}
	})
	group.Wait()
}

func BenchmarkHit(b *testing.B) {
	now := time.Now()
	key, err := token.Generate(token.RS256, 0)
	if err != nil {
		b.Fatal(err)
	}
	set, err := token.NewKeySet(key.Public())
	if err != nil {
		b.Fatal(err)
	}
	raw, err := token.NewSigner(key).Sign(token.Claims{Issuer: issuer, Subject: "people:person-1", Audience: []string{audience}, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		ID: "0123456789abcdef", ClientID: "keyturn-web", SessionID: revocation.SessionID(1), Custom: map[string]string{"role": "customer", "user_id": "person-1"}})
	if err != nil {
		b.Fatal(err)
	}
	v := &token.Verifier{Issuer: issuer, Audiences: []string{audience}, Keys: set, MaxTTL: time.Hour, Skew: time.Minute}
	cache, text := New(v, 0), raw.Reveal()
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if cache.Verify(now, text).Outcome != policy.Valid {
				b.Fatal("not valid")
			}
		}
	})
	b.Run("verified", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v.Verify(now, text).Outcome != policy.Valid {
				b.Fatal("not valid")
			}
		}
	})
}

func memberNames() (names []string) {
	for i := range reflect.TypeFor[token.Verifier]().NumField() {
		names = append(names, reflect.TypeFor[token.Verifier]().Field(i).Name)
	}
	return names
}

// indexed is what the entries that can be found take. Entries in no queue would stay for ever.
func indexed(c *Cache) (bytes int64) {
	for i := range c.parts {
		for _, at := range c.parts[i].index {
			bytes += c.parts[i].queue(at).find(at).bytes()
		}
	}
	return bytes
}
