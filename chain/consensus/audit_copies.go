package consensus

import (
	"encoding/binary"
	"slices"

	"github.com/perdure/perdure/chain"
)

// checkRepairBid checks that a bid of the chain's own can pay for what it promises.
func (a *audit) checkRepairBid(o *chain.Order) error {
	need, err := chain.DealPrice(o.Bid.MaxPrice, o.Bid.PaddedSize, o.Bid.Duration)
	if err == nil {
		need, err = need.Add(o.Succeeds.Fetch)
	}
	if err == nil && o.Succeeds.Renewal {
		var deposit chain.Amount
		if deposit, err = a.params.Matching().Deposit(o.Bid.PaddedSize, o.NoShows); err == nil {
			need, err = need.Add(deposit)
		}
	}
	if err != nil {
		return err
	}
	if o.Locked.Less(need) || o.Copies != 1 || !o.Succeeds.Reserve.IsZero() || o.Bid.Expiry > o.Succeeds.By {
		a.wrong("bid %d of the chain's own holds %s for %d copies, what it promises by %d needs %s", o.ID, o.Locked, o.Copies,
			o.Succeeds.By, need)
	}
	return nil
}

// checkCopies compares who is said to hold the copies of a bid with the deals
// and orders themselves: nobody is left out, no miner is there twice.
func (a *audit) checkCopies() error {
	live, bids := map[uint64][]*chain.Deal{}, map[uint64][]uint64{} // by the client's bid
	err := eachRecord(a, chain.TableDeal, func(_ string, d *chain.Deal) error {
		if d.State < chain.DealCompleted {
			live[d.Bid] = append(live[d.Bid], d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = eachRecord(a, chain.TableOrder, func(_ string, o *chain.Order) error {
		if o.Succeeds != nil {
			bids[o.Succeeds.Bid] = append(bids[o.Succeeds.Bid], o.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = eachRecord(a, chain.TableCopies, func(id string, c *chain.Copies) error {
		bid := binary.BigEndian.Uint64([]byte(id))
		a.checkHolders(bid, c, live[bid])
		slices.Sort(c.Orders)
		if !slices.Equal(c.Orders, bids[bid]) || len(c.Holders)+len(c.Orders) == 0 {
			a.wrong("the copies of bid %d name orders %v, those that stand are %v", bid, c.Orders, bids[bid])
		}
		delete(bids, bid)
		return nil
	})
	if len(bids) > 0 {
		a.wrong("orders of the chain's own for copies of %d bids are among no copies", len(bids))
	}
	return err
}

func (a *audit) checkHolders(bid uint64, c *chain.Copies, live []*chain.Deal) {
	seen := map[chain.MinerID]bool{}
	for _, h := range c.Holders {
		if !slices.ContainsFunc(live, func(d *chain.Deal) bool { // a miner may renew its own copy
			return d.ID == h.Deal && d.Succeeds != nil && d.Succeeds.Renewal
		}) {
			if seen[h.Miner] {
				a.wrong("miner %d has two copies of bid %d", h.Miner, bid)
			}
			seen[h.Miner] = true
		}
		is := func(d *chain.Deal) bool {
			return d.ID == h.Deal && d.Miner == h.Miner && h.Holds == (d.State != chain.DealMatched)
		}
		if !slices.ContainsFunc(live, is) {
			a.wrong("the copies of bid %d name deal %d of miner %d, holding %v: it is not so", bid, h.Deal, h.Miner, h.Holds)
		}
	}
	if len(c.Holders) != len(live) {
		a.wrong("the copies of bid %d are %d, live deals of it %d", bid, len(c.Holders), len(live))
	}
}
