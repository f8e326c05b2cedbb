package main

import (
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/miner/daemon"
)

// newMinerKeys returns the group of commands about a miner's keys.
func newMinerKeys(g *globals) *cobra.Command {
	return newGroup("keys", "Change the keys that act for a miner", "", newMinerKeysSet(g))
}

// newMinerKeysSet returns the command that gives a miner the keys of a node.
func newMinerKeysSet(g *globals) *cobra.Command {
	var o minerKeysOptions
	cmd := &cobra.Command{
		Use:   "set --validator DIR",
		Short: "Let a chain node vote for the miner",
		Long: `Let the chain node of the home --validator vote for a miner that was made without
--validator, or votes through another node. The node's consensus and beacon keys are
registered for the miner, with proofs that only its owner and worker can use; they act
two vote epochs later, and from the next border on its proven power is votes.

The miner's owner signs: the address of --from in the wallet of --wallet (a home
directory). The keys belong to the miner for good. Whoever changes the node keeps the
old one running, with its old keys, until it votes no more; two nodes must never run
with the same keys, since a key that signs twice costs the miner a share of its pledge
and its votes for good.`,
		Example: `  perdure miner keys set --home ~/miner --wallet ~/.perdure --validator ~/node
  perdure miner keys set --miner t01000 --from t1... --validator ~/node`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMinerKeysSet(cmd, g, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.validator, "validator", "", "home of the chain node that is to vote for the miner")
	f.StringVar(&o.wallet, "wallet", "", "home directory whose wallet has the owner's key (default that of --home)")
	f.StringVar(&o.miner, "miner", "", "the miner, like t01000 (default that of --home)")
	require(cmd, "validator")
	return cmd
}

// minerKeysOptions are the flags of miner keys set.
type minerKeysOptions struct {
	validator, wallet, miner string
}

// minerKeysJSON is a change of keys that was ordered.
type minerKeysJSON struct {
	Miner        string       `json:"miner"`
	ConsensusKey string       `json:"consensusKey"` // ed25519, hexadecimal
	Height       chain.Height `json:"height"`       // block that holds the change
	ActsAt       chain.Height `json:"actsAt"`       // height at which the keys begin to act
}

func runMinerKeysSet(cmd *cobra.Command, g *globals, o minerKeysOptions) error {
	if g.Light {
		return usage(errMinerLight)
	}
	var named []string
	if o.miner != "" {
		named = []string{o.miner}
	}
	id, err := chooseMiner(g, named)
	if err != nil {
		return err
	}
	client := g.plain()
	defer client.Close()
	payer := *g
	if o.wallet != "" {
		payer.Home = o.wallet
	}
	owner, err := openSender(&payer, client)
	if err != nil {
		return fmt.Errorf("owner's wallet %s: %w", payer.Home, err)
	}
	params, err := client.Params(cmd.Context())
	if err != nil {
		return err
	}
	change, err := daemon.SetVoteKeys(cmd.Context(), client, owner, id,
		func(k *chain.Keys) error { return node.VoteKeys(o.validator, params.ChainID, k) })
	if err != nil {
		return err
	}
	return answer(cmd, g, minerKeysJSON{chain.FormatMiner(id, params.Network), hex.EncodeToString(change.ConsensusKey), change.Landed, change.From})
}
