package deals

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/miner"
)

// buy gets the piece of a repair from the miners that hold the bid's other
// copies. It may cost what the chain repays when the sector is active, and what
// the miner would lose without the piece, its no-show deposit: on a small piece
// the allowance may be less than the price of one chunk. What went to sellers of
// another piece counts.
func (d *Deals) buy(ctx context.Context, rec *miner.Deal, path string) (miner.Purchase, error) {
	peers, err := d.holders(ctx, &rec.Deal)
	if err != nil {
		return miner.Purchase{}, err
	}
	most, err := rec.Deal.Succeeds.Fetch.Add(rec.Deal.MinerDeposit)
	if err == nil {
		most, err = most.Sub(rec.Wasted.Min(most))
	}
	if err != nil {
		return miner.Purchase{}, err
	}
	got, err := d.cfg.Buyer.Buy(ctx, &rec.Deal, peers, most, path)
	if err == nil {
		d.cfg.Log.Info("piece of a repair bought", "deal", rec.ID, "piece", rec.Deal.PieceCID, "paid", got.Spent)
	}
	return got, err
}

// holders are where the miners are that said on chain that they hold a copy.
func (d *Deals) holders(ctx context.Context, on *chain.Deal) ([]chain.Peer, error) {
	var copies chain.Copies
	if _, err := d.chain.Record(ctx, chain.CopiesKey(on.Bid), &copies); err != nil {
		return nil, fmt.Errorf("read who holds copies of bid %d: %w", on.Bid, err)
	}
	var out []chain.Peer
	for _, h := range copies.Holders {
		if !h.Holds || h.Miner == d.cfg.Miner {
			continue
		}
		var m chain.Miner
		ok, err := d.chain.Record(ctx, chain.MinerKey(h.Miner), &m)
		if err != nil {
			return nil, fmt.Errorf("read miner %d: %w", h.Miner, err)
		}
		if ok && len(m.Peer.ID) > 0 {
			out = append(out, m.Peer)
		}
	}
	if len(out) == 0 {
		return nil, miner.ErrNoSeller
	}
	return out, nil
}

// wrongPurchase is what follows when what was bought is another piece: its
// sellers are blamed, what they got is gone, and others are asked soon.
func (d *Deals) wrongPurchase(rec *miner.Deal, got miner.Purchase, problem string) error {
	if got.Blame != nil {
		got.Blame()
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	kept, err := d.find(rec.ID)
	if err != nil {
		return err
	}
	if kept.Wasted, err = kept.Wasted.Add(got.Spent); err != nil {
		return err
	}
	kept.Problem, rec.Wasted = problem, kept.Wasted
	if err := d.records.PutDeal(kept); err != nil {
		return err
	}
	return fmt.Errorf("buy the piece of deal %d: %s", rec.ID, problem)
}
