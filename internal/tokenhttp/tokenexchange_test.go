package tokenhttp

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestTokenExchange(t *testing.T) {
	r := newOAuthRig(t)
	a := r.exchange("alice", "id_token")
	r.want(a, http.StatusOK, "")
	c := r.claims(a.text("access_token"))
	if c.Subject != "alice" || c.ClientID != webClient || c.SessionID == "" || c.Custom["role"] != "admin" || !slices.Equal(c.Audience, []string{"shop", "billing"}) {
		t.Errorf("claims %+v", c)
	}
	if a.text("issued_token_type") != typeAccessToken || a.text("token_type") != "Bearer" || a.body["expires_in"] != 900.0 || a.body["refresh_expires_in"] != 168*3600.0 {
		t.Errorf("%s", a.raw)
	}
	// The session is one like any other: it is refreshed and ended.
	next := r.refresh(a.text("refresh_token"))
	r.want(next, http.StatusOK, "")
	r.want(r.logout("access_token", a.text("access_token")), http.StatusOK, "")
	r.want(r.refresh(next.text("refresh_token")), http.StatusUnauthorized, CodeSessionRevoked)
	// A bearer token may be shown again: another session.
	again := r.exchange("alice", "id_token", "requested_token_type", typeAccessToken, "audience", "billing", "audience", "shop")
	r.want(again, http.StatusOK, "")
	if r.claims(again.text("access_token")).SessionID == c.SessionID || again.text("refresh_token") == "" {
		t.Errorf("%s", again.raw)
	}
}

// A token for some of the audiences has no refresh token, because the next one would be for all.
func TestTokenExchangeNarrows(t *testing.T) {
	r := newOAuthRig(t)
	a := r.exchange("alice", "id_token", "audience", "shop")
	r.want(a, http.StatusOK, "")
	if c := r.claims(a.text("access_token")); !slices.Equal(c.Audience, []string{"shop"}) || a.body["refresh_token"] != nil || a.body["refresh_expires_in"] != nil {
		t.Errorf("%s, %v", a.raw, c.Audience)
	}
}

// The pods of one account do not push each other out, and none gets a refresh token.
func TestTokenExchangeOfWorkloads(t *testing.T) {
	r := newOAuthRig(t)
	doc := r.issuer
	doc.Refresh.MaxFamiliesPerUser = 2
	r.use(doc)
	var all []answer
	for range 6 {
		a := r.exchange("pod", "jwt")
		r.want(a, http.StatusOK, "")
		if a.body["refresh_token"] != nil {
			t.Fatalf("%s", a.raw)
		}
		all = append(all, a)
	}
	for i, a := range all {
		if got := r.asOrders("/auth/introspect", a.text("access_token")); got.body["active"] != true || got.text("sub") != pod {
			t.Errorf("pod %d: %s", i, got.raw)
		}
	}
	// Each session ends by itself.
	r.want(r.logout("access_token", all[0].text("access_token")), http.StatusOK, "")
	for i, a := range all {
		if got := r.asOrders("/auth/introspect", a.text("access_token")); got.body["active"] != (i != 0) {
			t.Errorf("pod %d after a logout of pod 0: %s", i, got.raw)
		}
	}
	// What nobody can refresh is forgotten with its last token.
	r.clock.advance(16 * time.Minute)
	if n, err := r.store.Compact(t.Context(), r.clock.Now()); err != nil || n < 5 {
		t.Errorf("compacted %d, %v", n, err)
	}
}

// A client's refresh tokens are good for that client only (RFC 6749, section 6).
func TestTokenExchangeByAClient(t *testing.T) {
	r := newOAuthRig(t)
	orders := basic("orders", ordersSecret)
	a := r.post("/auth/token", exchangeForm("alice", "id_token"), orders...)
	r.want(a, http.StatusOK, "")
	if c := r.claims(a.text("access_token")); c.ClientID != "orders" {
		t.Errorf("claims %+v", c)
	}
	grant := url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {a.text("refresh_token")}}
	r.refused(r.post("/auth/token", grant), http.StatusBadRequest, CodeRefreshInvalid, "invalid_grant")
	r.refused(r.post("/auth/token", grant, basic("other", otherSecret)...), http.StatusBadRequest, CodeRefreshInvalid, "invalid_grant")
	r.want(r.refresh(a.text("refresh_token")), http.StatusUnauthorized, CodeRefreshInvalid)
	next := r.post("/auth/token", grant, orders...)
	r.want(next, http.StatusOK, "")
	if c := r.claims(next.text("access_token")); c.ClientID != "orders" {
		t.Errorf("claims %+v", c)
	}
	if seen := r.asOrders("/auth/introspect", next.text("refresh_token")); seen.body["active"] != true || seen.text("client_id") != "orders" {
		t.Errorf("%s", seen.raw)
	}
	r.refused(r.post("/auth/token", exchangeForm("alice", "id_token"), basic("orders", "x")...), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
	r.refused(r.post("/auth/token", exchangeForm("alice", "id_token", "client_id", webClient, "client_secret", ordersSecret)), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
	r.refused(r.post("/auth/token", exchangeForm("alice", "id_token", "client_id", "spa")), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
}

func TestTokenExchangeRefuses(t *testing.T) {
	r := newOAuthRig(t)
	for _, row := range []struct {
		name       string
		form       url.Values
		code, auth string
	}{
		{"a stranger", exchangeForm("mallory", "id_token"), CodeSubjectTokenInvalid, "invalid_request"},
		{"the wrong type", exchangeForm("alice", "jwt"), CodeSubjectTokenInvalid, "invalid_request"},
		{"a type nobody takes", exchangeForm("alice", "saml2"), CodeInvalidRequest, "invalid_request"},
		{"no token", exchangeForm("", "id_token"), CodeInvalidRequest, "invalid_request"},
		{"no type", url.Values{"grant_type": {grantTokenExchange}, "subject_token": {"alice"}}, CodeInvalidRequest, "invalid_request"},
		{"an actor", exchangeForm("alice", "id_token", "actor_token", "bob"), CodeInvalidRequest, "invalid_request"},
		{"an actor's type", exchangeForm("alice", "id_token", "actor_token_type", "x"), CodeInvalidRequest, "invalid_request"},
		{"a refresh token", exchangeForm("alice", "id_token", "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), CodeInvalidRequest, "invalid_request"},
		{"a scope", exchangeForm("alice", "id_token", "scope", "admin"), CodeInvalidScope, "invalid_scope"},
		{"another audience", exchangeForm("alice", "id_token", "audience", "bank"), CodeInvalidTarget, "invalid_target"},
		{"one of ours and another", exchangeForm("alice", "id_token", "audience", "shop", "audience", "bank"), CodeInvalidTarget, "invalid_target"},
		{"a resource", exchangeForm("alice", "id_token", "resource", "https://shop.example.com"), CodeInvalidTarget, "invalid_target"},
	} {
		t.Run(row.name, func(t *testing.T) {
			(&oauthRig{rig: &rig{T: t}}).refused(r.post("/auth/token", row.form), http.StatusBadRequest, row.code, row.auth)
		})
	}
	r.upstream.down.Store(true)
	r.refused(r.exchange("alice", "id_token"), http.StatusServiceUnavailable, CodeIdentityDown, "temporarily_unavailable")
	r.rig.use(r.issuer) // no source takes tokens
	r.refused(r.exchange("alice", "id_token"), http.StatusBadRequest, CodeSubjectTokenInvalid, "invalid_request")
}

func TestTokenExchangeLimit(t *testing.T) {
	r := newOAuthRig(t)
	doc := r.issuer
	doc.LoginLimit = snapshot.RateLimit{Limit: 1, Window: snapshot.Duration(time.Minute)}
	r.use(doc)
	for i := range exchangesPerLogin {
		a := r.exchange("pod", "jwt")
		r.want(a, http.StatusOK, "")
		if want := fmt.Sprintf(`"exchange";r=%d`, exchangesPerLogin-1-i); a.header.Get("RateLimit-Policy") != `"exchange";q=10;w=60` || len(a.header.Get("RateLimit")) < len(want) || a.header.Get("RateLimit")[:len(want)] != want {
			t.Fatalf("%v", a.header)
		}
	}
	r.refused(r.exchange("pod", "jwt"), http.StatusTooManyRequests, CodeRateLimited, "temporarily_unavailable")
	// A request that is refused without any work is not counted; a client has its own budget, and so have logins.
	for range 20 {
		r.want(r.post("/auth/token", exchangeForm("pod", "jwt"), basic("orders", ordersSecret)...), http.StatusOK, "")
	}
	r.want(r.login("alice", canary), http.StatusOK, "")
}
