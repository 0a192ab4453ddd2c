package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keyturn/keyturn/hack/stage"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keysecret"
	"github.com/keyturn/keyturn/internal/token"
)

// propagated tells whether the answer to a logout says that every edge has heard of it.
func propagated(answer stage.Answer) bool {
	var out struct {
		Propagated bool `json:"propagated"`
	}
	return answer.Decode(&out) == nil && out.Propagated
}

// propagating waits until logouts reach every edge: when a token service has started again, or their way to it has changed,
// the edges come back one after the other, and until then a logout says that it has not reached them.
func propagating(t *testing.T, user *stage.User) {
	t.Helper()
	eventually(t, func(ctx context.Context) (string, error) {
		tokens, answer, err := user.Login(ctx, bob, bobPassword)
		if err != nil || answer.Status != http.StatusOK {
			return fmt.Sprintf("login: %d %s", answer.Status, answer.Code()), err
		}
		remember(tokens)
		if answer, err = user.Logout(ctx, tokens.Refresh); err != nil || !propagated(answer) {
			return fmt.Sprintf("the logout says %s", answer.Body), err
		}
		return "", nil
	})
}

// TestJourney is the demo's path: in, call, refresh, out.
func TestJourney(t *testing.T) {
	user := theStage.User()
	propagating(t, user)
	first := login(t, user, alice, alicePassword)
	answer, err := user.CallAs(t.Context(), "/orders?x=1", first.Access)
	wantAnswer(t, "call", answer, err, http.StatusOK, "")
	var seen stage.Seen
	if err := answer.Decode(&seen); err != nil || seen != (stage.Seen{User: "staff:alice", Role: "admin", Method: seen.Method, Path: "/orders"}) || seen.Method == "" {
		t.Errorf("the application saw %+v (error %v)", seen, err)
	}
	second, answer, err := user.Refresh(t.Context(), first.Refresh)
	wantAnswer(t, "refresh", answer, err, http.StatusOK, "")
	remember(second)
	if second.Refresh == first.Refresh || second.Access == first.Access {
		t.Error("a refresh does not rotate both tokens")
	}
	again, answer, err := user.Refresh(t.Context(), first.Refresh)
	wantAnswer(t, "the same refresh token at once", answer, err, http.StatusOK, "")
	if again.Refresh != second.Refresh {
		t.Error("a retry returns another successor: there are two chains")
	}
	remember(again)
	answer, err = user.Logout(t.Context(), second.Refresh)
	wantAnswer(t, "logout", answer, err, http.StatusOK, "")
	if !propagated(answer) {
		t.Errorf("logout answered %s, want propagated", answer.Body)
	}
	// No wait: the logout has been answered, so every edge refuses.
	for range 20 {
		answer, err = user.CallAs(t.Context(), "/orders", second.Access)
		wantAnswer(t, "call after logout", answer, err, http.StatusUnauthorized, "revoked")
	}
	_, answer, err = user.Refresh(t.Context(), second.Refresh)
	if err != nil || answer.Status != http.StatusUnauthorized || answer.Code() == "" {
		t.Errorf("refresh after logout: %d %q (error %v)", answer.Status, answer.Code(), err)
	}
	answer, err = user.Logout(t.Context(), second.Refresh)
	wantAnswer(t, "logout again", answer, err, http.StatusOK, "")
}

// TestRefusals go through the real nginx.
func TestRefusals(t *testing.T) {
	user := theStage.User()
	good := login(t, user, alice, alicePassword).Access
	parts := strings.Split(good, ".")
	private, claims := signingKey(t), claimsOf(t, parts[1])
	forge := func(edit func(*token.Claims)) string {
		c := claims
		edit(&c)
		raw, err := token.NewSigner(private).Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return raw.Reveal()
	}
	stranger, err := token.Generate(token.Algorithm("RS256"), 2048)
	if err != nil {
		t.Fatal(err)
	}
	strangers, err := token.NewSigner(stranger).Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Hour
	rows := []struct {
		name    string
		headers []string
		status  int
		code    string
	}{
		{"good", []string{"Authorization", "Bearer " + good}, 200, ""},
		{"scheme in lower case", []string{"Authorization", "bearer " + good}, 200, ""},
		{"no header", nil, 401, "no_credential"},
		{"another scheme", []string{"Authorization", "Basic YTpi"}, 401, ""},
		{"empty token", []string{"Authorization", "Bearer "}, 401, ""},
		{"no JWT", []string{"Authorization", "Bearer garbage"}, 401, ""},
		{"two parts", []string{"Authorization", "Bearer " + parts[0] + "." + parts[1]}, 401, ""},
		{"cut signature", []string{"Authorization", "Bearer " + good[:len(good)-8]}, 401, ""},
		{"changed payload", []string{"Authorization", "Bearer " + parts[0] + "." + parts[1][:len(parts[1])-4] + "AAAA." + parts[2]}, 401, ""},
		{"another's key", []string{"Authorization", "Bearer " + strangers.Reveal()}, 401, ""},
		{"expired", []string{"Authorization", "Bearer " + forge(func(c *token.Claims) { c.IssuedAt, c.ExpiresAt = c.IssuedAt.Add(-hour), c.ExpiresAt.Add(-hour) })}, 401, "expired"},
		{"another audience", []string{"Authorization", "Bearer " + forge(func(c *token.Claims) { c.Audience = []string{"https://elsewhere.example"} })}, 401, ""},
		{"another issuer", []string{"Authorization", "Bearer " + forge(func(c *token.Claims) { c.Issuer = "https://elsewhere.example" })}, 401, ""},
		{"far too long a life", []string{"Authorization", "Bearer " + forge(func(c *token.Claims) { c.ExpiresAt = c.ExpiresAt.Add(48 * hour) })}, 401, ""},
		{"spoofed user beside a good token", []string{"Authorization", "Bearer " + good, "X-Auth-User", "staff:root"}, 200, ""},
		{"spoofed user without a token", []string{"X-Auth-User", "staff:root"}, 401, "no_credential"},
		{"spoofed original URL", []string{"X-Original-URL", "http://127.0.0.1/public", "X-Forwarded-Uri", "/public"}, 401, "no_credential"},
		{"12 kB of token", []string{"Authorization", "Bearer " + strings.Repeat("a", 12<<10)}, 401, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			answer, err := user.Call(t.Context(), "/orders", row.headers...)
			if err != nil || answer.Status != row.status {
				t.Fatalf("status %d, want %d (error %v): %s", answer.Status, row.status, err, answer.Body)
			}
			if row.status == http.StatusOK {
				var seen stage.Seen
				if err := answer.Decode(&seen); err != nil || seen.User != "staff:alice" {
					t.Errorf("the application saw %+v (error %v)", seen, err)
				}
				return
			}
			if code := answer.Code(); code == "" || row.code != "" && code != row.code {
				t.Errorf("code %q, want %q: %s", code, row.code, answer.Body)
			}
			if got := answer.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			if got := answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
				t.Errorf("WWW-Authenticate %q", got)
			}
			if answer.Header.Get("X-Keyturn-Decision") == "" {
				t.Error("no decision id to look up in the log")
			}
		})
	}
}

// TestConcurrent sends one token a hundred times at once.
func TestConcurrent(t *testing.T) {
	user := theStage.User()
	access := login(t, user, bob, bobPassword).Access
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			answer, err := user.CallAs(t.Context(), "/orders", access)
			wantAnswer(t, "one of a hundred", answer, err, http.StatusOK, "")
		})
	}
	all.Wait()
}

// signingKey reads the private half of the key that signs.
func signingKey(t *testing.T) *token.PrivateKey {
	t.Helper()
	ring := liveRing(t)
	var secret corev1.Secret
	name := keysecret.KeyName(stage.KeySet, ring.Active().Sequence)
	if err := theStage.Client.Get(t.Context(), types.NamespacedName{Namespace: stage.Namespace, Name: name}, &secret); err != nil {
		t.Fatal(err)
	}
	private, _, err := keysecret.DecodeKey(&secret, owner, ring.Active().Sequence)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

var owner = keysecret.Owner{Namespace: stage.Namespace, Name: stage.KeySet}

func liveRing(t *testing.T) *keys.Ring {
	t.Helper()
	var secret corev1.Secret
	if err := theStage.Client.Get(t.Context(), types.NamespacedName{Namespace: stage.Namespace, Name: keysecret.RingName(stage.KeySet)}, &secret); err != nil {
		t.Fatal(err)
	}
	ring, err := keysecret.DecodeRing(&secret, owner)
	if err != nil {
		t.Fatal(err)
	}
	return &ring
}

// claimsOf reads the claims of a good token.
func claimsOf(t *testing.T, payload string) token.Claims {
	t.Helper()
	raw := must[[]byte](t)(base64.RawURLEncoding.DecodeString(payload))
	var c struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience any    `json:"aud"` // a string when there is one (RFC 7519, section 4.1.3)
		IssuedAt int64  `json:"iat"`
		Expires  int64  `json:"exp"`
		ID       string `json:"jti"`
		ClientID string `json:"client_id"`
		Session  string `json:"sid"`
		UserID   string `json:"user_id"`
		Role     string `json:"role"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	if c.UserID != c.Subject || c.Role != "admin" || c.ClientID != "keyturn-web" || c.Session == "" {
		t.Errorf("claims %+v", c)
	}
	audience, ok := c.Audience.(string)
	if !ok {
		t.Fatalf("aud is %v", c.Audience)
	}
	return token.Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: []string{audience}, IssuedAt: time.Unix(c.IssuedAt, 0), ExpiresAt: time.Unix(c.Expires, 0),
		ID: c.ID, ClientID: c.ClientID, SessionID: c.Session, Custom: map[string]string{"user_id": c.UserID, "role": c.Role},
	}
}

// tryRing reads the ring without failing a test.
func tryRing(ctx context.Context) (*keys.Ring, bool) {
	var secret corev1.Secret
	if err := theStage.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: keysecret.RingName(stage.KeySet)}, &secret); err != nil {
		return nil, false
	}
	ring, err := keysecret.DecodeRing(&secret, owner)
	return &ring, err == nil
}
