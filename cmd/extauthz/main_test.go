package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keyturn/keyturn/hack/port"
	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/extauthz"
	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		case <-tick.C:
		}
	}
}

// journal is the store's side of the feed, in memory.
type journal struct {
	mu      sync.Mutex
	entries []revocation.Entry
	wake    []chan struct{}
}

func (j *journal) Revocations(_ context.Context, after uint64, limit int) ([]revocation.Entry, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []revocation.Entry
	for _, e := range j.entries {
		if e.Seq > after && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, false, nil
}

func (j *journal) Last(context.Context) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return uint64(len(j.entries)), nil
}

func (j *journal) Subscribe() (<-chan struct{}, func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := make(chan struct{}, 1)
	j.wake = append(j.wake, c)
	return c, func() {}
}

func (j *journal) revoke(kind revocation.Kind, value string) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	seq := uint64(len(j.entries) + 1)
	j.entries = append(j.entries, revocation.Entry{Seq: seq, Kind: kind, Value: value, Expires: time.Now().Add(time.Hour)})
	for _, c := range j.wake {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return seq
}

const lease = 30 * time.Second

// The program as it is deployed: a document that comes late, the real feed, a token that is allowed, revoked with every
// lease waited for, and SIGTERM's way out.
func TestProgram(t *testing.T) {
	// Leases that outlast a machine that stands still, and are as old as one: no edge of before can hold any.
	clock := func() time.Time { return time.Now().Add(-lease) }
	source, leases := &journal{}, feed.NewLeases(func() time.Duration { return lease }, func() time.Time { return clock() })
	clock = time.Now
	feedListener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	feedCtx, stopFeed := context.WithCancel(context.Background())
	feedDone := make(chan error, 1)
	server := feed.NewServer(feed.ServerConfig{Source: source, Leases: leases, Sessions: sessions{}, Logger: slog.New(slog.DiscardHandler)})
	go func() { feedDone <- server.Serve(feedCtx, feedListener) }()
	defer func() {
		stopFeed()
		if err := <-feedDone; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()

	o := options{
		snapshot: filepath.Join(t.TempDir(), "edge.json"), instance: "edge-0", http: port.For(t), grpc: port.For(t), internal: port.For(t),
		grace: 10 * time.Second, drainDelay: time.Millisecond, logLevel: slog.LevelError + 1,
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }()
	ready := func() bool { return get(t, "http://"+o.internal+"/readyz") == http.StatusOK }
	eventually(t, "the internal port", func() bool { return get(t, "http://"+o.internal+"/livez") == http.StatusOK })
	if ready() {
		t.Error("ready without a document")
	}

	key, err := token.Generate(token.ES256, 0)
	check(t, err)
	writeDocument(t, o.snapshot, key, feedListener.Addr().String())
	eventually(t, "ready", ready)

	conn, err := grpc.NewClient("passthrough:///"+o.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	defer conn.Close() //nolint:errcheck // the test is over
	client := auth.NewAuthorizationClient(conn)
	sid := revocation.SessionID(1)
	raw := mint(t, key, sid)
	if code := ask(t, client, raw); code != 0 {
		t.Errorf("a good token: code %d", code)
	}
	number := source.revoke(revocation.Session, sid)
	if !leases.Wait(t.Context(), number) {
		t.Error("the revocation was not acknowledged")
	}
	if code := ask(t, client, raw); code != 16 {
		t.Errorf("acknowledged as revoked, and code %d", code)
	}
	for session, want := range map[string]int32{"good": 0, "over": 16, "down": 14} { // 14 also where a busy machine is late
		eventually(t, fmt.Sprint("code ", want, " for the session ", session), func() bool { return askWith(t, client, "cookie", "sid="+session) == want })
	}
	if !leases.Wait(t.Context(), source.revoke(revocation.Legacy, revocation.LegacyHash("good"))) {
		t.Error("the revocation of the session was not acknowledged")
	}
	if code := askWith(t, client, "cookie", "sid=good"); code != 16 {
		t.Errorf("a session that is acknowledged as revoked: code %d", code)
	}
	stop()
	check(t, <-ended)
	if n := leases.Leased(); n != 0 {
		t.Errorf("%d leases after the end", n)
	}
}

// sessions is the token service's side of legacy sessions.
type sessions struct{}

func (sessions) Ask(_ context.Context, cookie secret.Text) (feed.SessionAnswer, error) {
	if cookie.Reveal() == "down" {
		return feed.SessionAnswer{}, errors.New("the validator is down")
	}
	return feed.SessionAnswer{Valid: cookie.Reveal() == "good", User: "ann"}, nil
}

func get(t *testing.T, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close() //nolint:errcheck // read to the end
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

func writeDocument(t *testing.T, path string, key *token.PrivateKey, feedAddress string) {
	t.Helper()
	raw, err := snapshot.EncodeEdge(snapshot.Edge{
		Header: snapshot.Header{Revision: 1, TokenService: "shop/web", Issuer: "https://id.example.test"},
		Keys: snapshot.KeySet{Name: "shop/keys", Epoch: 1, Active: key.KID(), ClockSkew: snapshot.Duration(time.Minute),
			Keys: []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: json.RawMessage(key.Public().JWK())}}},
		Audiences: []string{"api"}, MaxTTL: snapshot.Duration(time.Hour), Claims: []string{"role"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Feed:           snapshot.FeedAddress{Address: feedAddress}, MaxPropagation: snapshot.Duration(lease),
		Rollout: &snapshot.Rollout{Name: "shop/move", Cookie: "sid", Salt: "s"},
	})
	check(t, err)
	check(t, os.WriteFile(path+".new", raw, 0o600))
	check(t, os.Rename(path+".new", path))
}

func mint(t *testing.T, key *token.PrivateKey, sid string) string {
	t.Helper()
	now := time.Now()
	raw, err := token.NewSigner(key).Sign(token.Claims{
		Issuer: "https://id.example.test", Subject: "ann", Audience: []string{"api"}, IssuedAt: now, ExpiresAt: now.Add(time.Minute),
		ID: "1", ClientID: "keyturn-web", SessionID: sid,
	})
	check(t, err)
	return raw.Reveal()
}

func ask(t *testing.T, client auth.AuthorizationClient, raw string) int32 {
	t.Helper()
	return askWith(t, client, "authorization", "Bearer "+raw)
}

func askWith(t *testing.T, client auth.AuthorizationClient, name, value string) int32 {
	t.Helper()
	answer, err := client.Check(t.Context(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
		ContextExtensions: map[string]string{extauthz.PolicyExtension: "-/default"},
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/", Host: "app.example.test", Headers: map[string]string{name: value},
		}},
	}})
	check(t, err)
	return answer.GetStatus().GetCode()
}

func TestListen(t *testing.T) {
	t.Setenv("KEYTURN_BIND_ADDRESS", "127.0.0.1")
	on, err := listen(t.Context(), options{http: ":0", grpc: "127.0.0.1:0", internal: ":0"})
	check(t, err)
	for _, l := range []net.Listener{on.HTTP, on.GRPC, on.Internal} {
		if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("listens on %s", l.Addr())
		}
		check(t, l.Close())
	}
	if _, err := listen(t.Context(), options{http: "8080", grpc: ":0", internal: ":0"}); err == nil {
		t.Error("an address without a colon")
	}
}

// One connection more than a port takes waits until another ends.
func TestConnectionsAreBounded(t *testing.T) {
	on, err := listen(t.Context(), options{http: "127.0.0.1:0", grpc: "127.0.0.1:0", internal: "127.0.0.1:0"})
	check(t, err)
	defer on.HTTP.Close()     //nolint:errcheck // the test is over
	defer on.Internal.Close() //nolint:errcheck // the test is over
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := on.GRPC.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var last net.Conn
	for range maxGRPC {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", on.GRPC.Addr().String())
		check(t, err)
		defer c.Close() //nolint:errcheck // the test is over
		last = <-accepted
	}
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", on.GRPC.Addr().String())
	check(t, err)
	defer c.Close() //nolint:errcheck // the test is over
	select {
	case <-accepted:
		t.Error("one too many was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	check(t, last.Close())
	<-accepted
	check(t, on.GRPC.Close())
}

func TestFlags(t *testing.T) {
	c := command()
	c.SetArgs(nil)
	c.SetOut(io.Discard)
	c.SetErr(io.Discard)
	if err := c.Execute(); err == nil {
		t.Error("starts without a snapshot")
	}
	for _, name := range []string{"snapshot", "http-listen", "grpc-listen", "internal-listen", "feed-dir", "instance", "grace"} {
		if c.Flags().Lookup(name) == nil {
			t.Errorf("no flag --%s", name)
		}
	}
}
