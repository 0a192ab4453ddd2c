package tokenhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
)

// The secrets of the rig's two clients. The first has what a form encodes, as base64 does.
const (
	ordersSecret = "orders+canary/4711=aaaaaaaaaaaaaaaaaaaaaaaa"
	otherSecret  = "other-canary-4711-bbbbbbbbbbbbbbbbbbbbbbbb"
	pod          = "system:serviceaccount:shop:billing"
)

// secretTable are clients without files.
type secretTable map[string][]string

func (t secretTable) Secrets(id string) ([]secret.Text, error) {
	if len(t[id]) == 0 {
		return nil, errors.New("no such file")
	}
	var all []secret.Text
	for _, s := range t[id] {
		all = append(all, secret.NewText(s))
	}
	return all, nil
}

// upstream stands for the identity sources that take tokens of others: the token is the user's name.
type upstream struct{ down atomic.Bool }

func (u *upstream) Exchange(ctx context.Context, subjectTokenType string, token secret.Text, _ time.Time) (identity.User, error) {
	switch name := token.Reveal(); {
	case ctx.Err() != nil:
		return identity.User{}, ctx.Err()
	case token.Reveal() == "slow":
		return identity.User{}, context.DeadlineExceeded
	case u.down.Load():
		return identity.User{}, identity.ErrUnavailable
	case subjectTokenType == "urn:ietf:params:oauth:token-type:id_token" && name == "alice":
		return identity.User{Subject: "alice", Name: "alice", Role: "admin", Source: "staff", Refreshable: true}, nil
	case subjectTokenType == "urn:ietf:params:oauth:token-type:jwt" && name == "pod":
		return identity.User{Subject: pod, Name: pod, Role: "batch", Source: "cluster"}, nil
	case subjectTokenType == "urn:ietf:params:oauth:token-type:saml2":
		return identity.User{}, identity.ErrTokenType
	default:
		return identity.User{}, identity.ErrDenied
	}
}

// follower answers from the store itself.
type follower struct {
	store  store.Log
	loaded atomic.Bool
}

func (f *follower) Loaded() bool { return f.loaded.Load() }

// No test here has legacy sessions.
func (f *follower) Applied() uint64 { return 0 }

func (f *follower) UserBefore(string) uint64 { return 0 }

func (f *follower) Revoked(c revocation.Credential) bool {
	entries, _, err := f.store.Revocations(context.Background(), 0, 1000)
	last, err2 := f.store.Last(context.Background())
	list := revocation.NewList()
	if err := errors.Join(err, err2, list.Replace(entries, last)); err != nil {
		panic("no revocations")
	}
	return list.Revoked(c)
}

// oauthRig is a rig with clients and a provider of tokens.
type oauthRig struct {
	*rig
	upstream *upstream
	follower *follower
	secrets  secretTable
}

func newOAuthRig(t *testing.T) *oauthRig {
	t.Helper()
	r := &oauthRig{rig: newRig(t), upstream: &upstream{}, secrets: secretTable{"orders": {ordersSecret}, "other": {otherSecret}}}
	r.follower = &follower{store: r.store}
	r.follower.loaded.Store(true)
	r.service.Clients, r.service.Revocations = r.secrets, r.follower
	doc := r.issuer
	doc.Access.Audiences = []string{"shop", "billing"}
	doc.Clients = []snapshot.Client{{ID: "orders", Audiences: []string{"shop"}}, {ID: "other", Audiences: []string{"elsewhere"}}, {ID: "nosecret", Audiences: []string{"shop"}}}
	r.use(doc)
	return r
}

// use takes a document and gives it the rig's provider.
func (r *oauthRig) use(doc snapshot.Issuer) {
	r.Helper()
	r.rig.use(doc)
	built := *r.document.Load()
	built.exchange = r.upstream
	r.document.Store(&built)
}

// basic is the header of a client that encodes as RFC 6749 says.
func basic(id, proof string) []string {
	request := &http.Request{Header: http.Header{}}
	request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(proof))
	return []string{"Authorization", request.Header.Get("Authorization")}
}

func (r *oauthRig) post(path string, f url.Values, headers ...string) answer {
	r.Helper()
	return r.form(path, f.Encode(), headers...)
}

func (r *oauthRig) form(path, body string, headers ...string) answer {
	r.Helper()
	return r.do(http.MethodPost, path, body, append([]string{"Content-Type", "-", "Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func (r *oauthRig) asOrders(path, token string) answer {
	r.Helper()
	return r.post(path, url.Values{"token": {token}}, basic("orders", ordersSecret)...)
}

func (r *oauthRig) exchange(subject, kind string, more ...string) answer {
	r.Helper()
	return r.post("/auth/token", exchangeForm(subject, kind, more...))
}

func exchangeForm(subject, kind string, more ...string) url.Values {
	f := url.Values{"grant_type": {grantTokenExchange}, "subject_token": {subject}, "subject_token_type": {"urn:ietf:params:oauth:token-type:" + kind}}
	for i := 0; i+1 < len(more); i += 2 {
		f.Add(more[i], more[i+1])
	}
	return f
}

// refused checks what every refusal of an OAuth endpoint has.
func (r *oauthRig) refused(a answer, status int, code, oauthError string) {
	r.Helper()
	if a.status != status || a.text("code") != code || a.text("error") != oauthError {
		r.Fatalf("answer %d %q %q, want %d %q %q: %s", a.status, a.text("code"), a.text("error"), status, code, oauthError, a.raw)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" || a.body["status"] != float64(status) || a.text("title") == "" {
		r.Errorf("%v %s", a.header, a.raw)
	}
	for _, c := range a.text("error_description") {
		if c < ' ' || c > '~' || c == '"' || c == '\\' { // RFC 6749, section 5.2
			r.Errorf("error_description has %q: %s", c, a.raw)
		}
	}
	if (status == http.StatusUnauthorized) != strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") || a.text("error_description") == "" {
		r.Errorf("%v %s", a.header, a.raw)
	}
	if (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) != (a.header.Get("Retry-After") != "") {
		r.Errorf("Retry-After %q of a %d", a.header.Get("Retry-After"), status)
	}
}

func TestClientAuthentication(t *testing.T) {
	r := newOAuthRig(t)
	doc := r.issuer
	doc.LoginLimit.Limit = 10_000
	r.use(doc)
	curl := &http.Request{Header: http.Header{}}
	curl.SetBasicAuth("orders", ordersSecret) // not encoded
	good := url.Values{"token": {"x"}}
	with := func(more ...string) url.Values {
		f := url.Values{"token": {"x"}}
		for i := 0; i+1 < len(more); i += 2 {
			f.Add(more[i], more[i+1])
		}
		return f
	}
	for _, row := range []struct {
		name    string
		form    url.Values
		headers []string
		status  int
		code    string
	}{
		{"basic", good, basic("orders", ordersSecret), 200, ""},
		{"basic, not encoded", good, []string{"Authorization", curl.Header.Get("Authorization")}, 200, ""},
		{"basic in small letters", good, []string{"Authorization", strings.Replace(basic("orders", ordersSecret)[1], "Basic", "basic", 1)}, 200, ""},
		{"body", with("client_id", "orders", "client_secret", ordersSecret), nil, 200, ""},
		{"basic and the same client_id", with("client_id", "orders"), basic("orders", ordersSecret), 200, ""},
		{"basic and another client_id", with("client_id", "other"), basic("orders", ordersSecret), 400, CodeInvalidRequest},
		{"both ways", with("client_id", "orders", "client_secret", ordersSecret), basic("orders", ordersSecret), 400, CodeInvalidRequest},
		{"secret without an id", with("client_secret", ordersSecret), nil, 400, CodeInvalidRequest},
		{"nobody", good, nil, 401, CodeInvalidClient},
		{"the public client", with("client_id", webClient), nil, 401, CodeInvalidClient},
		{"the public client with a secret", with("client_id", webClient, "client_secret", ordersSecret), nil, 401, CodeInvalidClient},
		{"id only", with("client_id", "orders"), nil, 401, CodeInvalidClient},
		{"wrong secret", good, basic("orders", ordersSecret+"x"), 401, CodeInvalidClient},
		{"cut secret", good, basic("orders", ordersSecret[:32]), 401, CodeInvalidClient},
		{"no secret", good, basic("orders", ""), 401, CodeInvalidClient},
		{"another's secret", good, basic("orders", otherSecret), 401, CodeInvalidClient},
		{"unknown client", good, basic("nobody", ordersSecret), 401, CodeInvalidClient},
		{"no client", good, basic("", ordersSecret), 401, CodeInvalidClient},
		{"bearer", good, []string{"Authorization", "Bearer x"}, 401, CodeInvalidClient},
		{"two headers", good, append(basic("orders", ordersSecret), basic("orders", ordersSecret)...), 401, CodeInvalidClient},
		{"not base64", good, []string{"Authorization", "Basic !"}, 401, CodeInvalidClient},
		{"no colon", good, []string{"Authorization", "Basic b3JkZXJz"}, 401, CodeInvalidClient},
		{"the secret's file is missing", good, basic("nosecret", ordersSecret), 503, CodeNotReady},
	} {
		for _, path := range []string{"/auth/introspect", "/auth/revoke"} {
			a := r.post(path, row.form, row.headers...)
			if a.status != row.status || a.text("code") != row.code {
				t.Errorf("%s, %s: %d %s, want %d %s", row.name, path, a.status, a.raw, row.status, row.code)
			}
			if row.status == 401 && (a.header.Get("WWW-Authenticate") != basicChallenge || a.text("error") != "invalid_client") {
				t.Errorf("%s: %v %s", row.name, a.header, a.raw)
			}
		}
	}
	r.service.Clients = nil
	r.refused(r.asOrders("/auth/introspect", "x"), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
	if strings.Contains(r.log.String(), "canary") {
		t.Errorf("the log tells a secret:\n%s", r.log)
	}
}

func TestClientSecretRotation(t *testing.T) {
	r := newOAuthRig(t)
	next := strings.Repeat("n", MinSecretBytes)
	r.secrets["orders"] = []string{ordersSecret, next}
	for _, proof := range []string{ordersSecret, next} {
		r.want(r.post("/auth/introspect", url.Values{"token": {"x"}}, basic("orders", proof)...), http.StatusOK, "")
	}
	r.secrets["orders"] = []string{next}
	r.refused(r.asOrders("/auth/introspect", "x"), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
}

// Failures are counted by address, successes are not, and logins have a budget of their own.
func TestClientGuessing(t *testing.T) {
	r := newOAuthRig(t)
	for range 3 * r.issuer.LoginLimit.Limit {
		r.want(r.asOrders("/auth/introspect", "x"), http.StatusOK, "")
	}
	guess := func(path, from string) answer {
		return r.post(path, url.Values{"token": {"x"}}, append(basic("orders", "guess"), "X-Forwarded-For", from)...)
	}
	for i := range r.issuer.LoginLimit.Limit {
		r.refused(guess([]string{"/auth/introspect", "/auth/revoke", "/auth/token"}[i%3], "203.0.113.9"), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
	}
	past := guess("/auth/revoke", "203.0.113.9")
	r.refused(past, http.StatusTooManyRequests, CodeRateLimited, "temporarily_unavailable")
	if past.header.Get("RateLimit") == "" || past.header.Get("RateLimit-Policy") != `"client";q=10;w=60` {
		t.Errorf("%v", past.header)
	}
	r.refused(guess("/auth/revoke", "203.0.113.10"), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
	r.loggedIn("203.0.113.9")
	r.clock.advance(time.Minute)
	r.refused(guess("/auth/revoke", "203.0.113.9"), http.StatusUnauthorized, CodeInvalidClient, "invalid_client")
}

func TestRefreshGrant(t *testing.T) {
	r := newOAuthRig(t)
	a := r.login("alice", canary)
	grant := func(text string, headers ...string) answer {
		return r.post("/auth/token", url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {text}, "client_id": {webClient}}, headers...)
	}
	first := grant(a.text("refresh_token"))
	r.want(first, http.StatusOK, "")
	if first.text("token_type") != "Bearer" || r.claims(first.text("access_token")).ClientID != webClient {
		t.Errorf("%s", first.raw)
	}
	again := grant(a.text("refresh_token"))
	if again.text("refresh_token") != first.text("refresh_token") || again.text("refresh_token") == "" {
		t.Errorf("a retry: %s", again.raw)
	}
	r.want(r.refresh(first.text("refresh_token")), http.StatusOK, "")
	r.clock.advance(time.Hour)
	r.refused(grant(first.text("refresh_token")), http.StatusBadRequest, CodeRefreshReused, "invalid_grant")
	r.refused(grant(first.text("refresh_token")), http.StatusBadRequest, CodeSessionRevoked, "invalid_grant")
	r.refused(grant("ktr_x"), http.StatusBadRequest, CodeRefreshInvalid, "invalid_grant")
	r.refused(grant(""), http.StatusBadRequest, CodeInvalidRequest, "invalid_request")
	b := r.login("bob", "builder")
	r.refused(r.post("/auth/token", url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {b.text("refresh_token")}, "scope": {"openid"}}), http.StatusBadRequest, CodeInvalidScope, "invalid_scope")
	r.clock.advance(200 * time.Hour)
	r.refused(grant(b.text("refresh_token")), http.StatusBadRequest, CodeRefreshExpired, "invalid_grant")
	for grant, code := range map[string]string{"password": CodeUnsupportedGrant, "authorization_code": CodeUnsupportedGrant, "": CodeInvalidRequest} {
		r.refused(r.post("/auth/token", url.Values{"grant_type": {grant}}), http.StatusBadRequest, code, code)
	}
}

func ExampleProblem() {
	fmt.Println(unauthorized(CodeRefreshReused, "Used before").oauth().Error)
	// Output: invalid_grant
}
