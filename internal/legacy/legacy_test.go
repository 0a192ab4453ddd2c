package legacy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

// stepped is a clock that a test moves.
type stepped struct {
	mu  sync.Mutex
	now time.Time
}

func (c *stepped) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *stepped) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}
func (l *logged) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.all.String() }

// world is a keeper with what a test watches of it.
type world struct {
	*Keeper
	clock *stepped
	log   *logged
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{clock: &stepped{now: time.Now()}, log: &logged{}}
	w.Keeper = NewKeeper(t.TempDir(), slog.New(slog.NewJSONHandler(w.log, nil)), w.clock.Now)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = w.Run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return w
}

func (w *world) source(t testing.TB, config snapshot.Legacy) *Source {
	t.Helper()
	s, err := New("connect.sid", config, w.Keeper)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// file writes a credential as a mounted Secret would: at once.
func (w *world) file(t testing.TB, name, content string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"~", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

func byHTTP(url string) snapshot.Legacy {
	return snapshot.Legacy{SubjectPrefix: "shop:", Validator: snapshot.LegacyValidator{HTTP: &snapshot.LegacyWebhook{URL: url, Timeout: snapshot.Duration(10 * time.Second)}}}
}

func byRedis(c snapshot.LegacyRedis) snapshot.Legacy {
	return snapshot.Legacy{SubjectPrefix: "shop:", Validator: snapshot.LegacyValidator{Redis: &c}}
}

func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

const jsonType = "application/json"

// answering answers everything alike; headers are pairs, and a name may be there twice.
func answering(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil // do not guess it
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// refusal checks that an error is what it should be, is not the other one, and gives nothing away.
func refusal(t testing.TB, got, want error, secrets ...string) {
	t.Helper()
	if !errors.Is(got, want) || (got == nil) != (want == nil) {
		t.Errorf("got %v, want %v", got, want)
	}
	if errors.Is(got, ErrInvalid) && errors.Is(got, ErrUnavailable) {
		t.Errorf("both refusals at once: %v", got)
	}
	for _, s := range secrets {
		if got != nil && strings.Contains(got.Error(), s) {
			t.Errorf("the error gives %q away: %v", s, got)
		}
	}
}

var find = sync.OnceValues(func() (redis.Program, error) { return redis.Find(context.Background(), os.Stderr) })

// realRedis starts a server.
func realRedis(t testing.TB, directives ...string) *redis.Server {
	t.Helper()
	program, err := find()
	if err != nil {
		t.Fatal(err)
	}
	server, err := program.Start(t.Context(), t.TempDir(), redis.Options{Directives: directives})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

func client(t testing.TB, server *redis.Server) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: server.Address()})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func text(s string) secret.Text { return secret.NewText(s) }
