package tokenhttp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
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
	entries, _, err := r.store.Revocations(t.Context(), r.born, 10)
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
	if entries, _, _ := r.store.Revocations(t.Context(), r.born, 10); len(entries) != 1 {
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

func TestRateLimit(t *testing.T) {
	r := newRig(t)
	from := func(address string) answer {
		return r.do(http.MethodPost, "/auth/login", object("username", "bob", "password", "wrong"), "X-Forwarded-For", address)
	}
	for i := range 10 {
		a := from("2001:db8:1:2::" + fmt.Sprint(i+1)) // one /64
		r.want(a, http.StatusUnauthorized, CodeInvalidCredentials)
		want := fmt.Sprintf(`"login";r=%d`, 9-i)
		if i == 9 {
			want += ";t=51" // the first of them was 9 s ago
		}
		if got := a.header.Get("RateLimit"); got != want {
			t.Errorf("RateLimit %q, want %s", got, want)
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
