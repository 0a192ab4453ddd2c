package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/keyturn/keyturn/internal/feed"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/snapshot"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/embedded"
	"github.com/keyturn/keyturn/internal/tokenhttp"
)

// queuePerSlot is how many logins may wait for each hash slot: a few seconds' worth.
const queuePerSlot = 32

// maxConnections bounds the connections of the public port; the next ones wait in the kernel's queue.
const maxConnections = 16_384

// defaultLease is how long a lease lasts while no document says it.
const defaultLease = 5 * time.Second

// run serves until ctx ends, then drains: not ready, requests under way finish, the feed ends, the store is closed.
func run(ctx context.Context, o options, log *slog.Logger) error {
	sessions, err := embedded.Open(o.dataDir)
	if err != nil {
		return err
	}
	slots := runtime.GOMAXPROCS(0)
	hasher := identity.NewHasher(slots, slots*queuePerSlot).Within(debug.SetMemoryLimit(-1) / 2) // of GOMEMLIMIT
	sources := identity.NewSources(o.identityDir, log, time.Now)
	document := snapshot.Open(o.snapshot, tokenhttp.Build(sources, hasher), log, time.Now)
	leases, err := feed.OpenLeases(ctx, sessions, func() time.Duration {
		if d := document.Load(); d != nil {
			return d.MaxPropagation.Std()
		}
		return defaultLease
	}, time.Now)
	if err != nil {
		return errors.Join(err, sessions.Close())
	}
	service := tokenhttp.New(tokenhttp.Config{
		Document: document.Load, Refused: document.Refused, Families: sessions, Sessions: sessions, Limiter: sessions, Acquaintances: sessions, Edges: leases,
		Hasher: hasher, Log: log, Now: time.Now, Instance: o.instance,
	})
	listeners, err := listenAll(o.listen, o.internalListen, o.feedListen)
	if err != nil {
		return errors.Join(err, sessions.Close())
	}
	feedServer := feed.NewServer(feed.ServerConfig{Source: sessions, Store: sessions.ID, Leases: leases, Dir: o.feedDir, Logger: log, Now: time.Now})
	log.Info("started", "version", buildVersion(), "instance", o.instance, "listen", listeners[0].Addr().String(),
		"internal_listen", listeners[1].Addr().String(), "feed_listen", listeners[2].Addr().String())

	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, failed := errgroup.WithContext(background)
	group.Go(func() error { return document.Run(failed) })
	group.Go(func() error { return sources.Run(failed) })
	group.Go(func() error { return store.Keep(failed, sessions, log, time.Now) })
	group.Go(func() error { return feedServer.Serve(failed, listeners[2]) })
	public, internal := tokenhttp.NewServer(service.Public()), tokenhttp.NewServer(service.Internal())
	group.Go(func() error { return serve(public, netutil.LimitListener(listeners[0], maxConnections)) })
	group.Go(func() error { return serve(internal, listeners[1]) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-failed.Done(): // one part could not go on: the process ends, in order
		}
		service.Drain()
		log.Info("draining", "grace", o.grace.String())
		drain(public, internal, o.grace)
		end()
		return context.Canceled
	})
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err = errors.Join(err, sessions.Close()); err == nil {
		log.Info("stopped")
	}
	return err
}

// drain goes on serving for a moment, in which the proxies learn that this replica is not ready, and then waits for
// the requests under way. Logouts among them still need the feed.
func drain(public, internal *http.Server, grace time.Duration) {
	moment := grace / 10
	<-time.After(moment)
	ctx, cancel := context.WithTimeout(context.Background(), grace-2*moment)
	defer cancel()
	for _, server := range []*http.Server{public, internal} {
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
}

func serve(server *http.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listenAll opens every address or none.
func listenAll(addresses ...string) ([]net.Listener, error) {
	var all []net.Listener
	for _, address := range addresses {
		listener, err := net.Listen("tcp", bindAddress(address))
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		all = append(all, listener)
	}
	return all, nil
}

// bindAddress puts KEYTURN_BIND_ADDRESS in front of an address that has no host.
func bindAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if bind := os.Getenv("KEYTURN_BIND_ADDRESS"); err == nil && host == "" && bind != "" {
		return net.JoinHostPort(bind, port)
	}
	return address
}
