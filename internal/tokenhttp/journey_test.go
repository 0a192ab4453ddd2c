package tokenhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

func TestJourney(t *testing.T) {
	r := newRig(t)
	first := r.login("alice", canary)
	r.want(first, http.StatusOK, "")
	c := r.claims(first.text("access_token"))
	if c.Subject != "alice" || c.ClientID != "keyturn-web" || c.ID == "" || !slices.Equal(c.Audience, []string{"shop"}) ||
		c.Custom["user_id"] != "alice" || c.Custom["role"] != "admin" || len(c.Custom) != 2 || !c.ExpiresAt.Equal(start.Add(15*time.Minute)) || !c.IssuedAt.Equal(start) {
		t.Errorf("claims %+v", c)
	}
	if _, ok := revocation.SessionNumber(c.SessionID); !ok {
		t.Errorf("sid %q", c.SessionID)
	}
	if first.text("token_type") != "Bearer" || first.body["expires_in"] != float64(900) || first.body["refresh_expires_in"] != float64(168*3600) {
		t.Errorf("answer %s", first.raw)
	}
	if !strings.HasPrefix(first.text("refresh_token"), "ktr_") {
		t.Error("the refresh token has no prefix")
	}

	r.clock.advance(14 * time.Minute)
	second := r.refresh(first.text("refresh_token"))
	r.want(second, http.StatusOK, "")
	c2 := r.claims(second.text("access_token"))
	if c2.SessionID != c.SessionID || c2.ID == c.ID || second.text("refresh_token") == first.text("refresh_token") {
		t.Errorf("refreshed claims %+v", c2)
	}
	r.clock.advance(5 * time.Second)
	retry := r.refresh(first.text("refresh_token"))
	r.want(retry, http.StatusOK, "")
	if retry.text("refresh_token") != second.text("refresh_token") {
		t.Error("a retry has another successor")
	}
	other := r.loggedIn("203.0.113.9")
	r.clock.advance(5 * time.Second)
	r.want(r.refresh(first.text("refresh_token")), http.StatusUnauthorized, CodeRefreshReused)
	r.want(r.refresh(second.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	third := r.refresh(other.text("refresh_token"))
	r.want(third, http.StatusOK, "")

	out := r.logout("refresh_token", third.text("refresh_token"))
	r.want(out, http.StatusOK, "")
	if out.body["propagated"] != true {
		t.Errorf("logout: %s", out.raw)
	}
	r.want(r.refresh(third.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	entries, _, err := r.store.Revocations(t.Context(), 0, 10)
	if err != nil || len(entries) != 2 || entries[1].Value != r.claims(third.text("access_token")).SessionID {
		t.Errorf("entries %+v, %v", entries, err)
	}
	for _, again := range []answer{r.logout("refresh_token", third.text("refresh_token")), r.logout("access_token", third.text("access_token")),
		r.logout("refresh_token", store.NewToken().Text().Reveal())} {
		r.want(again, http.StatusOK, "")
	}
	if last, _ := r.store.Last(t.Context()); last != entries[1].Seq {
		t.Error("logging out again wrote another revocation")
	}
}

func TestLoginRefusals(t *testing.T) {
	r := newRig(t)
	wrong := r.login("alice", "wrong")
	unknown := r.login("nobody", "wrong")
	r.want(wrong, http.StatusUnauthorized, CodeInvalidCredentials)
	r.want(unknown, http.StatusUnauthorized, CodeInvalidCredentials)
	if wrong.raw != unknown.raw {
		t.Errorf("the answers differ:\n%s\n%s", wrong.raw, unknown.raw)
	}
	empty := r.login("alice", "")
	r.want(empty, http.StatusUnauthorized, CodeInvalidCredentials)
}

func TestRefreshAsksTheSourceAgain(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	demoted := r.issuer
	demoted.Revision++
	h := *r.issuer.Identity[0].Htpasswd
	h.Roles = "alice: reader"
	demoted.Identity = []snapshot.IdentitySource{{Name: "staff", Htpasswd: &h}}
	r.use(demoted)
	a = r.refresh(a.text("refresh_token"))
	r.want(a, http.StatusOK, "")
	if role := r.claims(a.text("access_token")).Custom["role"]; role != "reader" {
		t.Errorf("role %q after the demotion", role)
	}
	// A source that cannot be read is no reason to end a session.
	files := demoted
	files.Identity = []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{}}}
	if _, err := build(files, nil); err == nil {
		t.Error("a source in files without a directory was taken")
	}
	gone := demoted
	gone.Identity = []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{Users: secret.NewText("bob:" + hashed(t, "x"))}}}
	r.use(gone)
	r.want(r.refresh(a.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	r.use(demoted)
	r.want(r.refresh(a.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	if entries, _, _ := r.store.Revocations(t.Context(), 0, 10); len(entries) != 1 {
		t.Errorf("%d revocations, want that of the user who is gone", len(entries))
	}
	// With another prefix the name means another user.
	b := r.login("bob", "builder")
	prefixed := demoted
	prefixed.Identity = []snapshot.IdentitySource{{Name: "staff", SubjectPrefix: "x:", Htpasswd: demoted.Identity[0].Htpasswd}}
	r.use(prefixed)
	r.want(r.refresh(b.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
}

func TestExpiredRefreshToken(t *testing.T) {
	r := newRig(t)
	a := r.login("alice", canary)
	r.clock.advance(168 * time.Hour)
	r.want(r.refresh(a.text("refresh_token")), http.StatusUnauthorized, CodeRefreshExpired)
	r.want(r.refresh(store.NewToken().Text().Reveal()), http.StatusUnauthorized, CodeRefreshInvalid)
	r.want(r.refresh(a.text("access_token")), http.StatusUnauthorized, CodeRefreshInvalid)
}

func TestLogoutTakesWhatTheUserHas(t *testing.T) {
	r := newRig(t)
	for i, show := range []func(a answer) answer{
		func(a answer) answer { return r.logout("refresh_token", a.text("refresh_token")) },
		func(a answer) answer { return r.logout("access_token", a.text("access_token")) },
		func(a answer) answer {
			return r.do(http.MethodPost, "/auth/logout", "", "Authorization", "Bearer "+a.text("access_token"))
		},
		func(a answer) answer { // much later: the access token has expired long ago
			r.clock.advance(48 * time.Hour)
			return r.do(http.MethodPost, "/auth/logout", "", "Authorization", "bearer "+a.text("access_token"))
		},
		func(a answer) answer { // an interceptor that adds a broken bearer must not stop a logout
			return r.do(http.MethodPost, "/auth/logout", object("refresh_token", a.text("refresh_token")), "Authorization", "Bearer x.y.z")
		},
		func(a answer) answer { // a token replaced long ago still says which session
			next := r.refresh(a.text("refresh_token"))
			r.want(next, http.StatusOK, "")
			r.clock.advance(time.Hour)
			return r.logout("refresh_token", a.text("refresh_token"))
		},
	} {
		a := r.loggedIn(fmt.Sprint("203.0.113.", i+1))
		before, _ := r.store.Last(t.Context())
		r.want(show(a), http.StatusOK, "")
		after, _ := r.store.Last(t.Context())
		if after <= before {
			t.Errorf("way %d revoked nothing", i)
		}
		if i != 5 {
			r.want(r.refresh(a.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
		}
	}
}

func TestLogoutWaitsForTheEdges(t *testing.T) {
	r := newRig(t)
	if !r.leases.Wait(t.Context(), 0) { // the first lease after the start
		t.Fatal("Wait")
	}
	first := r.loggedIn("203.0.113.1")
	if _, err := r.leases.Report("edge-0", 0); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	answered := make(chan answer, 1)
	begun := time.Now()
	go func() { a := r.logout("refresh_token", first.text("refresh_token")); done.Store(true); answered <- a }()
	var number uint64
	for number == 0 {
		number, _ = r.store.Last(t.Context())
	}
	if done.Load() {
		t.Error("answered before the edge had it")
	}
	if _, err := r.leases.Report("edge-0", number); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.body["propagated"] != true || time.Since(begun) > 10*leaseLength {
		t.Errorf("%s after %s", a.raw, time.Since(begun))
	}
	// A laggard is waited for as long as its lease, then named in the answer.
	second := r.loggedIn("203.0.113.2")
	_, _ = r.leases.Report("edge-0", number)
	begun = time.Now()
	lagging := r.logout("refresh_token", second.text("refresh_token"))
	r.want(lagging, http.StatusOK, "")
	if took := time.Since(begun); lagging.body["propagated"] != false || took < leaseLength*3/4 {
		t.Errorf("%s after %s", lagging.raw, took)
	}
	r.want(r.refresh(second.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
}

func TestRateLimit(t *testing.T) {
	r := newRig(t)
	from := func(address string) answer {
		return r.do(http.MethodPost, "/auth/login", object("username", "bob", "password", "wrong"), "X-Forwarded-For", address)
	}
	for i := range 10 {
		a := from("2001:db8:1:2::" + fmt.Sprint(i+1)) // one /64
		r.want(a, http.StatusUnauthorized, CodeInvalidCredentials)
		if got, want := a.header.Get("RateLimit"), fmt.Sprintf(`"login";r=%d;`, 9-i); !strings.HasPrefix(got, want) {
			t.Errorf("RateLimit %q, want %s…", got, want)
		}
		if got := a.header.Get("RateLimit-Policy"); got != `"login";q=10;w=60` {
			t.Errorf("RateLimit-Policy %q", got)
		}
		r.clock.advance(time.Second)
	}
	limited := from("2001:db8:1:2:ffff::1")
	r.want(limited, http.StatusTooManyRequests, CodeRateLimited)
	if got := limited.header.Get("Retry-After"); got != "50" {
		t.Errorf("Retry-After %s, want 50", got)
	}
	r.want(from("2001:db8:1:3::1"), http.StatusUnauthorized, CodeInvalidCredentials)
	r.want(from("evil, 2001:db8:1:3::1, 2001:db8:1:2::1"), http.StatusTooManyRequests, CodeRateLimited)
	r.clock.advance(50 * time.Second)
	r.want(from("2001:db8:1:2::1"), http.StatusUnauthorized, CodeInvalidCredentials)
}

func TestUntrustedPeer(t *testing.T) {
	r := newRig(t)
	r.login("alice", canary)
	if s := r.service.Status(t.Context()); s.UntrustedPeer != "" {
		t.Errorf("untrusted peer %q", s.UntrustedPeer)
	}
	doc := r.issuer
	doc.TrustedProxies = nil
	r.use(doc)
	for range 9 {
		r.want(r.do(http.MethodPost, "/auth/login", object("username", "alice", "password", "x"), "X-Forwarded-For", "198.51.100.7"), http.StatusUnauthorized, CodeInvalidCredentials)
	}
	// All count for the peer: what an untrusted one says of others is not believed.
	r.want(r.login("alice", canary), http.StatusTooManyRequests, CodeRateLimited)
	if s := r.service.Status(t.Context()); s.UntrustedPeer != "127.0.0.1" {
		t.Errorf("untrusted peer %q, want 127.0.0.1", s.UntrustedPeer)
	}
	r.clock.advance(strangerFor)
	if s := r.service.Status(t.Context()); s.UntrustedPeer != "" {
		t.Errorf("untrusted peer %q long after", s.UntrustedPeer)
	}
}

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

func TestStoreDown(t *testing.T) {
	r := newRig(t)
	b := &broken{Store: r.store}
	r.server.Close()
	r.families, r.sessions = b, b
	r.service.Families, r.service.Sessions = measuredFamilies{b, r.service.metrics}, measuredSessions{b, r.service.metrics}
	r.server = httptest.NewServer(r.service.Public())
	r.url = r.server.URL
	a := r.login("alice", canary)
	fail := func(what string) {
		if what == "" {
			b.fail.Store(nil)
			return
		}
		b.fail.Store(&what)
	}
	for _, test := range []struct {
		operation string
		ask       func() answer
	}{
		{"create", func() answer { return r.login("alice", canary) }},
		{"take", func() answer { return r.login("alice", canary) }},
		{"inspect", func() answer { return r.refresh(a.text("refresh_token")) }},
		{"rotate", func() answer { return r.refresh(a.text("refresh_token")) }},
		{"inspect", func() answer { return r.logout("refresh_token", a.text("refresh_token")) }},
		{"revoke", func() answer { return r.logout("refresh_token", a.text("refresh_token")) }},
		{"revoke", func() answer { return r.logout("access_token", a.text("access_token")) }},
	} {
		fail(test.operation)
		r.want(test.ask(), http.StatusServiceUnavailable, CodeStoreUnavailable)
	}
	fail("all")
	if s := r.service.Status(t.Context()); s.StoreReachable {
		t.Error("the status says that the store is reachable")
	}
	fail("")
	if s := r.service.Status(t.Context()); !s.StoreReachable {
		t.Error("the status says that the store is not reachable")
	}
	// Nothing was lost by the failures.
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
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
	if !strings.Contains(out, "refresh_token_reused") || !strings.Contains(out, `keyturn_refreshes_total{result="reused"} 1`) {
		t.Error("the reuse is not reported")
	}
	for _, leak := range []string{canary, "nobody-canary", a.text("refresh_token"), a.text("refresh_token")[10:40], a.text("access_token")[:60], string(r.key.JWK().Reveal())} {
		if strings.Contains(out, leak) {
			t.Errorf("leaked %.20q", leak)
		}
	}
}

func TestStatusAndReadiness(t *testing.T) {
	r := newRig(t)
	internal := httptest.NewServer(r.service.Internal())
	defer internal.Close()
	get := func(path string) (int, string) {
		t.Helper()
		response, err := http.Get(internal.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // only read
		var out strings.Builder
		_, _ = fmt.Fprint(&out, response.Header.Get("Content-Type"), "\n")
		raw := make([]byte, 1<<16)
		n, _ := response.Body.Read(raw)
		out.Write(raw[:n])
		return response.StatusCode, string(raw[:n])
	}
	if code, _ := get("/readyz"); code != http.StatusOK {
		t.Errorf("readyz %d", code)
	}
	r.login("alice", canary)
	old := r.key.KID()
	rotated := r.issuer
	next := newKey(t)
	rotated.Revision, rotated.Keys.Epoch, rotated.Keys.Active, rotated.SigningKey = 8, 4, next.KID(), next.JWK()
	rotated.Keys.Keys = append(slices.Clone(rotated.Keys.Keys), snapshot.Key{KID: next.KID(), Algorithm: string(next.Algorithm()), JWK: next.Public().JWK()})
	r.use(rotated)
	r.clock.advance(time.Minute)
	r.login("alice", canary)
	_, body := get("/status")
	var s snapshot.Status
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if s.Role != "issuer" || s.Instance != "tokenservice-0" || s.TokenService != "shop/auth" || s.Revision != 8 || s.Epoch != 4 || s.ActiveKID != next.KID() || len(s.KIDs) != 2 || !s.StoreReachable {
		t.Errorf("status %+v", s)
	}
	if !s.LatestExpiry[old].Equal(start.Add(15*time.Minute)) || !s.LatestExpiry[next.KID()].Equal(start.Add(16*time.Minute)) {
		t.Errorf("latest expiry %v", s.LatestExpiry)
	}
	if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, "go_") {
		t.Errorf("metrics %d", code)
	}
	r.service.Drain()
	if code, _ := get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readyz while draining: %d", code)
	}
	if code, _ := get("/livez"); code != http.StatusOK {
		t.Errorf("livez while draining: %d", code)
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
