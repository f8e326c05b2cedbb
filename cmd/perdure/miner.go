package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner/daemon"
)

// newMinerCommand returns the group of commands of a miner.
func newMinerCommand(g *globals) *cobra.Command {
	return newGroup("miner", "Run a miner, look after its sectors and offers",
		`Run a miner, look after its sectors and offers. The miner's home is the directory of
--home: config.toml, keystore/ with the worker's key, identity, records/, ledger/,
sectors/ and pieces/.`,
		newMinerInit(g), newMinerRun(g), newMinerList(g), newMinerAsk(g), newMinerKeys(g),
		newMinerSectors(g), newMinerTerminate(g), newMinerExtend(g),
		newMinerShow(g, "deadlines", "List the miner's deadlines and windows"))
}

// newMinerShow returns a command that shows a part of what the node knows of a miner.
func newMinerShow(g *globals, part, short string, columns ...string) *cobra.Command {
	return &cobra.Command{
		Use: part + " [ID]", Short: short, Args: cobra.MaximumNArgs(1),
		Long: short + ", as the chain has them. Without an ID it is the miner of --home.",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := chooseMiner(g, args)
			if err != nil {
				return err
			}
			return ask(cmd, g, "/v1/miners/"+chain.FormatMiner(id, chain.Testnet)+"/"+part, columns...)
		},
	}
}

// chooseMiner returns the miner of the arguments, or of --home, whose node is
// then asked unless --node names another.
func chooseMiner(g *globals, args []string) (chain.MinerID, error) {
	if len(args) == 1 {
		id, err := chain.ParseMiner(args[0])
		if err != nil {
			return 0, usage(err)
		}
		return id, nil
	}
	id, node, err := daemon.MinerOf(g.Home)
	if err != nil {
		return 0, fmt.Errorf("no miner named and none in --home: %w", err)
	}
	if g.Node == "" {
		g.Node = node
	}
	return id, nil
}

// newMinerAsk returns the group of commands about the standing offer.
func newMinerAsk(g *globals) *cobra.Command {
	return newGroup("ask", "Change the offer that the miner keeps in the order book", "", newMinerAskSet(g))
}

// askSetOptions are the flags of miner ask set.
type askSetOptions struct {
	price, collateral              amount
	capacity                       size
	minDuration, maxDuration, life uint64
	region                         string
	unsealPrice                    amount
}

// newMinerAskSet returns the command that changes the standing offer.
func newMinerAskSet(g *globals) *cobra.Command {
	var o askSetOptions
	cmd := &cobra.Command{
		Use: "set", Short: "Change the offer; what no flag names stays as it is", Args: cobra.NoArgs,
		Long: `Change the offer that the miner of --home keeps in the order book; what no flag names
stays as it is. A running miner replaces its ask at once, otherwise the offer is
placed at the next start. A capacity of 0 withdraws the offer.`,
		Example: "  perdure miner ask set --home ~/miner --price 5000000 --capacity 64MiB",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runMinerAskSet(cmd, g, o) },
	}
	f := cmd.Flags()
	f.Var(&o.price, "price", "attoPDR per GiB per block")
	f.Var(&o.capacity, "capacity", "padded bytes offered")
	f.Var(&o.collateral, "collateral", "attoPDR per GiB staked for what is offered")
	f.Uint64Var(&o.minDuration, "min-duration", 0, "least blocks of a deal (0: the network's)")
	f.Uint64Var(&o.maxDuration, "max-duration", 0, "most blocks of a deal (0: the network's)")
	f.Uint64Var(&o.life, "life", 0, "blocks until the ask expires and is placed again (0: half the longest)")
	f.StringVar(&o.region, "region", "", "where the miner is, like eu-de: a claim that clients may select by")
	f.Var(&o.unsealPrice, "unseal-price", "attoPDR per GiB that must be unsealed to be fetched, as announced")
	return cmd
}

func runMinerAskSet(cmd *cobra.Command, g *globals, o askSetOptions) error {
	cfg, err := daemon.LoadConfig(daemon.ConfigPath(g.Home))
	if err != nil {
		return err
	}
	offer, given := cfg.Ask, cmd.Flags().Changed
	if given("price") {
		offer.Price = chain.Amount(o.price)
	}
	if given("collateral") {
		offer.Collateral = chain.Amount(o.collateral)
	}
	if given("capacity") {
		offer.Capacity = chain.FormatSize(uint64(o.capacity))
	}
	if given("min-duration") {
		offer.MinDuration = o.minDuration
	}
	if given("max-duration") {
		offer.MaxDuration = o.maxDuration
	}
	if given("life") {
		offer.Life = o.life
	}
	if given("region") {
		offer.Region = o.region
	}
	if given("unseal-price") {
		offer.UnsealPrice = chain.Amount(o.unsealPrice)
	}
	running, err := daemon.ChangeAsk(cmd.Context(), g.Home, offer)
	if err != nil {
		return err
	}
	return answer(cmd, g, struct {
		daemon.AskConfig
		Running bool `json:"running"` // the miner runs and acts on it at once
	}{offer, running})
}
