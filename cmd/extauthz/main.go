// Command extauthz answers the external-authorization calls of ingress proxies. Package extauthz holds the design.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/keyturn/keyturn/internal/extauthz"
	"github.com/keyturn/keyturn/internal/feed"
)

type options struct {
	snapshot, feedDir, instance string
	http, grpc, internal        string
	grace, drainDelay           time.Duration
	logLevel                    slog.Level
}

func main() {
	if err := command().Execute(); err != nil {
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:          "extauthz",
		Short:        "Answer the external-authorization calls of ingress proxies",
		Version:      version(),
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE:         func(c *cobra.Command, _ []string) error { return run(c.Context(), o) },
	}
	host, _ := os.Hostname()
	f := c.Flags()
	f.StringVar(&o.snapshot, "snapshot", "", "file of the edge snapshot (required)")
	f.StringVar(&o.http, "http-listen", ":8080", "address of the HTTP sub-request protocols")
	f.StringVar(&o.grpc, "grpc-listen", ":9000", "address of Envoy's gRPC protocol")
	f.StringVar(&o.internal, "internal-listen", ":9090", "address of /livez, /readyz, /metrics, /status and /census")
	f.StringVar(&o.feedDir, "feed-dir", "", "directory with ca.crt and token of the revocation feed; empty: clear text, loopback only")
	f.StringVar(&o.instance, "instance", cmp.Or(os.Getenv("POD_NAME"), host), "unique name of this replica")
	f.DurationVar(&o.grace, "grace", 20*time.Second, "how long to finish what runs after SIGTERM")
	f.DurationVar(&o.drainDelay, "drain-delay", 3*time.Second, "how long to go on answering, not ready, after SIGTERM")
	f.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	if err := c.MarkFlagRequired("snapshot"); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cobra.OnFinalize(stop)
	c.SetContext(ctx)
	return c
}

// ballast is memory that is never touched, and so never there: to the collector it is a part of the heap, which it lets
// grow to twice its size. What the edge keeps is small and what it throws away is much, and without this it would collect
// ten times as often.
const ballast = 32 << 20

func run(ctx context.Context, o options) error {
	heap := make([]byte, ballast)
	defer runtime.KeepAlive(heap)
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: o.logLevel}))
	var client *feed.Client
	authorizer, err := extauthz.New(extauthz.Config{
		Snapshot: o.snapshot, Instance: o.instance, FeedDir: o.feedDir, Log: log, Now: time.Now,
		Revocations: func(target func() (feed.Target, bool)) (extauthz.Revocations, error) {
			var err error
			client, err = feed.NewClient(feed.ClientConfig{Edge: o.instance, Dir: o.feedDir, Target: target, Log: log, Now: time.Now})
			return client, err
		},
	})
	if err != nil {
		return err
	}
	on, err := listen(ctx, o)
	if err != nil {
		return err
	}
	log.Info("listening", "version", version(), "instance", o.instance, "http", on.HTTP.Addr().String(), "grpc", on.GRPC.Addr().String(), "internal", on.Internal.Addr().String())
	return authorizer.Serve(ctx, on, extauthz.Drain{Delay: o.drainDelay, Grace: o.grace}, client.Run)
}

// The most connections of the ports that proxies ask; the next ones wait in the kernel's queue. A proxy that keeps none
// alive needs one for each check at work, Envoy one for each of its threads. The internal port has no bound: whoever
// took its last connection would make the kubelet restart the replica.
const (
	maxHTTP = 8192
	maxGRPC = 1024
)

func listen(ctx context.Context, o options) (on extauthz.Listeners, err error) {
	for _, l := range []struct {
		into    *net.Listener
		flag    string
		address string
		most    int
	}{{&on.HTTP, "http-listen", o.http, maxHTTP}, {&on.GRPC, "grpc-listen", o.grpc, maxGRPC}, {&on.Internal, "internal-listen", o.internal, 0}} {
		host, port, err := net.SplitHostPort(l.address)
		if err != nil {
			return on, fmt.Errorf("--%s: %w", l.flag, err)
		}
		address := net.JoinHostPort(cmp.Or(host, os.Getenv("KEYTURN_BIND_ADDRESS")), port)
		opened, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return on, fmt.Errorf("--%s: %w", l.flag, err)
		}
		if *l.into = opened; l.most > 0 {
			*l.into = netutil.LimitListener(opened, l.most)
		}
	}
	return on, nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
