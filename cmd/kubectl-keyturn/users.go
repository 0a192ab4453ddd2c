package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/plugin"
)

func scope(cmd *cobra.Command, o *plugin.UserScope) {
	cmd.Flags().StringVar(&o.Secret, "secret", "", "the Secret with the users; needed where there are several")
	cmd.Flags().StringVar(&o.Service, "service", "", "the TokenService whose users are meant")
}

func setUser(k *kube) *cobra.Command {
	var o plugin.SetUserOptions
	var role string
	var stdin bool
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Add a user, or change the password or the role of one",
		Long: "Add a user, or change the password or the role of one. The password is asked for twice, or read from\nstandard input. With --role alone, the password of a user who exists stays.",
		Example: "  kubectl keyturn user set alice --role admin\n" +
			"  printf %s \"$PASSWORD\" | kubectl keyturn user set alice --password-stdin",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if cmd.Flags().Changed("role") {
				o.Role = &role
			}
			o.Passwords = plugin.TypedPassword{Terminal: os.Stdin, Prompt: cmd.ErrOrStderr()}
			if stdin {
				o.AskPassword, o.Passwords = true, plugin.PipedPassword{From: cmd.InOrStdin()}
			}
			return k.run(cmd, false, func(ctx context.Context, s *plugin.Session) error { return s.SetUser(ctx, o) })
		},
	}
	cmd.Flags().StringVar(&role, "role", "", `role of the user; "" takes it away`)
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&o.AskPassword, "ask-password", false, "with --role: change the password too")
	cmd.Flags().BoolVar(&o.Create, "create", false, "make the Secret if it does not exist")
	scope(cmd, &o.UserScope)
	return cmd
}

func removeUser(k *kube) *cobra.Command {
	var o plugin.UserScope
	cmd := &cobra.Command{
		Use: "rm NAME", Short: "Remove a user and the user's role", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return k.run(cmd, false, func(ctx context.Context, s *plugin.Session) error { return s.RemoveUser(ctx, o, args[0]) })
		},
	}
	scope(cmd, &o)
	return cmd
}

func listUsers(k *kube) *cobra.Command {
	var o plugin.UserScope
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List users, their roles and the sub of their tokens; never a hash", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.run(cmd, false, func(ctx context.Context, s *plugin.Session) error { return s.ListUsers(ctx, o) })
		},
	}
	scope(cmd, &o)
	k.format(cmd)
	return cmd
}
