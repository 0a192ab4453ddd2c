package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/plugin"
)

func rollouts(k *kube) *cobra.Command {
	cmd := &cobra.Command{Use: "rollout", Short: "See and steer how users move from legacy sessions to JWTs", Args: cobra.NoArgs}
	cmd.AddCommand(rolloutStatus(k))
	for _, action := range plugin.RolloutActions {
		cmd.AddCommand(rolloutAction(k, action))
	}
	return cmd
}

func rolloutStatus(k *kube) *cobra.Command {
	return k.shows(&cobra.Command{
		Use: "status [NAME]", Short: "Show how far a rollout is, what the guard says and what comes next",
	}, (*plugin.Session).RolloutNames, (*plugin.Session).RolloutStatus)
}

// rolloutWords say what each action does.
var rolloutWords = map[string]string{
	"promote": "Go to the next step at once, without waiting for time, guard or approval",
	"hold":    "Stay at this step until resume; the guard may still take it back",
	"resume":  "End a hold, an abort and the cooldown after a rollback",
	"abort":   "Go to 0 % and hold: nobody is logged out, new logins get sessions again",
}

func rolloutAction(k *kube, action string) *cobra.Command {
	o := plugin.RolloutOptions{Action: action}
	cmd := &cobra.Command{
		Use: action + " NAME", Short: rolloutWords[action], Args: cobra.ExactArgs(1), ValidArgsFunction: k.completes((*plugin.Session).RolloutNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return k.run(cmd, false, func(ctx context.Context, s *plugin.Session) error { return s.RolloutCommand(ctx, o) })
		},
	}
	follows(cmd, &o.Wait, false, "follow it until every replica works with it", &o.Timeout, time.Minute)
	return cmd
}
