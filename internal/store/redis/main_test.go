package redis

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/keyturn/keyturn/hack/redis"
	"github.com/keyturn/keyturn/internal/deptest"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func TestDependencies(t *testing.T) { deptest.NoKubernetes(t) }

var find = sync.OnceValues(func() (redis.Program, error) { return redis.Find(context.Background(), os.Stderr) })

func program(t *testing.T) redis.Program {
	t.Helper()
	p, err := find()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// durable starts a server that forgets nothing, with further directives.
func durable(t *testing.T, directives ...string) *redis.Server {
	t.Helper()
	return serve(t, append(append([]string(nil), redis.Durable...), directives...)...)
}

func serve(t *testing.T, directives ...string) *redis.Server {
	t.Helper()
	server, err := program(t).Start(t.Context(), t.TempDir(), redis.Options{Directives: directives})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

// group is a primary with replicas and sentinels that replace it soon after it is gone.
func group(t *testing.T, directives ...string) *redis.Group {
	t.Helper()
	return groupWith(t, 500*time.Millisecond, directives...)
}

func groupWith(t *testing.T, downAfter time.Duration, directives ...string) *redis.Group {
	t.Helper()
	g, err := program(t).StartGroup(t.Context(), t.TempDir(), downAfter, redis.Options{Directives: directives})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	return g
}

func at(server *redis.Server) Config {
	return Config{Mode: Standalone, Addresses: []string{server.Address()}, Prefix: "test"}
}

func sentinelsOf(g *redis.Group) Config {
	return Config{Mode: Sentinel, Addresses: g.Addresses(), Master: redis.Master, Prefix: "test", Replicas: 1}
}

// start opens a store that may not be usable.
func start(t *testing.T, config Config) *Store {
	t.Helper()
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// open opens a store and waits until it answers and hears.
func open(t *testing.T, config Config) *Store {
	t.Helper()
	s := start(t, config)
	usable(t, s)
	return s
}

func usable(t *testing.T, s *Store) {
	t.Helper()
	eventually(t, "the store is usable", func() error {
		if reason := s.Reason(); reason != "" || !s.heard.Load() {
			return fmt.Errorf("reason %q, subscribed %t", reason, s.heard.Load())
		}
		return nil
	})
}

func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("never: %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// command talks to a server directly.
func command(t *testing.T, server *redis.Server, args ...any) any {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: server.Address()})
	defer c.Close() //nolint:errcheck // only asked
	v, err := c.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

func rounds(few, many int) int {
	if os.Getenv("KEYTURN_SOAK") == "1" {
		return many
	}
	return few
}

var prefixes atomic.Int64

// fresh is the configuration of a store that nobody has used.
func fresh(c Config) Config {
	c.Prefix = fmt.Sprint("test-", prefixes.Add(1))
	return c
}

// conform runs the whole suite.
func conform(t *testing.T, config Config) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, fresh(config)) })
	storetest.RunDurable(t, func(*testing.T) storetest.Reopen {
		c := fresh(config)
		return func(t *testing.T) store.Store { return open(t, c) }
	})
	storetest.RunShared(t, func(t *testing.T) []store.Shared {
		c := fresh(config)
		return []store.Shared{open(t, c), open(t, c), open(t, c)}
	})
}
