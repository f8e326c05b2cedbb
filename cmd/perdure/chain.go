package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// newChainCommand returns the group of commands that read blocks and messages.
func newChainCommand(g *globals) *cobra.Command {
	return newGroup("chain", "Read blocks and messages of a node", "",
		newChainHead(g), newChainBlock(g), newChainMessage(g))
}

// newChainHead returns the command that shows where the chain is.
func newChainHead(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "head", Short: "Show the newest block", Args: cobra.NoArgs,
		Long: "Show the newest block that the node has committed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			node, err := g.dial()
			if err != nil {
				return err
			}
			defer node.Close()
			at, err := node.Global(cmd.Context())
			if err != nil {
				return err
			}
			return ask(cmd, g, fmt.Sprintf("/v1/blocks/%d", at.Height))
		},
	}
}

// newChainBlock returns the command that shows a block.
func newChainBlock(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "block HEIGHT", Short: "Show a block and its messages", Args: cobra.ExactArgs(1),
		Example: "  perdure chain block 17 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			height, err := strconv.ParseUint(args[0], 10, 63)
			if err != nil {
				return usage(fmt.Errorf("height %q: want a number", args[0]))
			}
			return ask(cmd, g, fmt.Sprintf("/v1/blocks/%d", height))
		},
	}
}

// newChainMessage returns the command that shows a message.
func newChainMessage(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "message HASH", Short: "Show a message and what became of it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return ask(cmd, g, "/v1/messages/"+url.PathEscape(args[0]))
		},
	}
}
