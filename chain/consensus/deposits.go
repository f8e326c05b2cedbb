package consensus

import "github.com/perdure/perdure/chain"

// lockOrder locks what an order pays with and its deposit.
func (s *state) lockOrder(from chain.Address, o *chain.Order) error {
	o.Deposit = s.params.OrderDeposit
	held, err := o.Locked.Add(o.Deposit)
	if err != nil {
		return refuse(CodeFailed, "deposit of the order: %v", err)
	}
	return s.lock(from, held)
}

// spoilOrder burns the deposit of an order that is cancelled before it rests: it
// has made others look and bound its owner to nothing.
func (s *state) spoilOrder(o *chain.Order) error {
	if o.State == chain.OrderResting {
		return nil
	}
	burned := o.Deposit
	o.Deposit = chain.Amount{}
	return s.burnLocked(burned)
}

// LeastCollateral is what an ask at a price per GiB and block must stake per
// GiB: CollateralSpan blocks of it.
func (p *Params) LeastCollateral(price chain.Amount) (chain.Amount, error) {
	return price.Mul(p.CollateralSpan)
}

// checkStake refuses an ask whose collateral is worth less than CollateralSpan
// blocks of its price.
func (p *Params) checkStake(t *chain.AskTerms) error {
	least, err := p.LeastCollateral(t.Price)
	if err != nil || t.Collateral.Less(least) {
		return refuse(CodeFailed, "collateral of %s attoPDR per GiB, want at least %d blocks of the price of %s",
			t.Collateral, p.CollateralSpan, t.Price)
	}
	return nil
}
