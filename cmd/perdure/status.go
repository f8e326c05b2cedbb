package main

import "github.com/spf13/cobra"

// newStatusCommand returns the command that shows how a node is.
func newStatusCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the node and its network are", Args: cobra.NoArgs,
		Long: `Show how the node of --node and its network are: chain, height, proven power,
money. Sectors below 32 GiB secure nothing, since they reseal faster than a
window is long: power on a devnet or testnet is for trying things out.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return ask(cmd, g, "/v1/status") },
	}
}
