package main

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/legacy"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/tokenhttp"
)

// queuePerSlot is how many logins may wait for each hash slot: a few seconds' worth.
const queuePerSlot = 32

// maxConnections bounds the connections of the public port; the next ones wait in the kernel's queue.
const maxConnections = 16_384

// defaultLease is how long a lease lasts while no document says it.
const defaultLease = 5 * time.Second

// parts is everything that runs until the process ends.
type parts struct {
	document *snapshot.File[tokenhttp.Document]
	sources  *identity.Sources
	legacy   *legacy.Keeper
	clients  *tokenhttp.ClientFiles // nil without --client-dir
	sessions *backend
	follower *feed.Follower
	service  *tokenhttp.Service
	feed     *feed.Server
}

// assemble opens the store and puts the parts together. Nothing runs yet.
func assemble(ctx context.Context, o options, log *slog.Logger) (*parts, error) {
	slots := runtime.GOMAXPROCS(0)
	hasher := identity.NewHasher(slots, slots*queuePerSlot).Within(debug.SetMemoryLimit(-1) / 3 * 2) // of GOMEMLIMIT
	p := &parts{sources: identity.NewSources(o.identityDir, log, time.Now), legacy: legacy.NewKeeper(o.legacyDir, log, time.Now)}
	p.document = snapshot.Open(o.snapshot, tokenhttp.Build(p.sources, hasher, tokenhttp.WithLegacy(p.openLegacy)), log, time.Now)
	propagation := func() time.Duration {
		if d := p.document.Load(); d != nil {
			return d.MaxPropagation.Std()
		}
		return defaultLease
	}
	var err error
	if p.sessions, err = openBackend(ctx, o, propagation, log); err != nil {
		return nil, err
	}
	p.follower = feed.NewFollower(p.sessions, p.sessions.ID, propagation, log, time.Now)
	config := tokenhttp.Config{
		Document: p.document.Load, Refused: p.document.Refused,
		Families: p.sessions, Sessions: p.sessions, Limiter: p.sessions, Acquaintances: p.sessions, StoreReason: p.sessions.reason,
		Edges: p.sessions.leases, Revocations: p.follower, Hasher: hasher, Log: log, Now: time.Now, Instance: o.instance,
	}
	if o.clientDir != "" {
		p.clients = tokenhttp.NewClientFiles(o.clientDir, log, time.Now)
		config.Clients = p.clients
	}
	p.service = tokenhttp.New(config)
	p.feed = feed.NewServer(feed.ServerConfig{
		Source: p.sessions, Store: p.sessions.ID, Leases: p.sessions.leases, Sessions: p.service, Dir: o.feedDir, Logger: log, Now: time.Now,
	})
	return p, nil
}

func (p *parts) openLegacy(cookie string, config snapshot.Legacy) (tokenhttp.Legacy, error) {
	source, err := legacy.New(cookie, config, p.legacy)
	if err != nil {
		return nil, err // not a nil *Source, which is no nil interface
	}
	return source, nil
}

// run serves until ctx ends, then drains: not ready, requests under way finish, the feed ends, the store is closed.
func run(ctx context.Context, o options, log *slog.Logger) error {
	p, err := assemble(ctx, o, log)
	if err != nil {
		return err
	}
	if err = errors.Join(p.serve(ctx, o, log), p.sessions.Close()); err == nil {
		log.Info("stopped")
	}
	return err
}

func (p *parts) serve(ctx context.Context, o options, log *slog.Logger) error {
	public, internal := tokenhttp.NewServer(p.service.Public()), tokenhttp.NewServer(p.service.Internal())
	if err := encrypt(public, o.tlsDir, log); err != nil {
		return err
	}
	listeners, err := listenAll(o.listen, o.internalListen, o.feedListen)
	if err != nil {
		return err
	}
	log.Info("started", "version", buildVersion(), "instance", o.instance, "listen", listeners[0].Addr().String(),
		"internal_listen", listeners[1].Addr().String(), "feed_listen", listeners[2].Addr().String())

	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, failed := errgroup.WithContext(background)
	group.Go(func() error { return p.document.Run(failed) })
	group.Go(func() error { return p.sources.Run(failed) })
	group.Go(func() error { return p.legacy.Run(failed) })
	group.Go(func() error { return p.follower.Run(failed) })
	group.Go(func() error { return p.service.RunRevocations(failed) })
	group.Go(func() error { return store.Keep(failed, p.sessions.Store, log, time.Now) })
	group.Go(func() error { return p.feed.Serve(failed, listeners[2]) })
	if p.clients != nil {
		group.Go(func() error { return p.clients.Run(failed) })
	}
	group.Go(func() error { return serve(public, netutil.LimitListener(listeners[0], maxConnections)) })
	group.Go(func() error { return serve(internal, listeners[1]) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-failed.Done(): // one part could not go on: the process ends, in order
		}
		p.service.Drain()
		log.Info("draining", "grace", o.grace.String())
		drain(public, internal, o.grace)
		end()
		return context.Canceled
	})
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
