package tokenhttp

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/snapshot"
)

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
		raw, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(raw)
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
	if s.Role != "issuer" || s.Instance != "tokenservice-0" || s.TokenService != "shop/auth" || s.Revision != 8 || s.Epoch != 4 || s.KeySet != "shop/keys" || s.ActiveKID != next.KID() || len(s.KIDs) != 2 || !s.StoreReachable {
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
