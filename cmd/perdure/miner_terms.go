package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
)

// newMinerTerminate returns the command that ends sectors before their term.
func newMinerTerminate(g *globals) *cobra.Command {
	var miner string
	cmd := &cobra.Command{
		Use:   "terminate NUMBER...",
		Short: "End sectors before their term, at a price",
		Long: `End sectors before their term, with the worker's key (--from, in --home's keystore).
The network's share of their pledge (terminationBurn, in percent) is burned, which is less than
a sector costs that is lost. Their deals are lost all the same: a share of the
collateral (lossBurn) is burned, the rest and the unspent pay go into the repair of the
copies, or to the clients.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, numbers, err := namedSectors(g, miner, args)
			if err != nil {
				return err
			}
			return send(cmd, g, &chain.TerminateSectors{Miner: id, Sectors: numbers})
		},
	}
	cmd.Flags().StringVar(&miner, "miner", "", "the miner, like t01000 (default that of --home)")
	return cmd
}

// newMinerExtend returns the command that moves sectors' expirations.
func newMinerExtend(g *globals) *cobra.Command {
	var miner string
	var expiration uint64
	cmd := &cobra.Command{
		Use:   "extend NUMBER... --expiration HEIGHT",
		Short: "Let sectors live longer",
		Long: `Move the expiration of active sectors to a later height, with the worker's key (--from, in
--home's keystore). A sector may be extended again and again, each time to at most
maxSectorLife blocks from then.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, numbers, err := namedSectors(g, miner, args)
			if err != nil {
				return err
			}
			return send(cmd, g, &chain.ExtendSectors{Miner: id, Sectors: numbers, Expiration: chain.Height(expiration)})
		},
	}
	cmd.Flags().StringVar(&miner, "miner", "", "the miner, like t01000 (default that of --home)")
	cmd.Flags().Uint64Var(&expiration, "expiration", 0, "height up to which they live")
	require(cmd, "expiration")
	return cmd
}

// namedSectors reads the miner and the numbers of its sectors.
func namedSectors(g *globals, miner string, args []string) (chain.MinerID, []uint64, error) {
	var named []string
	if miner != "" {
		named = []string{miner}
	}
	id, err := chooseMiner(g, named)
	if err != nil {
		return 0, nil, err
	}
	numbers := make([]uint64, len(args))
	for i, a := range args {
		if numbers[i], err = strconv.ParseUint(a, 10, 32); err != nil {
			return 0, nil, usage(fmt.Errorf("sector %q: want a number below 2^32", a))
		}
	}
	return id, numbers, nil
}
