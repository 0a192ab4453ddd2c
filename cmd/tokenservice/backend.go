package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/embedded"
	"github.com/keyturn/keyturn/internal/store/postgres"
	"github.com/keyturn/keyturn/internal/store/redis"
	"github.com/keyturn/keyturn/internal/tokenhttp"
)

// embeddedStore is the value of --store for a file in --data-dir.
const embeddedStore = "embedded"

// storePrefix begins every key of a Redis store whose URL names no other prefix.
const storePrefix = "keyturn"

// backend is a store and the leases that go with it.
type backend struct {
	store.Store
	leases interface {
		feed.Leaser
		tokenhttp.Edges
	}
	// reason says why the store cannot be used; nil where it does not say.
	reason func() string
}

// shared is a store that several token services use at once and that says how it is.
type shared interface {
	store.Shared
	Reason() string
}

// openBackend opens the store that --store names. The embedded one must open: it is this process's own file, and another
// process on it is a mistake. A shared one may be down: then everything that needs no store works, and the rest when it
// is back. lease is how long a lease lasts at present.
func openBackend(ctx context.Context, o options, lease func() time.Duration, log *slog.Logger) (*backend, error) {
	scheme, _, _ := strings.Cut(o.store, "://")
	var s shared
	var err error
	switch scheme {
	case embeddedStore:
		return openEmbedded(ctx, o.dataDir, lease)
	case "redis", "rediss":
		var config redis.Config
		if config, err = redis.ParseURL(o.store, o.storeDir, storePrefix); err != nil {
			break
		}
		config.Log = log
		s, err = redis.Open(config)
	case "postgres", "postgresql":
		s, err = postgres.Open(postgres.Config{URL: o.store, Dir: o.storeDir, Log: log})
	default: // not quoted: it may hold a password
		err = errors.New("it must be embedded, redis://…, rediss://… or postgres://…")
	}
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	return &backend{Store: s, leases: feed.NewSharedLeases(s, lease, time.Now), reason: s.Reason}, nil
}

func openEmbedded(ctx context.Context, dir string, lease func() time.Duration) (*backend, error) {
	s, err := embedded.Open(dir)
	if err != nil {
		return nil, err
	}
	leases, err := feed.OpenLeases(ctx, s, lease, time.Now)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &backend{Store: s, leases: leases}, nil
}
