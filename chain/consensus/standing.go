package consensus

import "github.com/perdure/perdure/chain"

// Standing orders. A bid may renew itself: some time before the deal of a copy
// ends the chain bids for its next term, with money that the client has free by
// then, and with the same rules as for a repair: the new miner may be the old
// one, or another that buys the data from those that have it. Unlike in a repair
// the client stakes a no-show deposit, as in any bid: it may be in league with
// those that hold the data, and nobody can tell why a miner did not get it. An
// ask may refresh itself when it expires or is sold out. Both pay for the message
// that they save and put down the order deposit; if the money is not there they
// are skipped, and an event says so.

// maxStanding bounds how often an order renews or refreshes itself.
const maxStanding = 10_000

// checkRenewal refuses renewals of a piece that could never be.
func (p *Params) checkRenewal(size uint64, r *chain.Renewal) error {
	switch {
	case r == nil:
		return nil
	case r.Count == 0 || r.Count > maxStanding:
		return refuse(CodeFailed, "%d renewals, want 1 to %d", r.Count, maxStanding)
	case r.Duration < p.MinDuration || r.Duration > p.MaxDuration():
		return refuse(CodeFailed, "renewals of %d blocks, want %d to %d", r.Duration, p.MinDuration, p.MaxDuration())
	}
	if _, err := p.renewalEscrow(size, r); err != nil {
		return refuse(CodeFailed, "price of the renewals: %v", err)
	}
	return nil
}

// fetchMost is RepairFetch for a piece.
func (p *Params) fetchMost(size uint64) (chain.Amount, error) {
	return chain.PerGiB(p.RepairFetch, size)
}

// renewalEscrow is what the bid of a renewal locks beside its deposits: the price
// of the term at the highest price, and the allowance for buying the data.
func (p *Params) renewalEscrow(size uint64, r *chain.Renewal) (chain.Amount, error) {
	price, err := chain.DealPrice(r.MaxPrice, size, r.Duration)
	if err != nil {
		return price, err
	}
	fetch, err := p.fetchMost(size)
	if err != nil {
		return fetch, err
	}
	return price.Add(fetch)
}

// notEnough is why a standing order is skipped for which too little is free.
const notEnough = "not enough money"

// payRenewal takes from the client what the chain's bid for a renewal costs beside
// an escrow that is locked already: the fee, what the escrow lacks, and both
// deposits. Where that is not free it takes nothing and says no.
func (s *state) payRenewal(o *chain.Order, lacks chain.Amount) (bool, error) {
	deposit, err := s.params.Matching().Deposit(o.Bid.PaddedSize, o.NoShows)
	if err != nil {
		return false, nil
	}
	lock, err := chain.Sum(lacks, deposit, s.params.OrderDeposit)
	if err != nil {
		return false, nil
	}
	paid, err := s.payStanding(o.Owner, s.params.bidUnits(1), lock)
	if err != nil || !paid {
		return false, err
	}
	o.Deposit = s.params.OrderDeposit
	o.Locked, err = o.Locked.Add(deposit)
	return true, err
}

// renewAt is when the renewal of an active deal is ordered: ActivateBy blocks
// before it ends, the time that a new copy may take, but not in its first half.
func (p *Params) renewAt(d *chain.Deal) chain.Height {
	return d.End - chain.Height(min(p.ActivateBy, d.Duration/2))
}

// renewDeal orders the renewal of a deal that is about to end.
func (s *state) renewDeal(item *chain.QueueItem) error {
	d := new(chain.Deal)
	if !s.load(chain.DealKey(item.ID), d) || d.State != chain.DealActive || d.Renew == nil {
		return nil
	}
	skip := func(why string) error {
		s.emit(Event{Kind: EventRenewalEnded, Deal: d.ID, To: d.Client.Bytes(), Reason: why})
		return nil
	}
	escrow, err := s.params.renewalEscrow(d.PaddedSize, d.Renew)
	if err != nil {
		return skip("its price is beyond reckoning")
	}
	next := &chain.Succession{Deal: d.ID, Bid: d.Bid, Renewal: true, By: d.End, Price: d.Renew.MaxPrice}
	o, why := s.ownBid(d, next, escrow)
	if o == nil {
		return skip(why)
	}
	if o.Bid.Renew = nil; d.Renew.Count > 1 {
		left := *d.Renew
		left.Count--
		o.Bid.Renew = &left
	}
	paid, err := s.payRenewal(o, escrow)
	if err != nil {
		return err
	}
	if !paid {
		return skip(notEnough)
	}
	s.placeOwn(o)
	return nil
}

// payStanding takes the fee of an order that nobody sent a message for, at the
// block's base fee and as burned as any, and locks its money; neither if there is
// too little free.
func (s *state) payStanding(from chain.Address, units uint64, lock chain.Amount) (bool, error) {
	fee, err := s.global.BaseFee.Mul(units)
	if err != nil {
		return false, nil
	}
	need, err := fee.Add(lock)
	if err != nil {
		return false, nil
	}
	free, err := s.balance(from)
	if err != nil || free.Less(need) {
		return false, err
	}
	if err := s.burn(from, fee); err != nil {
		return false, err
	}
	return true, s.lock(from, lock)
}

// keepFetch takes the allowance off a renewal by the miner that has the data:
// what it does not need to buy is the client's.
func (s *state) keepFetch(d *chain.Deal) {
	var before chain.Deal
	if d.Succeeds.Renewal && s.load(chain.DealKey(d.Succeeds.Deal), &before) && before.Miner == d.Miner {
		d.Succeeds.Fetch = chain.Amount{}
	}
}

// refreshAsk places an ask again that expired or is sold out, for as long as
// before and with all of its capacity.
func (s *state) refreshAsk(o *chain.Order) error {
	if o.Ask == nil || o.Ask.Refresh == 0 {
		return nil
	}
	skip := func(why string) error {
		s.emit(Event{Kind: EventRefreshSkipped, Order: o.ID, Miner: o.Ask.Miner, Reason: why})
		return nil
	}
	miner, err := s.miner(o.Ask.Miner)
	if err != nil {
		return err
	}
	addr, err := chain.MinerAddress(miner.ID)
	if err != nil {
		return err
	}
	t := *o.Ask
	t.Refresh--
	t.Expiry = s.global.Height + (o.Ask.Expiry - o.Placed)
	if err := s.checkAsk(miner, &t); err != nil {
		return skip(err.Error())
	}
	ask, err := s.newAsk(miner, &t)
	if err != nil {
		return skip(err.Error())
	}
	held, err := ask.Locked.Add(s.params.OrderDeposit)
	if err != nil {
		return skip(err.Error())
	}
	ask.Deposit = s.params.OrderDeposit
	paid, err := s.payStanding(addr, placeAskUnits(s, nil), held)
	if err != nil {
		return err
	}
	if !paid {
		return skip(notEnough)
	}
	s.placeOrder(ask, t.Expiry)
	return nil
}
