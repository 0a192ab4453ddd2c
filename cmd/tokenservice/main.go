// Command tokenservice logs users in, refreshes and ends their sessions, and publishes the keys that verify tokens.
//
// It needs no Kubernetes: a snapshot document, a store (a file of its own, or a Redis or PostgreSQL server that it shares
// with other token services) and directories with the secrets that the document names are all it reads. See
// docs/design.md, sections 4 and 8.
//
// It starts also while a shared store is down, and is not ready then: a proxy that has another replica should use that,
// and one that has none has a 503 to show either way. Who can still reach it gets the keys and the discovery documents.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "tokenservice:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	snapshot, identityDir, clientDir, legacyDir, tlsDir string
	store, storeDir, dataDir, feedDir                   string
	listen, internalListen, feedListen                  string
	instance                                            string
	grace                                               time.Duration
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "tokenservice", Short: "Keyturn's token service", Version: buildVersion(),
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			return run(cmd.Context(), o, log)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.snapshot, "snapshot", "/var/run/keyturn/snapshot/snapshot", "file with the issuer snapshot")
	f.StringVar(&o.identityDir, "identity-dir", "/var/run/keyturn/identity", "directory with one directory for each identity source")
	f.StringVar(&o.clientDir, "client-dir", "", "directory with <id>/secret for each OAuth client; without it no client can prove who it is")
	f.StringVar(&o.legacyDir, "legacy-dir", "/var/run/keyturn/legacy", "directory with the directories validator, issuer and revoker: the credentials for the application that has the legacy sessions")
	f.StringVar(&o.tlsDir, "tls-dir", "", "directory with tls.crt and tls.key of the public port; without it that port speaks clear text")
	f.StringVar(&o.store, "store", embeddedStore, "the session store: embedded, or redis://, rediss:// or postgres:// with host and options, without credentials")
	f.StringVar(&o.storeDir, "store-dir", "", "directory with username, password, sentinel-password, ca.crt, tls.crt and tls.key for the store, each optional")
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/keyturn", "directory of the embedded store")
	f.StringVar(&o.feedDir, "feed-dir", "", "directory with tls.crt, tls.key and token of the revocation feed; without it the feed listens on loopback only")
	f.StringVar(&o.listen, "listen", ":8080", "address of the public port")
	f.StringVar(&o.internalListen, "internal-listen", ":9090", "address of /livez /readyz /metrics /status")
	f.StringVar(&o.feedListen, "feed-listen", ":8444", "address of the revocation feed")
	f.StringVar(&o.instance, "instance", defaultInstance(), "name of this replica")
	f.DurationVar(&o.grace, "grace", 20*time.Second, "how long requests under way may take after SIGTERM")
	return cmd
}

func defaultInstance() string {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "tokenservice"
	}
	return name
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
