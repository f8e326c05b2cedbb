package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/node"
)

// newNodeRollback returns the command that takes a block's effect back.
func newNodeRollback(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "rollback", Short: "Take the newest block's effect back, so that it is executed again", Args: cobra.NoArgs,
		Long: `Take the newest block's effect on the state of --home back. The block stays, and
is executed again when the node starts: a way out when a fault of the program or
of the disk gave this node another app hash than the others have. The node must
not be running.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := node.Rollback(g.Home)
			if err != nil {
				return err
			}
			return answer(cmd, g, struct {
				Height chain.Height `json:"height"` // of the state now
			}{h})
		},
	}
}

// newNodeReset returns the command that makes a node empty.
func newNodeReset(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Remove state, index, snapshots and blocks, but no key", Args: cobra.NoArgs,
		Long: `Remove state, index, snapshots and blocks of --home, so that the node can start
anew, from the first block or from a snapshot (node run --sync-from). Config,
genesis, keys and the record of what the validator has signed stay. The node
must not be running.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !g.Yes {
				return usage(errors.New("reset removes all blocks of this node: say --yes"))
			}
			if err := node.Reset(g.Home); err != nil {
				return err
			}
			return answer(cmd, g, struct {
				Home string `json:"home"`
			}{g.Home})
		},
	}
}
