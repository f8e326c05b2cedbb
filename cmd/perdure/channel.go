package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/view"
)

// newChannelCommand returns the group of commands about payment channels.
func newChannelCommand(g *globals) *cobra.Command {
	return newGroup("channel", "See and close payment channels", `See and close the payment channels that get opens to miners. A channel is closed in two
steps: settle, which leaves the miner a delay to redeem what it was promised, then collect,
which pays back the rest.`, newChannelList(g), newChannelSettle(g), newChannelCollect(g))
}

// newChannelList returns the command that lists the channels of this home.
func newChannelList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the channels that this home opened", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.openReader(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Channels(cmd.Context())
			if err != nil {
				return err
			}
			items := make([]view.Channel, len(all))
			for i := range all {
				items[i] = view.ChannelOf(&all[i], chain.Testnet)
			}
			return answer(cmd, g, map[string]any{"items": items})
		},
	}
}

// newChannelSettle returns the command that begins to close a channel.
func newChannelSettle(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "settle ID", Short: "Begin to close a channel", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onChannel(cmd, g, args[0], "settling", func(c *client.Client, id uint64) error { return c.Settle(cmd.Context(), id) })
		},
	}
}

// newChannelCollect returns the command that closes a channel.
func newChannelCollect(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "collect ID", Short: "Close a channel whose settle delay is over, and get the rest back", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onChannel(cmd, g, args[0], "collected", func(c *client.Client, id uint64) error { return c.Collect(cmd.Context(), id) })
		},
	}
}

// onChannel does something to one channel and says so.
func onChannel(cmd *cobra.Command, g *globals, text, state string, do func(*client.Client, uint64) error) error {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return usage(fmt.Errorf("channel %q: want a number", text))
	}
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := do(c, id); err != nil {
		return err
	}
	return answer(cmd, g, map[string]any{"id": id, "state": state})
}
