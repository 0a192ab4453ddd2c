package tokenhttp

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/store"
)

func TestIntrospectAccessToken(t *testing.T) {
	r := newOAuthRig(t)
	a := r.login("alice", canary)
	c := r.claims(a.text("access_token"))
	got := r.asOrders("/auth/introspect", a.text("access_token"))
	r.want(got, http.StatusOK, "")
	want := map[string]any{"active": true, "token_type": "Bearer", "iss": "https://auth.example.com", "sub": "alice", "aud": []any{"shop", "billing"},
		"exp": float64(start.Unix() + 900), "iat": float64(start.Unix()), "jti": c.ID, "sid": c.SessionID, "client_id": webClient, "user_id": "alice", "role": "admin"}
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Error(diff)
	}
	r.clock.advance(15*time.Minute - time.Second)
	if got := r.asOrders("/auth/introspect", a.text("access_token")); got.body["active"] != true {
		t.Errorf("a second before its end: %s", got.raw)
	}
	r.clock.advance(time.Second)
	r.inactive(a.text("access_token"))
}

// inactive wants {"active":false} and nothing else.
func (r *oauthRig) inactive(token string) {
	r.Helper()
	if got := r.asOrders("/auth/introspect", token); got.status != http.StatusOK || got.raw != "{\"active\":false}\n" || got.header.Get("Cache-Control") != "no-store" {
		r.Errorf("%d %s", got.status, got.raw)
	}
}

func TestIntrospectSeesRevocations(t *testing.T) {
	r := newOAuthRig(t)
	for name, revoke := range map[string]func(a answer){
		"session": func(a answer) { r.want(r.logout("refresh_token", a.text("refresh_token")), http.StatusOK, "") },
		"jti": func(a answer) {
			r.append(revocation.Entry{Kind: revocation.TokenID, Value: r.claims(a.text("access_token")).ID})
		},
		"user": func(answer) { r.append(revocation.Entry{Kind: revocation.User, Value: "alice"}) },
		"all":  func(answer) { r.append(revocation.Entry{Kind: revocation.All}) },
	} {
		a := r.loggedIn("203.0.113." + fmt.Sprint(len(name)))
		if got := r.asOrders("/auth/introspect", a.text("access_token")); got.body["active"] != true {
			t.Errorf("%s: %s", name, got.raw)
		}
		revoke(a)
		r.inactive(a.text("access_token"))
		if name != "jti" {
			r.inactive(a.text("refresh_token"))
		}
	}
	a := r.loggedIn("203.0.113.200")
	r.append(revocation.Entry{Kind: revocation.Key, Value: r.key.KID()})
	r.inactive(a.text("access_token"))
}

func (r *oauthRig) append(e revocation.Entry) {
	r.Helper()
	e.Expires = r.clock.Now().Add(time.Hour)
	if _, err := r.store.Append(r.Context(), "", e); err != nil {
		r.Fatal(err)
	}
}

func TestIntrospectRefreshToken(t *testing.T) {
	r := newOAuthRig(t)
	a := r.login("alice", canary)
	sid := r.claims(a.text("access_token")).SessionID
	r.clock.advance(time.Hour)
	next := r.refresh(a.text("refresh_token"))
	got := r.asOrders("/auth/introspect", next.text("refresh_token"))
	want := map[string]any{"active": true, "token_type": "refresh_token", "iss": "https://auth.example.com", "sub": "alice", "aud": []any{"shop", "billing"},
		"exp": float64(start.Unix() + 169*3600), "iat": float64(start.Unix() + 3600), "sid": sid, "client_id": webClient}
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Error(diff)
	}
	r.inactive(a.text("refresh_token")) // replaced
	if got := r.asOrders("/auth/introspect", next.text("refresh_token")); got.body["active"] != true {
		t.Errorf("asking spent it: %s", got.raw)
	}
	r.clock.advance(200 * time.Hour)
	r.inactive(next.text("refresh_token"))
}

func TestIntrospectTellsNothing(t *testing.T) {
	r := newOAuthRig(t)
	a := r.login("alice", canary)
	access, refresh := a.text("access_token"), a.text("refresh_token")
	for _, token := range []string{"x", "a.b.c", access + "x", flip(access, len(access)-5), foreignToken(t, start), "ktr_", "ktr_" + refresh[5:], store.NewToken().Text().Reveal(), strings.Repeat("a", 9000), "\x00", "é"} {
		r.inactive(token)
	}
	// Tokens for others than the client's audiences look like those that are not good.
	for _, token := range []string{access, refresh} {
		for _, hint := range []string{"", "access_token", "refresh_token", "pat"} {
			got := r.post("/auth/introspect", url.Values{"token": {token}, "token_type_hint": {hint}}, basic("other", otherSecret)...)
			if got.status != 200 || got.raw != "{\"active\":false}\n" {
				t.Errorf("%s", got.raw)
			}
			if got := r.post("/auth/introspect", url.Values{"token": {token}, "token_type_hint": {hint}}, basic("orders", ordersSecret)...); got.body["active"] != true {
				t.Errorf("hint %q: %s", hint, got.raw)
			}
		}
	}
	r.refused(r.post("/auth/introspect", url.Values{}, basic("orders", ordersSecret)...), http.StatusBadRequest, CodeInvalidRequest, "invalid_request")
}

func TestIntrospectWaitsForTheList(t *testing.T) {
	r := newOAuthRig(t)
	a := r.login("alice", canary)
	r.follower.loaded.Store(false)
	r.refused(r.asOrders("/auth/introspect", a.text("access_token")), http.StatusServiceUnavailable, CodeNotReady, "temporarily_unavailable")
	r.inactive("a.b.c") // no list can make that better
	r.service.Revocations = nil
	r.refused(r.asOrders("/auth/introspect", a.text("access_token")), http.StatusServiceUnavailable, CodeNotReady, "temporarily_unavailable")
}

func TestRevokeEndpoint(t *testing.T) {
	r := newOAuthRig(t)
	for i, member := range []string{"access_token", "refresh_token"} {
		a := r.loggedIn(fmt.Sprint("203.0.113.", i))
		if member == "access_token" {
			r.clock.advance(2 * time.Hour) // expired long ago
		}
		// A client that does not see the token changes nothing, and is not told so.
		foreign := r.post("/auth/revoke", url.Values{"token": {a.text(member)}}, basic("other", otherSecret)...)
		unknown := r.asOrders("/auth/revoke", store.NewToken().Text().Reveal())
		r.want(foreign, http.StatusOK, "")
		if foreign.raw != unknown.raw || unknown.status != http.StatusOK || foreign.raw != "{\"propagated\":false}\n" {
			t.Errorf("foreign %s, unknown %s", foreign.raw, unknown.raw)
		}
		next := r.refresh(a.text("refresh_token"))
		r.want(next, http.StatusOK, "")
		done := r.asOrders("/auth/revoke", a.text(member))
		r.want(done, http.StatusOK, "")
		if done.body["propagated"] != true {
			t.Errorf("%s", done.raw)
		}
		r.want(r.refresh(next.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
		r.inactive(next.text("access_token"))
		r.want(r.asOrders("/auth/revoke", a.text(member)), http.StatusOK, "") // twice is fine
	}
	before, _ := r.store.Last(t.Context())
	a := r.loggedIn("203.0.113.77")
	for _, token := range []string{"x", "a.b.c", flip(a.text("access_token"), len(a.text("access_token"))-5), foreignToken(t, r.clock.Now()), "ktr_x"} {
		r.want(r.asOrders("/auth/revoke", token), http.StatusOK, "")
	}
	if after, _ := r.store.Last(t.Context()); after != before {
		t.Errorf("%d revocations by tokens that are not good", after-before)
	}
	r.refused(r.post("/auth/revoke", url.Values{}, basic("orders", ordersSecret)...), http.StatusBadRequest, CodeInvalidRequest, "invalid_request")
	r.refused(r.post("/auth/revoke", url.Values{"token": {a.text("access_token")}}), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
}

// What the store did not take is not answered with a 200.
func TestOAuthStoreFaults(t *testing.T) {
	r := newOAuthRig(t)
	faulty := &broken{Store: r.store}
	r.service.Families, r.service.Sessions, r.service.Limiter = faulty, faulty, faulty
	a := r.login("alice", canary)
	for operation, ask := range map[string]func() answer{
		"revoke":  func() answer { return r.asOrders("/auth/revoke", a.text("access_token")) },
		"inspect": func() answer { return r.asOrders("/auth/revoke", a.text("refresh_token")) },
		"inspect refresh": func() answer {
			return r.asOrders("/auth/introspect", a.text("refresh_token"))
		},
		"create": func() answer { return r.exchange("alice", "id_token") },
		"take":   func() answer { return r.exchange("alice", "id_token") },
		"rotate": func() answer {
			return r.post("/auth/token", url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {a.text("refresh_token")}})
		},
	} {
		name, _, _ := strings.Cut(operation, " ")
		faulty.fail.Store(&name)
		r.refused(ask(), http.StatusServiceUnavailable, CodeStoreUnavailable, "temporarily_unavailable")
	}
	none := ""
	faulty.fail.Store(&none)
	r.want(r.refresh(a.text("refresh_token")), http.StatusOK, "")
	r.document.Store(nil)
	for _, path := range []string{"/auth/token", "/auth/revoke", "/auth/introspect"} {
		r.refused(r.asOrders(path, "x"), http.StatusServiceUnavailable, CodeNotReady, "temporarily_unavailable")
	}
}
