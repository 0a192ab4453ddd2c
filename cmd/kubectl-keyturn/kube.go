package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyturn/keyturn/internal/plugin"
)

// kube holds the flags of every command.
type kube struct {
	screen    plugin.Screen
	config    clientcmd.ClientConfig
	overrides clientcmd.ConfigOverrides
	all       bool
	output    string
	// began tells that the command line was understood.
	began bool
}

// bind takes kubectl's own connection flags; the help shows the three that are used most.
func (k *kube) bind(flags *pflag.FlagSet) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.AuthOverrideFlags.Username.LongName, names.AuthOverrideFlags.Password.LongName = "", "" // kubectl has none either
	names.ClusterOverrideFlags.APIServer.ShortName = "s"                                          // as in kubectl
	names.ContextOverrideFlags.Namespace.Description = "namespace to look at (default: that of the context)"
	clientcmd.BindOverrideFlags(&k.overrides, flags, names)
	flags.VisitAll(func(f *pflag.Flag) { f.Hidden = f.Name != "namespace" && f.Name != "context" })
	flags.StringVar(&rules.ExplicitPath, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config)")
	k.config = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &k.overrides)
}

func (k *kube) format(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&k.output, "output", "o", "", "json, yaml or wide (default: tables for people)")
}

func (k *kube) watch(cmd *cobra.Command, on *bool) {
	k.format(cmd)
	cmd.Flags().BoolVarP(on, "watch", "w", false, "look again every two seconds")
}

func (k *kube) everywhere(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&k.all, "all-namespaces", "A", false, "look at all namespaces")
}

// namespace is what the flags and the kubeconfig say; empty: all, or unknown.
func (k *kube) namespace() string {
	if k.all || k.config == nil {
		return ""
	}
	name, _, err := k.config.Namespace()
	if err != nil {
		return ""
	}
	return name
}

// run connects and calls do. mayAll tells whether -A makes sense.
func (k *kube) run(cmd *cobra.Command, mayAll bool, do func(context.Context, *plugin.Session) error) error {
	session, err := k.session(cmd)
	if err != nil {
		return err
	}
	if k.all && !mayAll {
		return &plugin.Trouble{What: "-A does not go with the name of an object", Mend: "name its namespace with -n"}
	}
	if session.Client, err = k.connect(); err != nil {
		return err
	}
	session.Namespace = k.namespace()
	return do(cmd.Context(), session)
}

func (k *kube) session(cmd *cobra.Command) (*plugin.Session, error) {
	format, err := plugin.ParseFormat(k.output)
	k.began = err == nil
	return &plugin.Session{
		Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Screen: k.screen, Format: format, Now: time.Now, After: time.After,
	}, err
}

func (k *kube) connect() (client.Client, error) {
	config, err := k.config.ClientConfig()
	if err != nil {
		return nil, err
	}
	config.UserAgent = "kubectl-keyturn/" + version
	config.WarningHandler = rest.NoWarnings{}
	return plugin.Connect(config)
}

func (k *kube) version(cmd *cobra.Command, clientOnly bool) error {
	session, err := k.session(cmd)
	if err != nil {
		return err
	}
	connect := k.connect
	if clientOnly {
		connect = nil
	}
	return plugin.Version(cmd.Context(), session, version, connect)
}

// names lists what an argument may be.
type names func(*plugin.Session, context.Context) []string

// completes completes the first argument of a command.
func (k *kube) completes(all names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return k.complete(cmd, args, all)
	}
}

// shows makes a command that shows the object that its only argument names, or all of the namespace, or of all.
func (k *kube) shows(cmd *cobra.Command, all names, show func(s *plugin.Session, ctx context.Context, name string, watch bool) error) *cobra.Command {
	var watch bool
	cmd.Args, cmd.ValidArgsFunction = cobra.MaximumNArgs(1), k.completes(all)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := ""
		if len(args) == 1 {
			name = args[0]
		}
		return k.run(cmd, name == "", func(ctx context.Context, s *plugin.Session) error { return show(s, ctx, name, watch) })
	}
	k.watch(cmd, &watch)
	k.everywhere(cmd)
	return cmd
}

// follows gives a command the flags by which it waits for what it has led to.
func follows(cmd *cobra.Command, wait *bool, byDefault bool, what string, timeout *time.Duration, limit time.Duration) {
	cmd.Flags().BoolVar(wait, "wait", byDefault, what)
	cmd.Flags().DurationVar(timeout, "timeout", limit, "with --wait: give up after this long; 0 never does")
}

func (k *kube) complete(cmd *cobra.Command, args []string, all names) ([]string, cobra.ShellCompDirective) {
	var found []string
	if len(args) == 0 {
		_ = k.run(cmd, true, func(ctx context.Context, s *plugin.Session) error {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			found = all(s, ctx)
			return nil
		})
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}
