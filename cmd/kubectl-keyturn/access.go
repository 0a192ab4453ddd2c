package main

import (
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/plugin"
)

func access(k *kube) *cobra.Command {
	return k.shows(&cobra.Command{
		Use: "access [NAME]", Short: "Show who is let in by an AccessPolicy, and whether the ingress asks by it",
	}, (*plugin.Session).AccessNames, (*plugin.Session).Access)
}
