// Command manager runs the Keyturn operator: it reconciles SigningKeySets, TokenPolicies and TokenServices.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
	"github.com/keyturn/keyturn/controllers"
)

// version is set by the linker.
var version = "dev"

type flags struct {
	image, metrics, health, namespace string
	leaderElect                       bool
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
	if err := controllers.Setup(mgr, controllers.Options{Image: f.image, Namespace: f.namespace}); err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return err
	}
	return mgr.Start(ctx)
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
