package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// nodes finds the server that has the store.
type nodes interface {
	// primary returns a client of the server that has the store now, as far as is known.
	primary(ctx context.Context) (*goredis.Client, error)
	// look looks again who that is; soon, or before it returns.
	look(ctx context.Context)
	// close closes all connections.
	close() error
}

// onConnect is what is asked of each new connection to a server.
type onConnect func(ctx context.Context, cn *goredis.Conn) error

func newNodes(c Config, key string, hook onConnect) nodes {
	f := files{dir: c.Dir, tls: c.TLS}
	switch c.Mode {
	case Sentinel:
		return newSentinels(c, f, hook)
	case Cluster:
		return &cluster{key: key, client: goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: c.Addresses, Dialer: f.dial, OnConnect: hook, CredentialsProviderContext: f.credentials,
			Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: noNotifications(),
			MaxRetries: -1, DialerRetries: 1, DialTimeout: opTimeout, MaxConcurrentDials: maxDials,
			ReadTimeout: opTimeout, WriteTimeout: opTimeout, ContextTimeoutEnabled: true,
			PoolSize: poolSize, PoolTimeout: opTimeout, ConnMaxIdleTime: maxIdleTime,
			ClusterStateReloadInterval: 5 * time.Second,
		})}
	default:
		o := f.options(c.Addresses[0])
		o.DB, o.OnConnect = c.DB, hook
		return &single{goredis.NewClient(o)}
	}
}

type single struct{ client *goredis.Client }

func (s *single) primary(context.Context) (*goredis.Client, error) { return s.client, nil }
func (s *single) look(context.Context)                             {}
func (s *single) close() error                                     { return s.client.Close() }

type cluster struct {
	key    string
	client *goredis.ClusterClient
}

func (c *cluster) primary(ctx context.Context) (*goredis.Client, error) {
	return c.client.MasterForKey(ctx, c.key)
}
func (c *cluster) look(ctx context.Context) { c.client.ReloadState(ctx) }
func (c *cluster) close() error             { return c.client.Close() }

// sentinels asks all sentinels who the primary is. It has its own client of each, because their password is another one
// and may change, and because the answer is wanted at once when a primary refuses to write.
type sentinels struct {
	config Config
	files  files
	hook   onConnect
	all    []*goredis.SentinelClient

	turn    chan struct{} // one asks, the others wait for what it hears
	mu      sync.Mutex
	asked   time.Time
	address string
	client  *goredis.Client
	closed  bool
}

func newSentinels(c Config, f files, hook onConnect) *sentinels {
	s := &sentinels{config: c, files: f, hook: hook, turn: make(chan struct{}, 1)}
	for _, address := range c.Addresses {
		o := f.options(address)
		o.CredentialsProviderContext = f.sentinelCredentials
		o.PoolSize, o.ReadTimeout, o.WriteTimeout = 2, dialTimeout, dialTimeout
		s.all = append(s.all, goredis.NewSentinelClient(o))
	}
	return s
}

func (s *sentinels) primary(ctx context.Context) (*goredis.Client, error) {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client != nil {
		return client, nil
	}
	return s.ask(ctx)
}

func (s *sentinels) look(ctx context.Context) { _, _ = s.ask(ctx) }

// ask takes the address that most sentinels name, and makes a client for it if it is a new one.
func (s *sentinels) ask(ctx context.Context) (*goredis.Client, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if client := s.justHeard(); client != nil {
		return client, nil
	}
	address, err := s.vote(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
	switch {
	case s.closed:
		return nil, goredis.ErrClosed
	case err != nil && s.client != nil:
		return s.client, nil // while no sentinel answers, the primary stays who it was
	case err != nil:
		return nil, err
	case address == s.address:
		return s.client, nil
	}
	if s.client != nil {
		_ = s.client.Close() // it is dead, or no primary any more: nothing it says counts
	}
	o := s.files.options(address)
	o.DB, o.OnConnect = s.config.DB, s.hook
	s.address, s.client = address, goredis.NewClient(o)
	return s.client, nil
}

// justHeard returns the client if the sentinels were asked a moment ago: when a primary fails, a hundred operations ask.
func (s *sentinels) justHeard() *goredis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.asked) < 20*time.Millisecond {
		return s.client
	}
	return nil
}

func (s *sentinels) vote(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	type answer struct {
		address string
		err     error
	}
	answers := make(chan answer, len(s.all))
	for _, sentinel := range s.all {
		go func() {
			found, err := sentinel.GetMasterAddrByName(ctx, s.config.Master).Result()
			if errors.Is(err, goredis.Nil) {
				err = fmt.Errorf("a sentinel knows no primary named %q", s.config.Master)
			}
			if err != nil || len(found) != 2 {
				answers <- answer{err: errors.Join(err, errors.New("no sentinel names a primary"))}
				return
			}
			answers <- answer{address: net.JoinHostPort(found[0], found[1])}
		}()
	}
	votes := map[string]int{}
	var last error
	for range s.all {
		a := <-answers
		if a.err != nil {
			last = a.err
			continue
		}
		votes[a.address]++
		if votes[a.address] > len(s.all)/2 {
			return a.address, nil // the rest may hang
		}
	}
	best := ""
	for address, n := range votes {
		if n > votes[best] || n == votes[best] && slices.Compare([]byte(address), []byte(best)) < 0 {
			best = address
		}
	}
	if best == "" {
		return "", last
	}
	return best, nil
}

func (s *sentinels) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var err error
	if s.client != nil {
		err = s.client.Close()
	}
	for _, sentinel := range s.all {
		err = errors.Join(err, sentinel.Close())
	}
	return err
}
