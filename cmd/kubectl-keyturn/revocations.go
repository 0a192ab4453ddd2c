package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/plugin"
)

// revokeWords say what each kind takes and does.
var revokeWords = map[string]struct{ use, short, long string }{
	"key": {"key SET KID", "Distrust every token that a key has signed; nobody is logged out",
		"Distrust every token that a key has signed. KID is the key's name or the beginning of it, see kubectl keyturn keys.\nThe standby key takes over first; who has a token of the old key refreshes it, and is not logged out."},
	"user": {"user SERVICE SUBJECT", "End every session that a user has now",
		"End every session that a user has now. SUBJECT is the user as tokens name it, such as staff:alice.\nIt does not keep the user from logging in again: take the account away first."},
	"session": {"session SERVICE ID", "End one session", "End one session. ID is the sid of its access tokens."},
	"all":     {"all SERVICE", "End every session: everybody has to log in again, once", "End every session that there is now: everybody has to log in again, once."},
}

func revocations(k *kube) *cobra.Command {
	cmd := &cobra.Command{Use: "revoke", Short: "Distrust a key, a user, a session or all, from now on and for ever", Args: cobra.NoArgs}
	for _, kind := range plugin.RevokeKinds {
		cmd.AddCommand(revoke(k, kind))
	}
	return cmd
}

func revoke(k *kube, kind string) *cobra.Command {
	words, o := revokeWords[kind], plugin.RevokeOptions{Kind: kind}
	complete, args := (*plugin.Session).ServiceNames, 2
	switch kind {
	case "key":
		complete = (*plugin.Session).SetNames
	case "all":
		args = 1
	}
	cmd := &cobra.Command{
		Use: words.use, Short: words.short, Long: words.long, Args: cobra.ExactArgs(args),
		ValidArgsFunction: k.completes(complete),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Name = args[0]; len(args) > 1 {
				o.What = args[1]
			}
			return k.run(cmd, false, func(ctx context.Context, s *plugin.Session) error { return s.Revoke(ctx, o) })
		},
	}
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, for those who ask later (needed)")
	follows(cmd, &o.Wait, true, "follow it until every edge refuses it", &o.Timeout, 2*time.Minute)
	return cmd
}

func exposure(k *kube) *cobra.Command {
	return k.shows(&cobra.Command{
		Use: "exposure [SET]", Short: "Show until when tokens of each key live, who accepts them, and what is revoked",
	}, (*plugin.Session).SetNames, (*plugin.Session).Exposure)
}
