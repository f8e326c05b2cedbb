package consensus

import "github.com/perdure/perdure/chain"

// countMarket counts what orders, deals and channels hold, and holds orders and
// deals against what their records promise.
func (a *audit) countMarket() error {
	err := eachRecord(a, chain.TableOrder, func(_ string, o *chain.Order) error {
		if err := a.checkOrder(o); err != nil {
			return err
		}
		return addTo(&a.locked, o.Locked, o.Deposit)
	})
	if err != nil {
		return err
	}
	err = eachRecord(a, chain.TableDeal, func(_ string, d *chain.Deal) error {
		if err := a.checkDeal(d); err != nil {
			return err
		}
		if d.Succeeds != nil {
			if err := addTo(&a.locked, d.Succeeds.Reserve); err != nil {
				return err
			}
		}
		return addTo(&a.locked, d.Unspent, d.Collateral, d.ClientDeposit, d.MinerDeposit)
	})
	if err != nil {
		return err
	}
	return eachRecord(a, chain.TableChannel, func(_ string, c *chain.Channel) error { return addTo(&a.locked, c.Balance) })
}

// checkOrder checks that a bid holds the price and deposits of the copies that
// it still wants, and that an ask has room for a piece.
func (a *audit) checkOrder(o *chain.Order) error {
	if o.Bid == nil {
		if o.Free < o.Ask.MinPiece {
			a.wrong("ask %d stays with %d bytes, its least piece is %d", o.ID, o.Free, o.Ask.MinPiece)
		}
		return nil
	}
	if o.Succeeds != nil {
		return a.checkRepairBid(o)
	}
	price, deposit, err := a.params.Matching().Share(o.Bid, o.NoShows)
	if err != nil {
		return err
	}
	want, err := price.Add(deposit)
	if err == nil {
		want, err = want.Mul(o.Copies)
	}
	if err != nil {
		return err
	}
	if o.Locked != want || o.Copies+uint64(len(o.Miners)) != o.Bid.Copies || o.Copies == 0 {
		a.wrong("bid %d holds %s for %d of %d copies, want %s", o.ID, o.Locked, o.Copies, o.Bid.Copies, want)
	}
	return nil
}

// checkDeal checks that a deal's money follows from its state and heights.
func (a *audit) checkDeal(d *chain.Deal) error {
	left := d.Total
	switch d.State {
	case chain.DealActive:
		covered := uint64(d.PaidThrough-d.Activated) - d.FaultBlocks
		earned, err := d.Total.MulDiv(covered, d.Duration)
		if err != nil {
			return err
		}
		if left, err = d.Total.Sub(earned); err != nil {
			return err
		}
	case chain.DealCompleted, chain.DealVoid, chain.DealLost:
		left = chain.Amount{}
		if !d.Collateral.IsZero() {
			a.wrong("deal %d is over and holds collateral", d.ID)
		}
	}
	if d.Unspent != left {
		a.wrong("%s deal %d holds %s of its price, want %s", d.State, d.ID, d.Unspent, left)
	}
	if next := d.Succeeds; next != nil && (!next.Reserve.IsZero() && d.State > chain.DealAccepted || !next.Renewal && !d.ClientDeposit.IsZero()) {
		a.wrong("%s deal %d of a repair holds %s in reserve and a client's deposit of %s", d.State, d.ID, next.Reserve, d.ClientDeposit)
	}
	if !d.ClientDeposit.IsZero() && d.State != chain.DealMatched || !d.MinerDeposit.IsZero() && d.State > chain.DealAccepted {
		a.wrong("%s deal %d holds deposits of %s and %s", d.State, d.ID, d.ClientDeposit, d.MinerDeposit)
	}
	return nil
}
