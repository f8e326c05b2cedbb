package main

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/rpc"
)

// minerRow is a miner as miner list shows it.
type minerRow struct {
	Miner      string        `json:"miner"`
	Price      *chain.Amount `json:"price"` // of its cheapest ask, attoPDR per GiB per block; null: it offers nothing
	Free       uint64        `json:"free"`  // padded bytes that all its asks offer
	Region     string        `json:"claimedRegion"`
	Retrieval  *chain.Amount `json:"retrievalPrice"` // attoPDR per GiB fetched, as that ask announces
	PowerBytes uint64        `json:"powerBytes"`
	Sectors    uint64        `json:"sectors"`
	Faulty     uint64        `json:"faulty"`
	NoShows    uint64        `json:"noShows"`
	Served     uint64        `json:"servedBytes"` // that it says it served
	Receipts   uint64        `json:"receipts"`    // of its buyers, by which it says so
}

// newMinerList returns the command that lists all miners.
func newMinerList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the miners with their prices, faults and what they say they served", Args: cobra.NoArgs,
		Long: `List the miners: the price of the cheapest ask of each and what its asks offer, its sectors and
those that are faulty, its recent no-shows, and the bytes that it says it served. What was served
is the miner's own word: it has receipts of its buyers, which perdure receipts verify reads and
checks, but a miner can be its own buyer.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMinerList(cmd, g) },
	}
}

func runMinerList(cmd *cobra.Command, g *globals) error {
	node, err := g.dial()
	if err != nil {
		return err
	}
	defer node.Close()
	rows, err := listMiners(cmd.Context(), node)
	if err != nil {
		return err
	}
	return answer(cmd, g, map[string]any{"items": rows})
}

// listMiners joins miners and asks.
func listMiners(ctx context.Context, node rpc.Explorer) ([]minerRow, error) {
	miners, err := rpc.List[struct {
		Miner      string `json:"miner"`
		PowerBytes uint64 `json:"powerBytes"`
		Sectors    uint64 `json:"sectors"`
		Faulty     uint64 `json:"faulty"`
		NoShows    uint64 `json:"noShows"`
		Served     struct {
			Bytes    uint64 `json:"bytes"`
			Receipts uint64 `json:"receipts"`
		} `json:"served"`
	}](ctx, node, "/v1/miners", nil)
	if err != nil {
		return nil, err
	}
	asks, err := rpc.List[struct {
		Ask *struct {
			Miner     string       `json:"miner"`
			Price     chain.Amount `json:"price"`
			Free      uint64       `json:"free"`
			Region    string       `json:"claimedRegion"`
			Retrieval chain.Amount `json:"retrievalPrice"`
		} `json:"ask"`
	}](ctx, node, "/v1/orders", url.Values{"side": {"ask"}})
	if err != nil {
		return nil, err
	}
	rows := make([]minerRow, len(miners))
	at := map[string]*minerRow{}
	for i, m := range miners {
		rows[i] = minerRow{Miner: m.Miner, PowerBytes: m.PowerBytes, Sectors: m.Sectors, Faulty: m.Faulty, NoShows: m.NoShows,
			Served: m.Served.Bytes, Receipts: m.Served.Receipts}
		at[m.Miner] = &rows[i]
	}
	for _, order := range asks {
		a := order.Ask
		if a == nil || at[a.Miner] == nil {
			continue
		}
		row := at[a.Miner]
		row.Free += a.Free
		if row.Price == nil || a.Price.Less(*row.Price) {
			row.Price, row.Region, row.Retrieval = &a.Price, a.Region, &a.Retrieval
		}
	}
	return rows, nil
}
