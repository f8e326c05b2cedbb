package client

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client/deals"
)

// Standing is what the chain knows of a miner whose ask a quote takes.
type Standing struct {
	Miner   string       `json:"miner"`
	Price   chain.Amount `json:"price"`   // the lowest of its asks that are taken, attoPDR per GiB per block
	Sectors uint64       `json:"sectors"` // active or faulty
	Faulty  uint64       `json:"faulty"`  // of them
	NoShows uint64       `json:"noShows"` // recent deals that went void before they were active
	// Served is how many bytes the miner says that it served, by receipts of its buyers.
	// Nobody checked them, and a miner can be its own buyer.
	Served uint64 `json:"servedBytes"`
}

// standings looks up the miners that a quote takes, in the order of matching.
func (c *Client) standings(ctx context.Context, q *deals.Quote, n chain.Network) ([]Standing, error) {
	var out []Standing
	at := map[chain.MinerID]int{}
	for _, copy := range q.Copies {
		if i, known := at[copy.Miner]; known {
			out[i].Price = out[i].Price.Min(copy.Price)
			continue
		}
		var m chain.Miner
		var served chain.Served
		if _, err := c.cfg.Chain.Record(ctx, chain.MinerKey(copy.Miner), &m); err != nil {
			return nil, fmt.Errorf("look up miner %d: %w", copy.Miner, err)
		}
		if _, err := c.cfg.Chain.Record(ctx, chain.ServedKey(copy.Miner), &served); err != nil {
			return nil, fmt.Errorf("look up what miner %d served: %w", copy.Miner, err)
		}
		at[copy.Miner] = len(out)
		out = append(out, Standing{Miner: chain.FormatMiner(copy.Miner, n), Price: copy.Price, Sectors: m.Sectors, Faulty: m.Faulty,
			NoShows: m.NoShows, Served: served.Bytes})
	}
	return out, nil
}
