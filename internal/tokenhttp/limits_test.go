package tokenhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// newLimitRig allows three failures an account and hour.
func newLimitRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	doc := r.issuer
	doc.LoginLimit.Limit = 1000
	doc.FailureLimit = snapshot.RateLimit{Limit: 3, Window: snapshot.Duration(time.Hour)}
	r.use(doc)
	return r
}

func (r *rig) loginFrom(address, name, password string) answer {
	r.Helper()
	return r.do(http.MethodPost, "/auth/login", object("username", name, "password", password), "X-Forwarded-For", address)
}

func TestFailureLimit(t *testing.T) {
	r := newLimitRig(t)
	// The same for a user who exists and for one who does not, in every header but the date.
	var limited []answer
	for _, name := range []string{"bob", "nobody"} {
		for i := range 3 {
			r.want(r.loginFrom(fmt.Sprintf("198.51.100.%d", i), name, "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
		}
		a := r.loginFrom("198.51.100.9", name, "builder") // right for bob
		r.want(a, http.StatusTooManyRequests, CodeAccountLimited)
		if a.header.Get("Retry-After") != "3600" || a.header.Get("RateLimit-Policy") != `"login";q=1000;w=60, "account";q=3;w=3600` || !strings.HasSuffix(a.header.Get("RateLimit"), `, "account";r=0;t=3600`) {
			t.Errorf("%s: %v", name, a.header)
		}
		limited = append(limited, a)
	}
	if limited[0].raw != limited[1].raw {
		t.Errorf("the answers differ:\n%s\n%s", limited[0].raw, limited[1].raw)
	}
	// All spellings and cases are one account; others are not touched.
	for _, name := range []string{"BOB", "Ｂｏｂ"} {
		r.want(r.loginFrom("198.51.100.20", name, "x"), http.StatusTooManyRequests, CodeAccountLimited)
	}
	r.want(r.loginFrom("198.51.100.20", "alice", canary), http.StatusOK, "")
	r.clock.advance(time.Hour)
	r.want(r.loginFrom("198.51.100.9", "bob", "builder"), http.StatusOK, "")
}

func TestOnlyFailuresCount(t *testing.T) {
	r := newLimitRig(t)
	for i := range 20 {
		r.want(r.loginFrom(fmt.Sprintf("198.51.100.%d", i), "alice", canary), http.StatusOK, "")
	}
	r.want(r.loginFrom("203.0.113.1", "a:b", "x"), http.StatusBadRequest, CodeInvalidRequest)
	for range 10 {
		r.want(r.loginFrom("203.0.113.1", "alice", strings.Repeat("x", identity.MaxPasswordBytes+1)), http.StatusBadRequest, CodeInvalidRequest)
	}
	// Nor does what is nobody's fault.
	up := r.document.Load()
	busy, err := Build(nil, identity.NewHasher(1, 0))(encoded(t, r.issuer), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.document.Store(busy)
	var turnedAway atomic.Int32
	crowds(func() bool { return turnedAway.Load() > 0 }, func(from string) {
		if a := r.loginFrom(from, "bob", "builder"); a.text("code") == CodeBusy {
			turnedAway.Add(1)
		} else if a.status != http.StatusOK && a.text("code") != CodeAccountLimited {
			t.Errorf("%d %s", a.status, a.raw)
		}
	})
	r.document.Store(up)
	if turnedAway.Load() == 0 {
		t.Error("nobody was turned away")
	}
	for i := range 3 {
		r.want(r.loginFrom(fmt.Sprintf("192.0.2.%d", i), "bob", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
	}
	r.want(r.loginFrom("192.0.2.9", "bob", "wrong"), http.StatusTooManyRequests, CodeAccountLimited)
}

// Guesses at the same moment do not get past the limit: the count comes before the hash.
func TestParallelGuesses(t *testing.T) {
	r := newLimitRig(t)
	var denied, limited atomic.Int32
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			switch a := r.loginFrom(fmt.Sprintf("198.51.100.%d", i), "alice", fmt.Sprint("guess ", i)); a.text("code") {
			case CodeInvalidCredentials:
				denied.Add(1)
			case CodeAccountLimited:
				limited.Add(1)
			default:
				t.Errorf("%d %s", a.status, a.raw)
			}
		})
	}
	all.Wait()
	if denied.Load() != 3 || limited.Load() != 37 {
		t.Errorf("%d guesses were looked at, %d refused", denied.Load(), limited.Load())
	}
}

// Who locks an account for others does not lock its owner out of the places where they are at home.
func TestAcquaintedPlaces(t *testing.T) {
	r := newLimitRig(t)
	counted := &counting{Acquaintances: r.store}
	r.service.Acquaintances = counted
	const home, homeToo, away = "2001:db8:1:2::1", "2001:db8:1:2:3::9", "2001:db8:9::1"
	r.want(r.loginFrom(home, "alice", canary), http.StatusOK, "")
	lock := func() {
		t.Helper()
		for range 3 {
			r.want(r.loginFrom("203.0.113.66", "alice", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
		}
		r.want(r.loginFrom("203.0.113.66", "alice", "wrong"), http.StatusTooManyRequests, CodeAccountLimited)
	}
	lock()
	r.want(r.loginFrom(away, "alice", canary), http.StatusTooManyRequests, CodeAccountLimited)
	r.want(r.loginFrom(homeToo, "alice", canary), http.StatusOK, "")
	// Failures at home do not count, and being at home helps no other account.
	for range 10 {
		r.want(r.loginFrom(home, "alice", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
	}
	for range 3 {
		r.want(r.loginFrom(home, "bob", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
	}
	r.want(r.loginFrom(home, "bob", "wrong"), http.StatusTooManyRequests, CodeAccountLimited)

	// One write a day, however often.
	if n := counted.writes.Load(); n != 1 {
		t.Errorf("%d writes for two logins on a day", n)
	}
	for range 10 {
		r.clock.advance(4 * time.Hour)
		r.want(r.loginFrom(home, "alice", canary), http.StatusOK, "")
	}
	if n := counted.writes.Load(); n != 2 {
		t.Errorf("%d writes after two days", n)
	}
	r.clock.advance(acquaintedFor)
	lock()
	r.want(r.loginFrom(home, "alice", canary), http.StatusTooManyRequests, CodeAccountLimited)
}

// An htpasswd list has bob and Bob as two users. Where one of them is at home, guesses at the other one's password count.
func TestAcquaintancesAreOfOneAccount(t *testing.T) {
	r := newLimitRig(t)
	doc := r.issuer
	doc.Identity = []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{
		Users: secret.NewText("bob:" + hashed(t, "builder") + "\nBob:" + hashed(t, "intruder"))}}}
	r.use(doc)
	r.want(r.loginFrom("198.51.100.1", "Bob", "intruder"), http.StatusOK, "")
	for range 3 {
		r.want(r.loginFrom("198.51.100.1", "bob", "guess"), http.StatusUnauthorized, CodeInvalidCredentials)
	}
	r.want(r.loginFrom("198.51.100.1", "bob", "guess"), http.StatusTooManyRequests, CodeAccountLimited)
	r.want(r.loginFrom("198.51.100.1", "Bob", "intruder"), http.StatusOK, "")
}

// A source that compares without regard to case and marks, as many databases do, has one user for all these names: they
// share one limit, or there would be as many guesses as spellings.
func TestSpellingsShareALimit(t *testing.T) {
	for _, names := range [][]string{
		{"alice", "Alice", "álice", "ALÍÇE", "\uff21lice", "a\u0301lice", "a\u20ddlice"},
		{"σίσυφος", "ΣΙΣΥΦΟΣ", "ςίςυφος"},
		{"strasse", "straße", "STRASSE"},
		{"ilker", "İLKER"},
	} {
		r := newLimitRig(t)
		for i := range 3 {
			r.want(r.loginFrom("198.51.100.1", names[i%len(names)], "guess"), http.StatusUnauthorized, CodeInvalidCredentials)
		}
		for _, name := range names {
			if a := r.loginFrom("198.51.100.1", name, "guess"); a.text("code") != CodeAccountLimited {
				t.Errorf("%q beside %q: %d %s", name, names[0], a.status, a.raw)
			}
		}
	}
}

type counting struct {
	store.Acquaintances
	writes atomic.Int32
	// fail makes reading fail, failWrite writing.
	fail, failWrite atomic.Bool
}

func (c *counting) Acquaint(ctx context.Context, account, place string, now, expires time.Time) error {
	c.writes.Add(1)
	if c.failWrite.Load() {
		return store.ErrUnavailable
	}
	if strings.Contains(account+place, "alice") {
		return fmt.Errorf("%w: a name in the store", store.ErrUnavailable)
	}
	return c.Acquaintances.Acquaint(ctx, account, place, now, expires)
}

func (c *counting) Acquainted(ctx context.Context, account, place string, now time.Time) (bool, error) {
	if c.fail.Load() {
		return false, store.ErrUnavailable
	}
	return c.Acquaintances.Acquainted(ctx, account, place, now)
}

func TestLimitsWithoutAStore(t *testing.T) {
	r := newLimitRig(t)
	b, places := &broken{Store: r.store}, &counting{Acquaintances: r.store}
	r.service.Limiter, r.service.Acquaintances = b, places
	places.fail.Store(true)
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeStoreUnavailable)
	places.fail.Store(false)
	take := "take"
	b.fail.Store(&take)
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeStoreUnavailable)
	b.fail.Store(nil)
	r.want(r.login("alice", canary), http.StatusOK, "")
	// What is done after a good login does not take it back.
	places.failWrite.Store(true)
	r.service.Limiter = stubborn{r.store}
	r.want(r.loginFrom("198.51.100.1", "alice", canary), http.StatusOK, "")
	for _, operation := range []string{"refund", "acquaint"} {
		if !strings.Contains(r.log.String(), `"msg":"store_failed","operation":"`+operation+`"`) {
			t.Errorf("a failed %s is not told", operation)
		}
	}
}

// stubborn is a limiter that takes nothing back.
type stubborn struct{ store.Limiter }

func (stubborn) Refund(context.Context, string) error { return store.ErrUnavailable }

func encoded(t *testing.T, doc snapshot.Issuer) []byte {
	t.Helper()
	raw, err := snapshot.EncodeIssuer(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestRefreshKinds(t *testing.T) {
	r := newRig(t)
	for _, row := range []struct {
		kind  string
		after time.Duration
		again int // rotations in between
	}{
		{"raced", 0, 0}, {"raced", 999 * time.Millisecond, 0}, {"retried", time.Second, 0}, {"retried", 9 * time.Second, 0},
		{"late", 10 * time.Second, 0}, {"late", time.Hour, 0}, {"replayed", 0, 1}, {"replayed", time.Minute, 2},
	} {
		first := r.loggedIn("203.0.113.1")
		sid := r.claims(first.text("access_token")).SessionID
		r.clock.advance(time.Minute)
		latest := r.refresh(first.text("refresh_token"))
		for range row.again {
			latest = r.refresh(latest.text("refresh_token"))
		}
		r.clock.advance(row.after)
		before := r.refreshes(row.kind)
		quiet := len(r.log.String())
		a := r.do(http.MethodPost, "/auth/refresh", object("refresh_token", first.text("refresh_token")), "X-Forwarded-For", "198.51.100.77")
		if got := r.refreshes(row.kind); got != before+1 {
			t.Errorf("%s after %s: not counted", row.kind, row.after)
		}
		ends := row.kind == "late" || row.kind == "replayed"
		log := r.log.String()[quiet:]
		if ends {
			r.want(a, http.StatusUnauthorized, CodeRefreshReused)
			r.want(r.refresh(latest.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
		} else {
			r.want(a, http.StatusOK, "")
		}
		told := strings.Contains(log, "refresh_token_reused")
		if told != ends {
			t.Errorf("%s: told %t", row.kind, told)
		}
		for _, want := range []string{`"kind":"` + row.kind + `"`, `"sid":"` + sid + `"`, `"user":"alice"`, `"client":"198.51.100.77"`, `"generation":`} {
			if ends && !strings.Contains(log, want) {
				t.Errorf("no %s in %s", want, log)
			}
		}
		r.clock.advance(time.Minute)
	}
}

func TestAuditOfLogins(t *testing.T) {
	r := newLimitRig(t)
	r.want(r.loginFrom("198.51.100.7", "alice", canary), http.StatusOK, "")
	for range 5 {
		r.loginFrom("198.51.100.8", "hunter2-typed-into-the-name", "x")
	}
	log := r.log.String()
	for _, want := range []string{`"msg":"login","result":"ok","user":"alice","sid":"`, `"client":"198.51.100.7"`, `"msg":"login","result":"denied","account":"`, `"client":"198.51.100.8"`} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	if strings.Contains(log, "hunter2") || strings.Contains(log, canary) {
		t.Errorf("the log has what was typed: %s", log)
	}
	if n := strings.Count(log, `"result":"denied"`); n != 3 {
		t.Errorf("%d lines for 3 denials", n)
	}
	if n := strings.Count(log, `"result":"account_limited"`); n != 2 {
		t.Errorf("%d lines for 2 refusals", n)
	}
	// However many: a bounded number a second, and what was left out is told.
	var d denials
	written := 0
	for range 1000 {
		if write, _ := d.take(start); write {
			written++
		}
	}
	if _, dropped := d.take(start.Add(time.Second)); written != maxDenials || dropped != 1000-maxDenials {
		t.Errorf("%d lines, %d left out", written, dropped)
	}
}

// refreshes is how many refreshes had a result, as /metrics tells it.
func (r *rig) refreshes(result string) int {
	r.Helper()
	answer := httptest.NewRecorder()
	r.service.Internal().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	_, rest, found := strings.Cut(answer.Body.String(), `keyturn_refreshes_total{result="`+result+`"} `)
	n := 0
	if _, err := fmt.Sscan(rest, &n); err != nil || !found {
		r.Fatalf("no counter for %s", result)
	}
	return n
}

// The proxy's own address is everybody's: who logs in from there makes nobody at home there.
func TestTheProxysAddressIsNobodysHome(t *testing.T) {
	r := newRig(t)
	doc := r.issuer
	doc.FailureLimit = snapshot.RateLimit{Limit: 2, Window: snapshot.Duration(time.Hour)}
	r.use(doc)
	r.want(r.login("alice", canary), http.StatusOK, "")
	for range 2 {
		r.want(r.login("alice", "wrong"), http.StatusUnauthorized, CodeInvalidCredentials)
	}
	r.want(r.login("alice", "wrong"), http.StatusTooManyRequests, CodeAccountLimited)
}
