package legacy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/keyturn/keyturn/internal/secret"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/webhook"
)

// store is the session store of the application: how it is reached, and where a session is in it.
type store struct {
	files *webhook.Files
	guard *webhook.Guard
	asked string

	address            string
	db                 int
	secure             bool
	key, cookie, index string

	mu     sync.Mutex
	peer   *webhook.Peer // whose credentials client has
	client *goredis.Client
}

// beQuiet keeps the library from writing lines of its own between those of the log; what fails is in our errors.
var beQuiet = sync.OnceFunc(func() { goredis.SetLogger(quiet{}) })

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func openStore(k *Keeper, part string, c snapshot.LegacyRedis) (*store, error) {
	address, db, secure, err := readRedisURL(c.URL)
	if err != nil {
		return nil, err
	}
	// Without anything before it, an id could name any key of the database.
	if before, _, _ := strings.Cut(c.Key, "{id}"); strings.Count(c.Key, "{id}") != 1 || before == "" || len(c.Key) > 256 {
		return nil, errors.New("key must be a pattern such as sess:{id}, with something before {id}")
	}
	if c.UserIndex != "" && (strings.Count(c.UserIndex, "{user}") != 1 || len(c.UserIndex) > 512) {
		return nil, errors.New("userIndex must be a pattern such as user-sessions:{user}")
	}
	switch c.Cookie {
	case "", Plain, Signed, Base64:
	default:
		return nil, fmt.Errorf("cookieFormat is %.80q, want %s, %s or %s", c.Cookie, Plain, Signed, Base64)
	}
	if !secure && !webhook.IsLoopback(c.URL) {
		k.log.Warn("legacy_clear_text", "part", part, "url", c.URL)
	}
	beQuiet()
	s := &store{
		files: k.files(part, usernameFile, passwordFile, secretFile), asked: "the legacy session store",
		address: address, db: db, secure: secure, key: c.Key, cookie: c.Cookie, index: c.UserIndex,
	}
	s.guard = webhook.NewGuard(failures(s.asked), k.log.With("part", part))
	return s, nil
}

// use returns the connections of today: new credentials get new ones, because Redis asks for them at the beginning only.
func (s *store) use() (*goredis.Client, error) {
	peer, err := s.files.Use()
	if err != nil {
		return nil, unavailable("credentials: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != peer {
		if old := s.client; old != nil {
			time.AfterFunc(closeAfter, func() { _ = old.Close() })
		}
		s.peer, s.client = peer, s.connect(peer)
	}
	return s.client, nil
}

func (s *store) connect(peer *webhook.Peer) *goredis.Client {
	dialer := &net.Dialer{Timeout: webhook.DefaultTimeout, KeepAlive: 15 * time.Second}
	dial := dialer.DialContext
	if s.secure {
		dial = (&tls.Dialer{NetDialer: dialer, Config: peer.TLS.Clone()}).DialContext
	}
	return goredis.NewClient(&goredis.Options{
		Addr: s.address, DB: s.db, Dialer: dial, Username: peer.Text(usernameFile).Reveal(), Password: peer.Text(passwordFile).Reveal(),
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MaxRetries: -1, DialerRetries: 1, DialTimeout: webhook.DefaultTimeout, ReadTimeout: webhook.DefaultTimeout, WriteTimeout: webhook.DefaultTimeout,
		ContextTimeoutEnabled: true, PoolSize: webhook.MaxInFlight, PoolTimeout: webhook.DefaultTimeout, MaxConcurrentDials: 8, ConnMaxIdleTime: 5 * time.Minute,
	})
}

// readRedisURL reads redis://host:port/db, or rediss:// for TLS.
func readRedisURL(text string) (address string, db int, secure bool, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return "", 0, false, errors.New("url must be redis://host:port/db or rediss://host:port/db") // err quotes it
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", 0, false, errors.New("url must not have credentials, a query or a fragment: put credentials into the files username and password")
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		if db, err = strconv.Atoi(path); err != nil || db < 0 {
			return "", 0, false, errors.New("url must end with the number of a database")
		}
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(u.Hostname(), port), db, u.Scheme == "rediss", nil
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		_ = s.client.Close()
	}
}

// do asks the store, bounded and behind the breaker.
func (s *store) do(ctx context.Context, ask func(ctx context.Context, c *goredis.Client) error) error {
	return s.guard.Do(func() error {
		c, err := s.use()
		if err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, webhook.DefaultTimeout)
		defer cancel()
		err = ask(bounded, c)
		if err != nil && ctx.Err() != nil && !errors.Is(err, ErrInvalid) {
			return fmt.Errorf("%w: %w", webhook.ErrLeft, ctx.Err())
		}
		return err
	})
}

// failed says what went wrong with a command. A server's error may quote what it was asked, so its first word has to do.
func (s *store) failed(err error) error {
	var said goredis.Error
	if !errors.As(err, &said) {
		return unavailable("%s: %w", s.asked, err)
	}
	code, _, _ := strings.Cut(said.Error(), " ")
	if code == "WRONGTYPE" {
		return unavailable("%w of %s: the key is of another type than the format says", webhook.ErrOneUser, s.asked)
	}
	return unavailable("%s says %.40q", s.asked, code)
}

// keyOf returns the key of a cookie's session. It fails with ErrInvalid for a cookie that the application has not written.
func (s *store) keyOf(cookie secret.Text) (string, error) {
	var secrets []string
	if s.cookie == Signed {
		peer, err := s.files.Use()
		if err != nil {
			return "", unavailable("credentials: %w", err)
		}
		if secrets = lines(peer.Text(secretFile).Reveal()); len(secrets) == 0 {
			return "", unavailable("signed cookies need the file %s with the application's secret", secretFile)
		}
	}
	id, ok := readID(s.cookie, cookie.Reveal(), secrets)
	if !ok {
		return "", fmt.Errorf("%w: the application has not written this cookie", ErrInvalid)
	}
	return s.keyFor(id), nil
}

func (s *store) keyFor(id string) string { return strings.Replace(s.key, "{id}", id, 1) }
