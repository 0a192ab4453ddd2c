package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

// process is one run of the command on loopback ports of its own.
type process struct {
	*testing.T
	name                   string
	log                    logLines
	public, internal, feed string
	cancel                 context.CancelFunc
	ended                  chan error
}

type logLines struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func (l *logLines) find(message string) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.out.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == message {
			return m
		}
	}
	return nil
}

func launch(t *testing.T, dir string) *process {
	t.Helper()
	t.Setenv("KEYTURN_BIND_ADDRESS", "127.0.0.1")
	p := &process{T: t, name: "ts-0", ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	cmd := command()
	cmd.SetErr(&p.log)
	cmd.SetArgs([]string{"--snapshot", filepath.Join(dir, "snapshot"), "--identity-dir", filepath.Join(dir, "identity"), "--data-dir", filepath.Join(dir, "data"),
		"--listen", ":0", "--internal-listen", ":0", "--feed-listen", ":0", "--instance", "ts-0", "--grace", "1s"})
	go func() { p.ended <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(p.stop)
	p.started()
	return p
}

func (p *process) stop() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.cancel = nil
	if err := <-p.ended; err != nil {
		p.Errorf("%s ended with %v", p.name, err)
	}
}

func (p *process) until(what string, ok func() bool) {
	p.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("%s: not within 20 s: %s\n%s", p.name, what, p.log.text())
		}
		select {
		case err := <-p.ended:
			p.Fatalf("%s ended before %s: %v\n%s", p.name, what, err, p.log.text())
		default:
		}
	}
}

func (p *process) ready() bool {
	response, err := http.Get("http://" + p.internal + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (p *process) post(path string, body map[string]string) (int, map[string]any) {
	p.Helper()
	raw, _ := json.Marshal(body)
	response, err := http.Post("http://"+p.public+path, "application/json", bytes.NewReader(raw))
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	answer := map[string]any{}
	raw, _ = io.ReadAll(response.Body)
	_ = json.Unmarshal(raw, &answer)
	return response.StatusCode, answer
}

// maxPropagation is the length of a lease: an edge that a busy machine keeps from reporting for so long counts as lost, and
// the first logout after a start waits for as long.
const maxPropagation = 3 * time.Second

func writeSnapshot(t *testing.T, path string, key *token.PrivateKey) {
	t.Helper()
	raw, err := snapshot.EncodeIssuer(snapshot.Issuer{
		Header:     snapshot.Header{Revision: 1, TokenService: "shop/auth", Issuer: "https://auth.example.com"},
		Keys:       snapshot.KeySet{Name: "shop/keys", Epoch: 1, Active: key.KID(), Keys: []snapshot.Key{{KID: key.KID(), Algorithm: "ES256", JWK: key.Public().JWK()}}},
		SigningKey: key.JWK(), Access: snapshot.AccessToken{TTL: snapshot.Duration(time.Minute), Audiences: []string{"shop"}, Claims: []string{"role"}},
		Refresh:        snapshot.RefreshToken{IdleTTL: snapshot.Duration(time.Hour), AbsoluteTTL: snapshot.Duration(time.Hour), RetryWindow: snapshot.Duration(10 * time.Second), MaxFamiliesPerUser: 5},
		LoginLimit:     snapshot.RateLimit{Limit: 100, Window: snapshot.Duration(time.Minute)},
		MaxPropagation: snapshot.Duration(maxPropagation),
		Clients:        []snapshot.Client{{ID: "api", Audiences: []string{"shop"}}},
		Identity:       []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{}}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestProcess(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "identity", "staff"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir)
	if p.ready() {
		t.Fatal("ready without a snapshot")
	}
	key, err := token.Generate(token.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	writeSnapshot(t, filepath.Join(dir, "snapshot"), key)
	p.until("ready", p.ready)
	credentials := map[string]string{"username": "alice", "password": "wonder"}
	if code, answer := p.post("/auth/login", credentials); code != http.StatusServiceUnavailable || answer["code"] != "identity_unavailable" {
		t.Errorf("without the users' file: %d %v", code, answer)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("wonder"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "identity", "staff", "htpasswd"), fmt.Appendf(nil, "alice:%s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	var pair map[string]any
	p.until("a login", func() bool {
		code, answer := p.post("/auth/login", credentials)
		pair = answer
		return code == http.StatusOK
	})

	address := p.feed
	edge, err := feed.NewClient(feed.ClientConfig{Edge: "edge-0", Log: slog.New(slog.DiscardHandler), Now: time.Now, Target: func() (feed.Target, bool) {
		return feed.Target{FeedAddress: snapshot.FeedAddress{Address: address}, MaxPropagation: maxPropagation}, true
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	edgeEnded := make(chan struct{})
	go func() { defer close(edgeEnded); _ = edge.Run(ctx) }()
	defer func() { cancel(); <-edgeEnded }()
	p.until("the edge loaded", func() bool { return edge.Status().Loaded })
	before := edge.Status().Applied
	if code, answer := p.post("/auth/logout", map[string]string{"access_token": pair["access_token"].(string)}); code != http.StatusOK || answer["propagated"] != true {
		t.Errorf("logout: %d %v", code, answer)
	}
	if edge.Status().Applied <= before || edge.List().Len() != 2 { // the first revokes all from before the store
		t.Error("logout answered before the edge had it")
	}
	if edge.List().Revoked(revocation.Credential{SessionID: revocation.SessionID(before + 100)}) {
		t.Error("a stranger is revoked")
	}
	_, kept := p.post("/auth/login", credentials)

	p.stop()
	if p.log.find("stopped") == nil {
		t.Error("no orderly end")
	}
	p = launch(t, dir)
	p.until("ready again", p.ready)
	if code, answer := p.post("/auth/refresh", map[string]string{"refresh_token": pair["refresh_token"].(string)}); code != http.StatusUnauthorized || answer["code"] != "session_revoked" {
		t.Errorf("the ended session after the restart: %d %v", code, answer)
	}
	if code, _ := p.post("/auth/refresh", map[string]string{"refresh_token": kept["refresh_token"].(string)}); code != http.StatusOK {
		t.Errorf("the other session after the restart: %d", code)
	}
	second := command()
	second.SetErr(io.Discard)
	second.SetArgs([]string{"--data-dir", filepath.Join(dir, "data"), "--listen", ":0", "--internal-listen", ":0", "--feed-listen", ":0"})
	if err := second.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second process on the same data: %v", err)
	}
}

func TestBindAddress(t *testing.T) {
	t.Setenv("KEYTURN_BIND_ADDRESS", "127.0.0.1")
	for address, want := range map[string]string{":8080": "127.0.0.1:8080", "0.0.0.0:8080": "0.0.0.0:8080", "[::1]:1": "[::1]:1", "nonsense": "nonsense"} {
		if got := bindAddress(address); got != want {
			t.Errorf("bindAddress(%q) = %q, want %q", address, got, want)
		}
	}
}
