// Command kubectl-keyturn is the kubectl plugin of Keyturn: it shows keys and their rotation, what is wrong and what to
// do about it, asks for rotations, and edits lists of users. In PATH, it is `kubectl keyturn`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyturn/keyturn/internal/plugin"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctrllog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	k := &kube{screen: plugin.DetectScreen(os.Stdout, os.Getenv)}
	cmd, err := root(k).ExecuteContextC(ctx)
	stop()
	if err != nil {
		trouble := plugin.Explain(err, k.namespace())
		if !k.began && trouble.Mend == "" {
			trouble.Mend = "see how it is used: " + cmd.CommandPath() + " --help"
		}
		fmt.Fprint(os.Stderr, plugin.DrawTrouble(plugin.DetectScreen(os.Stderr, os.Getenv), trouble))
		os.Exit(1)
	}
}

func root(k *kube) *cobra.Command {
	cmd := &cobra.Command{
		Use: "kubectl-keyturn", Short: "See and steer Keyturn: keys, rotations, revocations, rollouts, access, problems, users",
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl keyturn"},
		SilenceUsage: true, SilenceErrors: true,
	}
	k.bind(cmd.PersistentFlags())
	cmd.AddCommand(keys(k), status(k), rotate(k), rollouts(k), access(k), revocations(k), exposure(k), users(k), versions(k))
	return cmd
}

func keys(k *kube) *cobra.Command {
	var o plugin.KeysOptions
	cmd := &cobra.Command{
		Use: "keys [SET]", Short: "Show the keys of signing key sets, their timeline and what comes next",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: k.completes((*plugin.Session).SetNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Set = args[0]
			}
			return k.run(cmd, len(args) == 0, func(ctx context.Context, s *plugin.Session) error { return s.Keys(ctx, o) })
		},
	}
	cmd.Flags().BoolVar(&o.Live, "live", false, "read the ring Secret itself, not the status (needs the right to get Secrets)")
	k.watch(cmd, &o.Watch)
	k.everywhere(cmd)
	return cmd
}

func status(k *kube) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show everything on one screen, problems first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.run(cmd, true, func(ctx context.Context, s *plugin.Session) error { return s.Status(ctx, watch) })
		},
	}
	k.watch(cmd, &watch)
	k.everywhere(cmd)
	return cmd
}

func rotate(k *kube) *cobra.Command {
	var o plugin.RotateOptions
	cmd := &cobra.Command{
		Use: "rotate SET", Short: "Ask for a rotation: the next key takes over as soon as it is safe",
		Long: "Ask for a rotation: the next key takes over as soon as it is safe, which is when it has been published for\nrotation.prePublish and every replica has it. Nobody is logged out.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: k.completes((*plugin.Session).SetNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Set = args[0]
			return k.run(cmd, false, func(ctx context.Context, s *plugin.Session) error { return s.Rotate(ctx, o) })
		},
	}
	follows(cmd, &o.Wait, false, "follow it until every replica has loaded the new key", &o.Timeout, 10*time.Minute)
	return cmd
}

func users(k *kube) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Edit the list of users of a token service", Args: cobra.NoArgs}
	for _, sub := range []*cobra.Command{setUser(k), removeUser(k), listUsers(k)} {
		cmd.AddCommand(sub)
	}
	return cmd
}

func versions(k *kube) *cobra.Command {
	var client bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of this program and the manager's image", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return k.version(cmd, client) },
	}
	cmd.Flags().BoolVar(&client, "client", false, "this program only")
	k.format(cmd)
	return cmd
}
