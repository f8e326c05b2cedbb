package consensus

import "github.com/perdure/perdure/chain"

// Replacing an order. An order that only wants or offers less keeps its place:
// nothing that stands behind it is worse off, and what it could not trade before
// it cannot trade now. Every other change would have others look at it anew, so
// it takes a new order.

func replaceOrderUnits(s *state, _ *chain.ReplaceOrder) uint64 { return 4 * s.params.UnitWrite }

// applyReplaceOrder reduces an order and repays what it needs no longer.
func applyReplaceOrder(s *state, m *chain.Message, b *chain.ReplaceOrder) (uint64, error) {
	o, err := s.ownOrder(m, b.Order)
	if err != nil {
		return 0, err
	}
	was, err := s.ownOrder(m, b.Order) // o changes
	if err != nil {
		return 0, err
	}
	if o.Succeeds != nil {
		return 0, refuse(CodeFailed, "order %d was placed by the chain: it can only be cancelled", o.ID)
	}
	freed, to, err := s.reduceSize(o, b)
	if err != nil {
		return 0, err
	}
	sooner, err := s.reduceLife(o, b.Expiry)
	if err != nil {
		return 0, err
	}
	if b.Copies == 0 && b.Capacity == 0 && !sooner {
		return 0, refuse(CodeFailed, "nothing of order %d is to be reduced", o.ID)
	}
	if o.Locked, err = o.Locked.Sub(freed); err != nil {
		return 0, err
	}
	if err := s.unlock(to, freed); err != nil {
		return 0, err
	}
	s.store(chain.OrderKey(o.ID), o)
	s.rebook(was, o)
	s.emit(Event{Kind: EventOrderReduced, Order: o.ID, Amount: freed})
	return 0, nil
}

// reduceSize sets what an order still wants or offers, and returns what of its
// lock that frees, and for whom.
func (s *state) reduceSize(o *chain.Order, b *chain.ReplaceOrder) (freed chain.Amount, to chain.Address, err error) {
	if o.Bid != nil {
		freed, err = s.reduceCopies(o, b)
		return freed, o.Owner, err
	}
	if to, err = chain.MinerAddress(o.Ask.Miner); err != nil {
		return freed, to, err
	}
	freed, err = s.reduceCapacity(o, b)
	return freed, to, err
}

// reduceCopies takes copies that have not matched off a bid.
func (s *state) reduceCopies(o *chain.Order, b *chain.ReplaceOrder) (freed chain.Amount, err error) {
	matched := o.Bid.Copies - o.Copies
	switch {
	case b.Capacity != 0:
		return freed, refuse(CodeFailed, "order %d is a bid: it has copies, no capacity", o.ID)
	case b.Copies == 0:
		return freed, nil
	case b.Copies >= o.Bid.Copies:
		return freed, refuse(CodeFailed, "%d copies, bid %d is for %d: it can only be reduced; to ask for more cancel it and place another",
			b.Copies, o.ID, o.Bid.Copies)
	case b.Copies <= matched:
		return freed, refuse(CodeFailed, "%d copies, bid %d has matched %d already: cancel what is left of it", b.Copies, o.ID, matched)
	}
	price, deposit, err := s.params.Matching().Share(o.Bid, o.NoShows)
	if err == nil {
		freed, err = price.Add(deposit)
	}
	if err == nil {
		freed, err = freed.Mul(o.Bid.Copies - b.Copies)
	}
	o.Copies -= o.Bid.Copies - b.Copies
	o.Bid.Copies = b.Copies
	return freed, err
}

// reduceCapacity takes capacity that is not sold off an ask, with the part of the
// escrow that an ask of the smaller capacity would not have put down.
func (s *state) reduceCapacity(o *chain.Order, b *chain.ReplaceOrder) (freed chain.Amount, err error) {
	t, sold := o.Ask, o.Ask.Capacity-o.Free
	switch {
	case b.Copies != 0:
		return freed, refuse(CodeFailed, "order %d is an ask: it has a capacity, no copies", o.ID)
	case b.Capacity == 0:
		return freed, nil
	case b.Capacity >= t.Capacity:
		return freed, refuse(CodeFailed, "capacity of %d bytes, ask %d has %d: it can only be reduced; to offer more cancel it and place another",
			b.Capacity, o.ID, t.Capacity)
	case b.Capacity < sold || b.Capacity-sold < t.MinPiece:
		return freed, refuse(CodeFailed, "capacity of %d bytes, ask %d has sold %d and takes no piece below %d: cancel what is left of it",
			b.Capacity, o.ID, sold, t.MinPiece)
	}
	before, err := s.params.askEscrow(t, o.NoShows)
	if err != nil {
		return freed, err
	}
	t.Capacity, o.Free = b.Capacity, b.Capacity-sold
	after, err := s.params.askEscrow(t, o.NoShows)
	if err != nil {
		return freed, err
	}
	if freed, err = before.Sub(after); err != nil {
		return freed, err
	}
	collateral, deposit, err := s.params.Matching().Stake(t, t.MinPiece, o.NoShows)
	if err != nil {
		return freed, err
	}
	if need, err := chain.Sum(freed, collateral, deposit); err != nil || o.Locked.Less(need) {
		return freed, refuse(CodeFailed, "ask %d would have too little escrow left for its least piece: cancel what is left of it", o.ID)
	}
	return freed, nil
}

// reduceLife lets an order end sooner, but not before it may match. It is over
// at the first of its ends that comes.
func (s *state) reduceLife(o *chain.Order, expiry chain.Height) (sooner bool, err error) {
	var was *chain.Height
	if o.Bid != nil {
		was = &o.Bid.Expiry
	} else {
		was = &o.Ask.Expiry
	}
	least := max(s.global.Height, o.Matchable)
	switch {
	case expiry == 0:
		return false, nil
	case expiry >= *was:
		return false, refuse(CodeFailed, "expiry %d, order %d expires at %d: it can only end sooner; to make it stay cancel it and place another",
			expiry, o.ID, *was)
	case expiry < least:
		return false, refuse(CodeFailed, "expiry %d of order %d, want %d or later: to end it at once cancel it", expiry, o.ID, least)
	}
	*was = expiry
	s.enqueue(chain.QueueOrderExpire, expiry+1, chain.QueueItem{ID: o.ID})
	return true, nil
}
