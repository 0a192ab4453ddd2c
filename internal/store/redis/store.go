package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/internal/store"
)

// Store is a [store.Shared] in a Redis or Valkey server. It is safe for concurrent use; make it with [Open].
type Store struct {
	config Config
	nodes  nodes
	meta   string // the key {prefix}:meta
	now    func() time.Time
	log    *slog.Logger

	open   sync.RWMutex // read by operations under way
	closed bool
	stop   context.CancelFunc
	ended  sync.WaitGroup

	waiting  chan struct{} // holds a value for each connection on which a revocation waits for replicas
	known    known
	reason   atomic.Pointer[string]
	watchers store.Watchers
	heard    atomic.Bool // the subscription stands
}

var (
	_ store.Shared  = (*Store)(nil)
	_ store.Clocked = (*Store)(nil)
)

var errClosed = errors.New("the store is closed")

// quiet keeps the library from writing lines of its own; errors come back as errors.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var beQuiet = sync.OnceFunc(func() { goredis.SetLogger(quiet{}) })

// Open checks the configuration and begins to connect in the background. Until there is a server that it can use,
// operations fail with [store.ErrUnavailable], and [Store.Reason] says why.
func Open(config Config) (*Store, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	beQuiet()
	s := &Store{
		config: config, meta: "{" + config.Prefix + "}:meta", now: config.Now, log: config.Log,
		waiting: make(chan struct{}, maxWaiting),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.setReason("not connected yet")
	s.nodes = newNodes(config, s.meta, func(ctx context.Context, cn *goredis.Conn) error { return s.meet(ctx, cn, false) })
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.ended.Go(func() { s.watch(ctx) })
	s.ended.Go(func() { s.listen(ctx) })
	return s, nil
}

// ID implements [store.Keeper].
func (s *Store) ID() string { return s.known.get().id }

// Reason says why the store cannot be used and how to mend that; empty if it can, as far as was seen a moment ago.
func (s *Store) Reason() string { return *s.reason.Load() }

func (s *Store) setReason(reason string) {
	before := s.reason.Swap(&reason)
	switch {
	case before == nil || *before == reason:
	case reason == "":
		s.log.Info("store_usable")
	default:
		s.log.Warn("store_unusable", "reason", reason)
	}
}

// Close waits for the operations under way and closes all connections. Later operations fail with [store.ErrUnavailable].
func (s *Store) Close() error {
	s.open.Lock()
	if s.closed {
		s.open.Unlock()
		return nil
	}
	s.closed = true
	s.open.Unlock()
	s.stop()
	err := s.nodes.close()
	s.ended.Wait()
	if err != nil && !errors.Is(err, goredis.ErrClosed) {
		return fmt.Errorf("close the session store: %w", err)
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, explain(err)) }

// How often the store is looked at: when it is well, and when it is not.
const (
	lookEvery  = time.Second
	retryEvery = 250 * time.Millisecond
	meetEvery  = 5 // looks
)

// watch finds out whether the store can be used: who the primary is, whether it takes writes, and, now and then, whether
// it is still configured as it must be. It makes good for notifications that were lost.
func (s *Store) watch(ctx context.Context) {
	for looks := 0; ctx.Err() == nil; looks++ {
		err := s.look(ctx, looks%meetEvery == 0)
		if ctx.Err() != nil {
			return
		}
		wait := lookEvery
		if err != nil {
			s.setReason(explain(err).Error())
			wait, looks = retryEvery, -1
		} else {
			s.setReason("")
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (s *Store) look(ctx context.Context, meet bool) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if s.config.Mode == Sentinel {
		s.nodes.look(ctx)
	}
	if meet {
		client, err := s.nodes.primary(ctx)
		if err == nil {
			err = s.meetAt(ctx, client)
		}
		if err != nil {
			s.nodes.look(ctx)
			return err
		}
	}
	_, err := s.try(ctx, scriptProbe, nil, []string{s.meta})
	if err != nil {
		s.nodes.look(ctx)
	}
	return err
}
