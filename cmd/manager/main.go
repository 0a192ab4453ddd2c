// Command manager runs the Keyturn operator: it reconciles SigningKeySets, TokenPolicies and TokenServices.
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/controllers"
	"github.com/keyturn/keyturn/internal/probe"
)

// version is set by the linker.
var version = "dev"

type flags struct {
	image, metrics, health, namespace string
	leaderElect                       bool
	qps                               float32
	burst                             int
	probes                            probe.Reach
}

func main() {
	if err := command().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use: "manager", Version: version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		Short: "Reconcile Keyturn's custom resources into Secrets and workloads",
		RunE:  func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.image, "image", os.Getenv("KEYTURN_IMAGE"), "image of the token service and the edge (default $KEYTURN_IMAGE)")
	cmd.Flags().StringVar(&f.metrics, "metrics-listen", ":8082", "address of /metrics; 0 turns it off")
	cmd.Flags().StringVar(&f.health, "health-listen", ":8081", "address of /healthz and /readyz")
	cmd.Flags().BoolVar(&f.leaderElect, "leader-elect", false, "let one manager of several work at a time")
	cmd.Flags().StringVar(&f.namespace, "leader-election-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the manager, where its lease is (default $POD_NAMESPACE)")
	cmd.Flags().Float32Var(&f.qps, "kube-api-qps", 0, "requests a second to the API server at most; 0 sets no limit and leaves it to the API server's own, API Priority and Fairness")
	cmd.Flags().IntVar(&f.burst, "kube-api-burst", 0, "requests at once above --kube-api-qps; 0 is twice as many")
	cmd.Flags().BoolVar(&f.probes.Private, "probe-private-addresses", true, "let the probes of AccessPolicies go to addresses of private networks, where most clusters have their ingress")
	cmd.Flags().BoolVar(&f.probes.Loopback, "probe-loopback-addresses", false, "let them go to the manager's own loopback addresses; for tests on one machine")
	cmd.AddCommand(checkCommand())
	return cmd
}

func run(ctx context.Context, f flags) error {
	if f.image == "" {
		return errors.New("no image for the workloads: set --image or KEYTURN_IMAGE")
	}
	logger := zap.New(zap.UseDevMode(false))
	ctrl.SetLogger(logger)
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("no cluster to talk to (KUBECONFIG, or run in a pod): %w", err)
	}
	if err := limit(config, f.qps, f.burst); err != nil {
		return err
	}
	f.probes.Never = apiServer(config.Host, os.Getenv("KUBERNETES_SERVICE_HOST"))
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), keyturnv1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Logger: logger, Cache: controllers.CacheOptions(),
		Metrics:                       metricsserver.Options{BindAddress: bind(f.metrics)},
		HealthProbeBindAddress:        bind(f.health),
		LeaderElection:                f.leaderElect,
		LeaderElectionID:              "manager.keyturn.dev",
		LeaderElectionNamespace:       f.namespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return err
	}
	if err := controllers.Setup(mgr, controllers.Options{Image: f.image, Namespace: f.namespace, Probes: f.probes}); err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// limit bounds what the manager asks of the API server, on top of what that allows it. Watches are one request each.
func limit(config *rest.Config, qps float32, burst int) error {
	switch {
	case !(qps >= 0) || burst < 0:
		return errors.New("--kube-api-qps and --kube-api-burst are 0 or more")
	case qps == 0 && burst > 0:
		return errors.New("--kube-api-burst needs --kube-api-qps")
	case qps == 0:
		config.QPS, config.Burst = -1, 0 // client-go takes 0 for 5 a second
		return nil
	case burst == 0:
		burst = int(min(max(2*math.Ceil(float64(qps)), 1), math.MaxInt32))
	}
	config.QPS, config.Burst = qps, burst
	return nil
}

// bind gives a listen address without a host the host of KEYTURN_BIND_ADDRESS, for places where many pods share one
// network.
func bind(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "" {
		return address
	}
	return net.JoinHostPort(os.Getenv("KEYTURN_BIND_ADDRESS"), port)
}

// apiServer are the addresses of the API server, to which no probe goes: the one that the manager talks to, and the address
// that pods know it by.
func apiServer(host, service string) (all []netip.AddrPort) {
	if at, err := url.Parse(host); err == nil {
		if ip, err := netip.ParseAddr(at.Hostname()); err == nil {
			port, _ := strconv.ParseUint(at.Port(), 10, 16) // none: every port
			all = append(all, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if ip, err := netip.ParseAddr(service); err == nil {
		all = append(all, netip.AddrPortFrom(ip, 0))
	}
	return all
}
