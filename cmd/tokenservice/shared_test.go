package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/hack/postgres"
	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

// server is a real store server.
type server struct {
	args []string
	halt func()
	run  func() error
}

func redisServer(t *testing.T) server {
	program, err := redis.Find(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := program.Start(t.Context(), t.TempDir(), redis.Options{Directives: redis.Durable})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return server{[]string{"--store", "redis://" + s.Address() + "/0"}, s.Kill, func() error { return s.Restart(t.Context()) }}
}

func postgresServer(t *testing.T) server {
	s, err := postgres.Start(t.Context(), postgres.Options{Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	database, err := s.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"username", "password"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(database), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return server{
		[]string{"--store", fmt.Sprintf("postgres://%s/%s?sslmode=disable", s.Address(), database), "--store-dir", dir},
		s.Halt, func() error { return s.Run(t.Context()) },
	}
}

var alice = map[string]string{"username": "alice", "password": "wonder"}

// clientSecret is that of the client api.
const clientSecret = "0123456789abcdef0123456789abcdef"

// household is a directory with a snapshot, one user and one client.
func household(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"identity/staff", "clients/api"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "clients", "api", "secret"), []byte(clientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(alice["password"]), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "identity", "staff", "htpasswd"), fmt.Appendf(nil, "alice:%s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := token.Generate(token.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	writeSnapshot(t, filepath.Join(dir, "snapshot"), key)
	return dir
}

// TestThreeProcessesOnOneStore is one token service of three replicas on a real server, and an edge.
func TestThreeProcessesOnOneStore(t *testing.T) {
	for name, start := range map[string]func(*testing.T) server{"redis": redisServer, "postgres": postgresServer} {
		t.Run(name, func(t *testing.T) {
			s, dir := start(t), household(t)
			r := &replicas{T: t}
			for i := range 3 {
				r.all = append(r.all, spawn(t, dir, fmt.Sprint("ts-", i), s.args...))
			}
			r.ready()
			edge := r.edge(r.all[0])
			r.journey(edge)
			r.refreshRace()
			r.rateLimit()
			r.storeDown(edge, s, dir)
		})
	}
}

type replicas struct {
	*testing.T
	all []*process
}

func (r *replicas) ready() {
	r.Helper()
	for _, p := range r.all {
		p.until("ready", p.ready)
	}
}

// edge follows the feed of one replica.
func (r *replicas) edge(of *process) *feed.Client {
	r.Helper()
	address := of.feed
	edge, err := feed.NewClient(feed.ClientConfig{Edge: "edge-0", Log: slog.New(slog.DiscardHandler), Now: time.Now, Target: func() (feed.Target, bool) {
		return feed.Target{FeedAddress: snapshot.FeedAddress{Address: address}, MaxPropagation: maxPropagation}, true
	}})
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = edge.Run(ctx) })
	r.Cleanup(func() { cancel(); running.Wait() })
	of.until("the edge loaded", func() bool { return edge.Status().Loaded })
	return edge
}

func (r *replicas) post(at int, path string, body map[string]string, want int) map[string]any {
	r.Helper()
	code, answer := r.all[at].post(path, body)
	if code != want {
		r.Fatalf("%s at replica %d: %d %v, want %d", path, at, code, answer, want)
	}
	return answer
}

// sessionOf reads the session id of a token that was just issued.
func sessionOf(t *testing.T, answer map[string]any) string {
	t.Helper()
	parts := strings.Split(answer["access_token"].(string), ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		SessionID string `json:"sid"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil || claims.SessionID == "" {
		t.Fatalf("no sid in %s, %v", raw, err)
	}
	return claims.SessionID
}

// journey: login at one replica, refresh at another, logout at the third; the edge hears of it by the first.
func (r *replicas) journey(edge *feed.Client) {
	r.Helper()
	for round := range 3 {
		a, b, c := round%3, (round+1)%3, (round+2)%3
		pair := r.post(a, "/auth/login", alice, http.StatusOK)
		kept := r.post(b, "/auth/login", alice, http.StatusOK)
		next := r.post(b, "/auth/refresh", map[string]string{"refresh_token": pair["refresh_token"].(string)}, http.StatusOK)
		revoked := revocation.Credential{SessionID: sessionOf(r.T, next)}
		if edge.List().Revoked(revoked) {
			r.Fatal("revoked before the logout")
		}
		access := next["access_token"].(string)
		for _, p := range r.all {
			p.until("the token is active", func() bool { _, active := p.introspect(access); return active })
		}
		begun := time.Now()
		answer := r.post(c, "/auth/logout", map[string]string{"access_token": access}, http.StatusOK)
		if answer["propagated"] != true || !edge.List().Revoked(revoked) {
			r.Errorf("logout at replica %d: %v, the edge refuses: %t", c, answer, edge.List().Revoked(revoked))
		}
		r.Logf("a logout at replica %d reached the edge at replica 0 within %s", c, time.Since(begun).Round(time.Millisecond))
		for _, p := range r.all {
			p.until("the token is not active", func() bool { code, active := p.introspect(access); return code == http.StatusOK && !active })
		}
		for at := range r.all {
			if answer := r.post(at, "/auth/refresh", map[string]string{"refresh_token": next["refresh_token"].(string)}, http.StatusUnauthorized); answer["code"] != "session_revoked" {
				r.Errorf("replica %d says %v of a session that has ended", at, answer["code"])
			}
		}
		r.post(c, "/auth/refresh", map[string]string{"refresh_token": kept["refresh_token"].(string)}, http.StatusOK)
	}
}

// at answers the requests of many clients at once, spread over the replicas, by code.
func (r *replicas) at(n int, client, path string, body map[string]string, got func(code int, answer map[string]any)) {
	r.Helper()
	var running sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		running.Go(func() {
			code, answer, err := r.all[i%len(r.all)].postFrom(r.Context(), client, path, body)
			if err != nil {
				r.Errorf("%s: %v", path, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got(code, answer)
		})
	}
	running.Wait()
}

// refreshRace: a token that many present at once, at all replicas, has one successor.
func (r *replicas) refreshRace() {
	r.Helper()
	for range 15 {
		pair := r.post(0, "/auth/login", alice, http.StatusOK)
		successors := map[string]int{}
		r.at(15, "198.51.100.1", "/auth/refresh", map[string]string{"refresh_token": pair["refresh_token"].(string)}, func(code int, answer map[string]any) {
			if code != http.StatusOK {
				r.Errorf("a refresh at the same moment: %d %v", code, answer)
				return
			}
			successors[answer["refresh_token"].(string)]++
		})
		if len(successors) != 1 {
			r.Fatalf("%d chains of one token: %v", len(successors), len(successors))
		}
	}
}

// rateLimit: the limit is that of all replicas together.
func (r *replicas) rateLimit() {
	r.Helper()
	const limit = 100 // of the snapshot
	var allowed, refused atomic.Int32
	wrong := map[string]string{"username": "nobody", "password": "x"}
	for range 6 { // in parts, so that no replica is too busy
		r.at(24, "203.0.113.9", "/auth/login", wrong, func(code int, answer map[string]any) {
			switch code {
			case http.StatusUnauthorized:
				allowed.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			default:
				r.Errorf("a login: %d %v", code, answer)
			}
		})
	}
	if allowed.Load() != limit || refused.Load() != 6*24-limit {
		r.Errorf("%d logins were allowed and %d refused, want exactly %d and %d", allowed.Load(), refused.Load(), limit, 6*24-limit)
	}
}

// storeDown: what needs the store says 503, what does not goes on, a new replica starts; then everything is as before.
func (r *replicas) storeDown(edge *feed.Client, s server, dir string) {
	r.Helper()
	pair := r.post(0, "/auth/login", alice, http.StatusOK)
	gone := r.post(1, "/auth/login", alice, http.StatusOK)
	over := revocation.Credential{SessionID: sessionOf(r.T, gone)}
	r.post(2, "/auth/logout", map[string]string{"refresh_token": gone["refresh_token"].(string)}, http.StatusOK)
	refresh := map[string]string{"refresh_token": pair["refresh_token"].(string)}
	s.halt()
	r.all = append(r.all, spawn(r.T, dir, "ts-3", s.args...))
	for at, p := range r.all {
		p.until("the snapshot is loaded", func() bool { code, _ := p.get(p.public, "/.well-known/jwks.json"); return code == http.StatusOK })
		if code, body := p.get(p.public, "/.well-known/openid-configuration"); code != http.StatusOK {
			r.Errorf("discovery at replica %d without the store: %d %s", at, code, body)
		}
		for path, body := range map[string]map[string]string{"/auth/login": alice, "/auth/refresh": refresh, "/auth/logout": refresh} {
			r.post(at, path, body, http.StatusServiceUnavailable)
		}
		code, body := p.get(p.internal, "/readyz")
		if fresh := p == r.all[len(r.all)-1]; fresh && (code != http.StatusServiceUnavailable || !strings.Contains(body, "does not answer: ")) {
			r.Errorf("/readyz of a replica that never had the store: %d %q, want 503 and the reason", code, body)
		} else if !fresh && code != http.StatusOK {
			r.Errorf("/readyz of replica %d, which had it: %d %q, want 200", at, code, body)
		}
		var status snapshot.Status
		_, body = p.get(p.internal, "/status")
		if err := json.Unmarshal([]byte(body), &status); err != nil || status.StoreReachable || status.StoreReason == "" {
			r.Errorf("/status of replica %d: %s, %v", at, body, err)
		}
	}
	for _, p := range r.all {
		p.until("nobody is told that a token is good", func() bool {
			code, _ := p.introspect(pair["access_token"].(string))
			return code == http.StatusServiceUnavailable
		})
	}
	if !edge.Status().Loaded || !edge.List().Revoked(over) {
		r.Error("the edge has forgotten its list with the store")
	}
	if err := s.run(); err != nil {
		r.Fatal(err)
	}
	r.ready() // a replica that had the store before has been ready all the time, so:
	for _, p := range r.all {
		p.until("the store answers it again", func() bool { code, _ := p.post("/auth/login", alice); return code == http.StatusOK })
	}
	r.all[0].until("the edge has a lease again", func() bool { return !edge.Status().Stale })
	r.post(3, "/auth/refresh", refresh, http.StatusOK)
	r.all[0].until("a logout reaches the edge", func() bool {
		pair := r.post(1, "/auth/login", alice, http.StatusOK)
		answer := r.post(3, "/auth/logout", map[string]string{"refresh_token": pair["refresh_token"].(string)}, http.StatusOK)
		return answer["propagated"] == true && edge.List().Revoked(revocation.Credential{SessionID: sessionOf(r.T, pair)})
	})
}
