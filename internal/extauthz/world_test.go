package extauthz

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/revocation"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/token"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

const (
	issuer   = "https://id.example.test"
	audience = "https://api.example.test"
)

var signingKeys = sync.OnceValue(func() []*token.PrivateKey {
	var all []*token.PrivateKey
	for range 3 {
		k, err := token.Generate(token.ES256, 0)
		if err != nil {
			panic(err)
		}
		all = append(all, k)
	}
	return all
})

// document is a good edge document with the given keys.
func document(revision, epoch int64, keys ...*token.PrivateKey) snapshot.Edge {
	set := snapshot.KeySet{Name: "shop/keys", Epoch: epoch, Active: keys[0].KID(), ClockSkew: snapshot.Duration(time.Minute)}
	for _, k := range keys {
		set.Keys = append(set.Keys, snapshot.Key{KID: k.KID(), Algorithm: string(k.Algorithm()), JWK: k.Public().JWK()})
	}
	return snapshot.Edge{
		Header: snapshot.Header{Revision: revision, TokenService: "shop/web", Issuer: issuer},
		Keys:   set, Audiences: []string{audience}, MaxTTL: snapshot.Duration(time.Hour), Claims: []string{"user_id", "role"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Feed:           snapshot.FeedAddress{Address: "127.0.0.1:1"}, MaxPropagation: snapshot.Duration(5 * time.Second),
		OnStaleRevocation: snapshot.AllowUntilExpiry,
	}
}

// mount is a directory as the kubelet writes it: every version in its own directory, swapped by one link.
type mount struct {
	dir     string
	version int
}

func newMount(t testing.TB) *mount { return &mount{dir: t.TempDir()} }

func (m *mount) path() string { return filepath.Join(m.dir, "edge.json") }

func (m *mount) write(t testing.TB, raw []byte) {
	t.Helper()
	m.version++
	next := "..v" + strconv.Itoa(m.version)
	check(t, os.Mkdir(filepath.Join(m.dir, next), 0o700))
	check(t, os.WriteFile(filepath.Join(m.dir, next, "edge.json"), raw, 0o600))
	link := filepath.Join(m.dir, "..data_tmp")
	check(t, os.Symlink(next, link))
	check(t, os.Rename(link, filepath.Join(m.dir, "..data")))
	if m.version == 1 {
		check(t, os.Symlink(filepath.Join("..data", "edge.json"), m.path()))
	}
}

func (m *mount) put(t testing.TB, doc snapshot.Edge) {
	t.Helper()
	raw, err := snapshot.EncodeEdge(doc)
	check(t, err)
	m.write(t, raw)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fakeFeed is a feed whose state the test sets.
type fakeFeed struct {
	list   *revocation.List
	status atomic.Pointer[snapshot.RevocationStatus]
	broken atomic.Bool
	// sessions answers the questions about legacy sessions; asked counts them.
	sessions atomic.Pointer[func(context.Context, string) (feed.SessionAnswer, error)]
	asked    atomic.Int64
}

func (f *fakeFeed) Ask(ctx context.Context, cookie secret.Text) (feed.SessionAnswer, error) {
	f.asked.Add(1)
	return (*f.sessions.Load())(ctx, cookie.Reveal())
}

func (f *fakeFeed) answer(by func(context.Context, string) (feed.SessionAnswer, error)) {
	f.sessions.Store(&by)
}

func (f *fakeFeed) List() *revocation.List { return f.list }
func (f *fakeFeed) Status() snapshot.RevocationStatus {
	if f.broken.Load() {
		panic("SECRET-IN-A-PANIC")
	}
	return *f.status.Load()
}
func (f *fakeFeed) set(loaded, stale bool) {
	f.status.Store(&snapshot.RevocationStatus{Loaded: loaded, Stale: stale, Applied: f.list.Applied()})
}

// world is one authorizer with everything around it.
type world struct {
	*Authorizer
	mount *mount
	feed  *fakeFeed
	log   *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines returns the log lines of one message.
func (l *lockedBuffer) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		check(t, json.Unmarshal([]byte(line), &m))
		if m["msg"] == message {
			found = append(found, m)
		}
	}
	return found
}

// newWorld starts ready: one key, nothing revoked.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{mount: newMount(t), feed: &fakeFeed{list: revocation.NewList()}, log: &lockedBuffer{}}
	w.feed.set(true, false)
	w.feed.answer(func(context.Context, string) (feed.SessionAnswer, error) {
		panic("SECRET: no test asked for a session")
	})
	w.mount.put(t, document(1, 1, signingKeys()[0]))
	var err error
	w.Authorizer, err = New(Config{
		Snapshot: w.mount.path(), Instance: "edge-0", Log: slog.New(slog.NewJSONHandler(w.log, nil)), Now: time.Now,
		Revocations: func(func() (feed.Target, bool)) (Revocations, error) { return w.feed, nil },
	})
	check(t, err)
	return w
}

// put writes a document and has it read at once.
func (w *world) put(t testing.TB, doc snapshot.Edge) bool {
	t.Helper()
	w.mount.put(t, doc)
	return w.edges.Reload()
}

var tokenNumber atomic.Uint64

func goodClaims() token.Claims {
	now := time.Now()
	n := tokenNumber.Add(1)
	return token.Claims{
		Issuer: issuer, Subject: "ann", Audience: []string{audience}, IssuedAt: now, ExpiresAt: now.Add(10 * time.Minute),
		ID: "jti-" + strconv.FormatUint(n, 10), ClientID: "keyturn-web", SessionID: revocation.SessionID(n), Custom: map[string]string{"role": "admin", "user_id": "ann"},
	}
}

func mint(t testing.TB, key *token.PrivateKey, change ...func(*token.Claims)) string {
	t.Helper()
	c := goodClaims()
	for _, f := range change {
		f(&c)
	}
	raw, err := token.NewSigner(key).Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw.Reveal()
}

func expired(c *token.Claims) {
	c.IssuedAt, c.ExpiresAt = time.Now().Add(-time.Hour), time.Now().Add(-30*time.Minute)
}

// serve runs the world's ports on loopback until the test ends.
func (w *world) serve(t *testing.T, drain Drain, tasks ...func(context.Context) error) (on Listeners, stop func() error) {
	t.Helper()
	for _, l := range []*net.Listener{&on.HTTP, &on.GRPC, &on.Internal} {
		var err error
		*l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		check(t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx, on, drain, tasks...) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return on, stop
}

func (l *lockedBuffer) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

func (w *world) revocationsOf() func(func() (feed.Target, bool)) (Revocations, error) {
	return func(func() (feed.Target, bool)) (Revocations, error) { return w.feed, nil }
}
