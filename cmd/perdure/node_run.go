package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
)

// nodeRunOptions are the flags of node run.
type nodeRunOptions struct {
	from  []string
	trust string
}

// newNodeRun returns the command that runs a node.
func newNodeRun(g *globals) *cobra.Command {
	var o nodeRunOptions
	cmd := &cobra.Command{
		Use: "run", Short: "Run the node until it is stopped", Args: cobra.NoArgs,
		Long: `Run the node of --home until it is stopped. Its API serves what docs/api.md says,
/metrics and /health/*; CometBFT's own JSON-RPC stands beside it.

With --sync-from a node without blocks starts from a snapshot that its peers
offer. The URLs are the JSON-RPC of nodes that are asked for headers; what the
first says is compared with what the others say, and all must follow from the
header that --trust names, which an explorer or an operator you trust can tell
(hash of a block: curl HOST:26657/commit?height=HEIGHT) and which must be younger
than the network's trust period was at it. A node that has blocks
goes on from there and ignores both flags.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runNode(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.from, "sync-from", nil, "URL of the JSON-RPC of a node to ask for headers; two or more should be given")
	f.StringVar(&o.trust, "trust", "", "HEIGHT:HASH of a header that is the chain's")
	cmd.MarkFlagsRequiredTogether("sync-from", "trust")
	return cmd
}

func runNode(cmd *cobra.Command, g *globals, o nodeRunOptions) error {
	node.TuneProcess()
	options := node.Options{Home: g.Home, Log: logger(cmd)}
	if len(o.from) > 0 {
		trust, err := node.ParseTrust(o.trust)
		if err != nil {
			return usage(err)
		}
		options.Sync = &node.Sync{Servers: o.from, Trust: trust}
	}
	n, err := node.New(options)
	if err != nil {
		return err
	}
	identity := n.Identity()
	votes := slices.ContainsFunc(validators(n), func(v chain.Validator) bool { return slices.Equal(v.PubKey, identity.ConsensusKey) })
	logger(cmd).Info("node opened", "api", n.API(), "rpc", n.RPC(), "peer", n.Peer(), "validator", votes)
	return errors.Join(n.Run(cmd.Context()), n.Close())
}

// validators are those of the newest state, if there is one.
func validators(n *node.Node) []chain.Validator {
	raw, err := n.Record(chain.GlobalKey())
	if err != nil || raw == nil {
		return nil
	}
	var global chain.Global
	if err := chain.Decode(raw, &global); err != nil {
		return nil
	}
	voters, err := consensus.Voters(n, global.Height+1)
	if err != nil {
		return nil
	}
	return voters
}
