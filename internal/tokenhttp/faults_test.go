package tokenhttp

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestRestart(t *testing.T) {
	r := newRig(t)
	kept, ended := r.loggedIn("203.0.113.1"), r.loggedIn("203.0.113.2")
	r.want(r.logout("refresh_token", ended.text("refresh_token")), http.StatusOK, "")
	number, _ := r.store.Last(t.Context())
	r.restart()
	r.want(r.refresh(ended.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	r.want(r.refresh(kept.text("refresh_token")), http.StatusOK, "")
	if last, _ := r.store.Last(t.Context()); last != number {
		t.Errorf("last revocation %d, was %d", last, number)
	}
	if sid, _ := revocation.SessionNumber(r.claims(r.loggedIn("203.0.113.3").text("access_token")).SessionID); sid <= number {
		t.Errorf("session number %d is not above %d", sid, number)
	}
	// Right after the start nobody knows which edges the process before had.
	begun := time.Now()
	r.want(r.logout("access_token", kept.text("access_token")), http.StatusOK, "")
	if took := time.Since(begun); took > 20*leaseLength {
		t.Errorf("the first logout took %s", took)
	}
}

func TestHundredAtOnce(t *testing.T) {
	r := newRig(t)
	doc := r.issuer
	doc.Refresh.MaxFamiliesPerUser = 1000
	r.use(doc)
	var all sync.WaitGroup
	var mu sync.Mutex
	sessions := map[string]bool{}
	for i := range 100 {
		all.Go(func() {
			a := r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary), "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i+1))
			if a.status != http.StatusOK {
				t.Errorf("login: %d %s", a.status, a.raw)
				return
			}
			for range 3 {
				next := r.refresh(a.text("refresh_token"))
				if next.status != http.StatusOK {
					t.Errorf("refresh: %d %s", next.status, next.raw)
					return
				}
				a = next
			}
			c := r.claims(a.text("access_token"))
			mu.Lock()
			sessions[c.SessionID] = true
			mu.Unlock()
			if i%2 == 0 {
				if out := r.logout("refresh_token", a.text("refresh_token")); out.status != http.StatusOK {
					t.Errorf("logout: %d %s", out.status, out.raw)
				}
				if again := r.refresh(a.text("refresh_token")); again.status != http.StatusUnauthorized {
					t.Errorf("refresh after logout: %d", again.status)
				}
			}
		})
	}
	all.Wait()
	if len(sessions) != 100 {
		t.Errorf("%d sessions for 100 logins", len(sessions))
	}
}

func TestSigningFailureKeepsTheChain(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	tight := r.issuer
	tight.Access.MaxClaimBytes = 5
	r.use(tight)
	r.want(r.refresh(a.text("refresh_token")), http.StatusInternalServerError, CodeInternal)
	doc := r.issuer
	doc.Access.MaxClaimBytes = 1024
	r.use(doc)
	r.clock.advance(time.Hour) // long after the retry window
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
}

func TestNothingLeaks(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	r.login("nobody-canary", canary+"x")
	r.refresh(a.text("refresh_token"))
	r.clock.advance(time.Minute)
	r.refresh(a.text("refresh_token")) // reuse, which is logged
	r.logout("access_token", a.text("access_token"))
	r.do(http.MethodPost, "/auth/login", `{"username":"x","password":"`+canary+`"`)
	internal := httptest.NewRecorder()
	r.service.Internal().ServeHTTP(internal, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	status := httptest.NewRecorder()
	r.service.Internal().ServeHTTP(status, httptest.NewRequest(http.MethodGet, "/status", nil))
	out := r.log.String() + internal.Body.String() + status.Body.String()
	if !strings.Contains(out, "refresh_token_reused") || !strings.Contains(out, `keyturn_refreshes_total{result="late"} 1`) {
		t.Error("the reuse is not reported")
	}
	for _, leak := range []string{canary, "nobody-canary", a.text("refresh_token"), a.text("refresh_token")[10:40], a.text("access_token")[:60], string(r.key.JWK().Reveal())} {
		if strings.Contains(out, leak) {
			t.Errorf("leaked %.20q", leak)
		}
	}
}

func TestNotReady(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	r.document.Store(nil)
	for _, got := range []answer{r.login("alice", canary), r.refresh(a.text("refresh_token")), r.logout("refresh_token", a.text("refresh_token")),
		r.do(http.MethodGet, "/.well-known/jwks.json", ""), r.do(http.MethodGet, "/.well-known/openid-configuration", "")} {
		r.want(got, http.StatusServiceUnavailable, CodeNotReady)
	}
	if why := r.service.notReady(t.Context()); why != "no snapshot in force" {
		t.Errorf("readyz says %q", why)
	}
}

func TestPanicIsAProblem(t *testing.T) {
	r := newRig(t)
	r.service.routes["/boom"] = route{http.MethodGet, func(http.ResponseWriter, *http.Request) *Problem { panic("the password is " + canary) }}
	a := r.do(http.MethodGet, "/boom", "")
	r.want(a, http.StatusInternalServerError, CodeInternal)
	if strings.Contains(a.raw+r.log.String(), canary) || !strings.Contains(r.log.String(), `"msg":"panic"`) {
		t.Error("the panic is quoted, or not logged")
	}
}

func TestUsersFileDown(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	doc := r.issuer
	doc.Identity = []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{}}}
	raw, err := snapshot.EncodeIssuer(doc)
	if err != nil {
		t.Fatal(err)
	}
	sources := identity.NewSources(t.TempDir(), slog.New(slog.DiscardHandler), r.clock.Now)
	down, err := Build(sources, r.service.Hasher)(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	up := r.document.Load()
	r.document.Store(down)
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeIdentityDown)
	r.want(r.refresh(a.text("refresh_token")), http.StatusServiceUnavailable, CodeIdentityDown)
	r.document.Store(up)
	r.clock.advance(time.Hour)
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "") // neither spent nor ended
}

// crowds ask at once, 60 each from its own address, until what needs two at the same moment was met: a machine may run one
// after the other. There are no more of them than an address may log in.
func crowds(met func() bool, ask func(address string)) {
	for range 10 {
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() { ask(fmt.Sprintf("198.51.100.%d", i)) })
		}
		all.Wait()
		if met() {
			return
		}
	}
}

func TestBusy(t *testing.T) {
	r := newRig(t)
	doc, err := snapshot.EncodeIssuer(r.issuer)
	if err != nil {
		t.Fatal(err)
	}
	// No queue at all: of many at once, those that find no slot are turned away at once.
	none, err := Build(nil, identity.NewHasher(1, 0))(doc, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.document.Store(none)
	var busy, ok atomic.Int32
	crowds(func() bool { return ok.Load() > 0 && busy.Load() > 0 }, func(from string) {
		a := r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", canary), "X-Forwarded-For", from)
		switch {
		case a.status == http.StatusOK:
			ok.Add(1)
		case a.status == http.StatusServiceUnavailable && a.text("code") == CodeBusy && a.header.Get("Retry-After") != "":
			busy.Add(1)
		default:
			t.Errorf("%d %s", a.status, a.raw)
		}
	})
	if ok.Load() == 0 || busy.Load() == 0 {
		t.Errorf("%d logged in, %d turned away; want some of both", ok.Load(), busy.Load())
	}
}

// A replica is not ready before its store has answered once. Afterwards it stays so: the keys are served without a store.
func TestReadinessNeedsTheStoreOnce(t *testing.T) {
	r := newRig(t)
	b := &broken{Store: r.store}
	all := "all"
	b.fail.Store(&all)
	r.service.measureStore(Config{Families: b, Sessions: b, Limiter: b, Acquaintances: b})
	r.service.metrics.reached.Store(false)
	if why := r.service.notReady(t.Context()); !strings.HasPrefix(why, "the session store does not answer: ") {
		t.Errorf("with a store that never answered: %q", why)
	}
	b.fail.Store(nil)
	if why := r.service.notReady(t.Context()); why != "" {
		t.Errorf("not ready: %s", why)
	}
	b.fail.Store(&all)
	_ = r.store.Close()
	if why := r.service.notReady(t.Context()); why != "" {
		t.Errorf("with a store that went down: %s", why)
	}
	if status := r.service.Status(t.Context()); status.StoreReachable || status.StoreReason == "" {
		t.Errorf("status with a closed store: %+v", status)
	}
	r.service.StoreReason = func() string { return "mend it so" }
	if status := r.service.Status(t.Context()); status.StoreReason != "mend it so" {
		t.Errorf("the store's own reason: %q", status.StoreReason)
	}
}

func TestBodiesThatDoNotEndWell(t *testing.T) {
	r := newRig(t)
	ask := func(body io.Reader) *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodPost, "/auth/login", body)
		request.ContentLength = -1 // chunked
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		r.service.Public().ServeHTTP(recorder, request)
		return recorder
	}
	if got := ask(strings.NewReader(strings.Repeat(" ", MaxBody+1))); got.Code != http.StatusRequestEntityTooLarge || !strings.Contains(got.Body.String(), CodeTooLarge) {
		t.Errorf("chunked and too large: %d", got.Code)
	}
	if got := ask(iotest.ErrReader(io.ErrUnexpectedEOF)); got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), CodeInvalidRequest) {
		t.Errorf("cut: %d", got.Code)
	}
	if got := ask(strings.NewReader(object("username", "alice", "password", canary))); got.Code != http.StatusOK {
		t.Errorf("chunked and good: %d", got.Code)
	}
}
