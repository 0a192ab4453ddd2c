package tokenhttp

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestCustomClaims(t *testing.T) {
	user := identity.User{Subject: "app:7", Role: "admin", Claims: map[string]string{"team": "blue", "empty": "", "secret": "x", "user_id": "root", "role": "root"}}
	for _, row := range []struct {
		allowed []string
		user    identity.User
		want    map[string]string
	}{
		{nil, user, nil},
		{[]string{"user_id", "role"}, user, map[string]string{"user_id": "app:7", "role": "admin"}},
		{[]string{"team", "empty", "unknown"}, user, map[string]string{"team": "blue"}},
		{[]string{"team", "role", "user_id"}, user, map[string]string{"team": "blue", "role": "admin", "user_id": "app:7"}},
		{[]string{"role", "user_id"}, identity.User{Subject: "7", Claims: user.Claims}, map[string]string{"user_id": "7"}}, // a role that a claim says is none
	} {
		if got := custom(row.allowed, row.user); !maps.Equal(got, row.want) {
			t.Errorf("%v: %v, want %v", row.allowed, got, row.want)
		}
	}
	m := mint{client: "spa", doc: &Document{Issuer: snapshot.Issuer{Access: snapshot.AccessToken{Claims: []string{"team", "role"}}}}}
	if o := m.owner(user); o.Role != "" || o.Claims != nil || o.Client != "spa" || o.Subject != "app:7" {
		t.Errorf("of a source that is asked again more is kept than needed: %+v", o)
	}
	user.Remembered, user.Claims = true, map[string]string{"team": "blue", "secret": "x"}
	if o := m.owner(user); o.Role != "admin" || !maps.Equal(o.Claims, map[string]string{"team": "blue"}) {
		t.Errorf("kept %+v", o)
	}
}

// hooked is a rig whose users are those of a webhook with these answers.
func hooked(t *testing.T, lookup bool) (r *rig, login, again *atomic.Value) {
	r, login, again = newRig(t), &atomic.Value{}, &atomic.Value{}
	login.Store(`200 {"user_id":"7","role":"admin","claims":{"team":"blue","secret":"x"}}`)
	again.Store(`200 {"user_id":"7","role":"user","claims":{"team":"green"}}`)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		answer := login
		if q.URL.Path == "/lookup" {
			answer = again
		}
		status, body, _ := strings.Cut(answer.Load().(string), " ")
		w.Header().Set("Content-Type", "application/json")
		code := 0
		_, _ = fmt.Sscan(status, &code)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(app.Close)
	doc := r.issuer
	doc.Access.Claims = []string{"user_id", "role", "team"}
	hook := &snapshot.Webhook{LoginURL: app.URL + "/login"}
	if lookup {
		hook.LookupURL = app.URL + "/lookup"
	}
	doc.Identity = []snapshot.IdentitySource{{Name: "app", SubjectPrefix: "app:", Webhook: hook}}
	raw, err := snapshot.EncodeIssuer(doc)
	if err != nil {
		t.Fatal(err)
	}
	built, err := Build(identity.NewSources(t.TempDir(), slog.New(slog.DiscardHandler), r.clock.Now), r.service.Hasher)(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.issuer = doc
	r.document.Store(built)
	return r, login, again
}

// custom checks the custom claims of the pair and returns its refresh token.
func (r *rig) custom(a answer, want map[string]string) string {
	r.Helper()
	r.want(a, http.StatusOK, "")
	if got := r.claims(a.text("access_token")).Custom; !maps.Equal(got, want) {
		r.Errorf("claims %v, want %v", got, want)
	}
	return a.text("refresh_token")
}

func TestWebhookThatIsAskedAgain(t *testing.T) {
	r, login, again := hooked(t, true)
	refresh := r.custom(r.login("alice", canary), map[string]string{"user_id": "app:7", "role": "admin", "team": "blue"})
	refresh = r.custom(r.refresh(refresh), map[string]string{"user_id": "app:7", "role": "user", "team": "green"})
	again.Store(`200 {"user_id":"7"}`)
	refresh = r.custom(r.refresh(refresh), map[string]string{"user_id": "app:7"})
	again.Store(`500 {}`)
	r.want(r.refresh(refresh), http.StatusServiceUnavailable, CodeIdentityDown) // neither spent nor ended
	again.Store(`200 {"user_id":"7","role":"user"}`)
	refresh = r.custom(r.refresh(refresh), map[string]string{"user_id": "app:7", "role": "user"})
	again.Store(`404 {}`)
	r.want(r.refresh(refresh), http.StatusUnauthorized, CodeSessionRevoked)
	login.Store(`401 {}`)
	r.want(r.login("alice", canary), http.StatusUnauthorized, CodeInvalidCredentials)
	login.Store(`404 {}`)
	r.want(r.login("alice", canary), http.StatusUnauthorized, CodeInvalidCredentials)
	login.Store(`503 {}`)
	r.want(r.login("alice", canary), http.StatusServiceUnavailable, CodeIdentityDown)
	if strings.Contains(r.log.String(), canary) {
		t.Error("a password is in the log")
	}
}

// Without a lookup the role of the login lives as long as the session, over a restart too.
func TestWebhookThatIsNotAskedAgain(t *testing.T) {
	r, _, _ := hooked(t, false)
	want := map[string]string{"user_id": "app:7", "role": "admin", "team": "blue"}
	refresh := r.custom(r.login("alice", canary), want)
	refresh = r.custom(r.refresh(refresh), want)
	r.restart()
	refresh = r.custom(r.refresh(refresh), want)
	// The source is taken away: its sessions end.
	doc := r.issuer
	doc.Identity = issuerDocument(t, r.key).Identity
	r.use(doc)
	r.want(r.refresh(refresh), http.StatusUnauthorized, CodeSessionRevoked)
}
