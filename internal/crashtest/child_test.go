package crashtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/embedded"
	"github.com/keyturn/keyturn/internal/store/postgres"
	"github.com/keyturn/keyturn/internal/store/redis"
	"github.com/keyturn/keyturn/internal/token"
	"github.com/keyturn/keyturn/internal/tokenhttp"
)

// The environment of a child: a directory, the URL of its store (empty for the embedded one in that directory, whose
// credentials lie there otherwise), and the point at which it dies.
const (
	envDir   = "KEYTURN_CRASH_DIR"
	envStore = "KEYTURN_CRASH_STORE"
	envPoint = "KEYTURN_CRASH_POINT"
)

const (
	username = "alice"
	password = "correct horse"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := serve(os.Getenv(envStore), dir, point(os.Getenv(envPoint))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// open opens the store of a child and waits until it answers.
func open(ctx context.Context, url, dir string) (sessions store.Store, err error) {
	switch {
	case url == "":
		return embedded.Open(dir)
	case strings.HasPrefix(url, "redis:"):
		config, err := redis.ParseURL(url, dir, "crash")
		if err != nil {
			return nil, err
		}
		sessions, err = redis.Open(config)
		if err != nil {
			return nil, err
		}
	default:
		if sessions, err = postgres.Open(postgres.Config{URL: url, Dir: dir}); err != nil {
			return nil, err
		}
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := sessions.Last(ctx); err == nil {
			return sessions, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// serve is the child: the token service on a store, which dies at a point. It prints its address, and ends in order on
// SIGTERM.
func serve(url, dir string, at point) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGXFSZ) // a file that may not grow is an error of the write, as a full disk is
	sessions, err := open(ctx, url, dir)
	if err != nil {
		return err
	}
	defer sessions.Close() //nolint:errcheck // the next child would notice
	hasher := identity.NewHasher(2, 16)
	document, err := issuer(hasher)
	if err != nil {
		return err
	}
	t := &trap{at: at}
	service := tokenhttp.New(tokenhttp.Config{
		Document: func() *tokenhttp.Document { return document }, Refused: func() *snapshot.Refusal { return nil },
		Families: trapped{sessions, t}, Sessions: trapped{sessions, t}, Limiter: trapped{sessions, t}, Acquaintances: sessions,
		Edges: edges{t}, Hasher: hasher, Log: slog.New(slog.DiscardHandler), Now: time.Now, Instance: "child",
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, listener.Addr())
	server := tokenhttp.NewServer(t.handler(service.Public()))
	go func() { <-ctx.Done(); _ = server.Close() }()
	_ = server.Serve(listener)
	return nil
}

// issuer is a document with one user. Each child has a key of its own: only refresh tokens live on.
func issuer(hasher *identity.Hasher) (*tokenhttp.Document, error) {
	key, err := token.Generate(token.EdDSA, 0)
	if err != nil {
		return nil, err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return nil, err
	}
	raw, err := snapshot.EncodeIssuer(snapshot.Issuer{
		Header: snapshot.Header{Revision: 1, TokenService: "crash/test", Issuer: "https://auth.example.com"},
		Keys: snapshot.KeySet{Name: "crash/keys", Epoch: 1, Active: key.KID(),
			Keys: []snapshot.Key{{KID: key.KID(), Algorithm: string(key.Algorithm()), JWK: key.Public().JWK()}}},
		SigningKey:     key.JWK(),
		JWKS:           snapshot.JWKSCaching{MaxAge: snapshot.Duration(time.Minute)},
		Access:         snapshot.AccessToken{TTL: snapshot.Duration(15 * time.Minute), Audiences: []string{"shop"}},
		Refresh:        snapshot.RefreshToken{IdleTTL: snapshot.Duration(time.Hour), AbsoluteTTL: snapshot.Duration(time.Hour), RetryWindow: snapshot.Duration(time.Minute), MaxFamiliesPerUser: 50},
		LoginLimit:     snapshot.RateLimit{Limit: 10_000, Window: snapshot.Duration(time.Second)},
		MaxPropagation: snapshot.Duration(time.Second),
		Identity:       []snapshot.IdentitySource{{Name: "staff", Htpasswd: &snapshot.Htpasswd{Users: secret.NewText(username + ":" + string(hash))}}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return nil, err
	}
	return tokenhttp.Build(nil, hasher)(raw, nil)
}
