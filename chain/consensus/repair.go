package consensus

import (
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// The loss waterfall. When a copy is lost, LossBurn percent of its collateral is
// burned; the rest and the unspent pay are an escrow out of which the chain
// itself bids for another copy, for what is left of the term, as long as a miner
// is there that holds one to buy from. The bid holds the whole escrow, then the
// deal that comes of it does; a deal that goes void gives it to the next bid.
// What the repair does not cost is the client's when the new copy is active, and
// all of it is when there is no copy to buy or none is made in time.

// loseDeal ends an active deal whose sector is lost, and has its copy repaired.
func (s *state) loseDeal(d *chain.Deal) error {
	if _, err := s.forfeitShare(d, s.params.LossBurn); err != nil {
		return err
	}
	escrow, err := d.Collateral.Add(d.Unspent)
	if err != nil {
		return err
	}
	d.Collateral, d.Unspent = chain.Amount{}, chain.Amount{}
	s.bar(d)
	next := &chain.Succession{Deal: d.ID, Bid: d.Bid, Term: d.End, Price: d.Price,
		By: s.global.Height + chain.Height(s.params.RepairBy)}
	return s.replace(d, chain.DealLost, "lost", next, escrow)
}

// repairAgain ends a deal of a repair or renewal that came to nothing, and looks
// for another miner, of another owner.
func (s *state) repairAgain(d *chain.Deal, reason string) error {
	s.bar(d)
	return s.voidRepair(d, reason)
}

// voidRepair ends a deal of a repair or renewal that came to nothing, and bids again.
func (s *state) voidRepair(d *chain.Deal, reason string) error {
	next := *d.Succeeds
	escrow, err := d.Unspent.Add(next.Reserve)
	if err != nil {
		return err
	}
	d.Unspent, d.Succeeds.Reserve, next.Reserve = chain.Amount{}, chain.Amount{}, chain.Amount{}
	return s.replace(d, chain.DealVoid, reason, &next, escrow)
}

// replace ends a deal whose money is in the escrow by now, and bids for another copy.
func (s *state) replace(d *chain.Deal, end chain.DealState, reason string, next *chain.Succession, escrow chain.Amount) error {
	if err := s.endWith(d, end, reason); err != nil {
		return err
	}
	o, why := s.ownBid(d, next, escrow)
	if o != nil && next.Renewal {
		paid, err := s.payRenewal(o, chain.Amount{})
		if err != nil {
			return err
		}
		if !paid {
			o, why = nil, notEnough
		}
	}
	if o == nil {
		s.emit(Event{Kind: endedKind(next), Deal: next.Deal, To: d.Client.Bytes(), Amount: escrow, Reason: why})
		return s.unlock(d.Client, escrow)
	}
	s.placeOwn(o)
	return nil
}

// placeOwn places a bid of the chain's own, whose money is locked.
func (s *state) placeOwn(o *chain.Order) {
	next := o.Succeeds
	id := s.placeOrder(o, o.Bid.Expiry)
	var c chain.Copies
	s.load(chain.CopiesKey(next.Bid), &c)
	c.Orders = append(c.Orders, id)
	s.store(chain.CopiesKey(next.Bid), &c)
	e := Event{Kind: EventRepairOrdered, Order: id, Deal: next.Deal, Index: next.Bid, From: o.Owner.Bytes(), Amount: o.Locked}
	if next.Renewal {
		e.Kind = EventRenewalOrdered
	}
	s.emit(e)
}

// endedKind is the kind of event that tells how a repair or a renewal ended.
func endedKind(next *chain.Succession) EventKind {
	if next.Renewal {
		return EventRenewalEnded
	}
	return EventRepairEnded
}

// Why a repair ends without a new copy.
const (
	repairVoid = "no other copy"    // to buy the data from
	repairLate = "no miner in time" // took it
	repairLast = "the term is nearly over"
	repairStop = "cancelled by the client"
)

// endRepairBid tells that a bid for a repair is over without a match.
func (s *state) endRepairBid(o *chain.Order, reason string) {
	var c chain.Copies
	why := repairStop
	switch {
	case reason == expired:
		why = repairLate
	case !s.load(chain.CopiesKey(o.Succeeds.Bid), &c) || !slices.ContainsFunc(c.Holders, holds):
		why = repairVoid
	}
	s.dropCopy(o.Succeeds.Bid, 0, o.ID)
	s.emit(Event{Kind: endedKind(o.Succeeds), Deal: o.Succeeds.Deal, To: o.Owner.Bytes(), Amount: o.Locked, Reason: why})
}

// ownBid is the chain's bid for another copy of a deal's piece, or the reason
// why there is none.
func (s *state) ownBid(d *chain.Deal, next *chain.Succession, escrow chain.Amount) (o *chain.Order, why string) {
	var c chain.Copies
	now, least := s.global.Height, s.global.Height+chain.Height(s.params.MatchDelay)
	switch {
	case !s.load(chain.CopiesKey(next.Bid), &c) || !slices.ContainsFunc(c.Holders, holds):
		return nil, repairVoid
	case next.By < least:
		return nil, repairLate
	case !next.Renewal && next.Term < now+chain.Height(s.params.MinDuration):
		return nil, repairLast
	}
	duration, percent := uint64(next.Term-min(next.Term, now)), s.params.RepairPrice
	if next.Renewal {
		duration, percent = d.Duration, 100
		if d.ID == next.Deal {
			duration = d.Renew.Duration
		}
	}
	next.Fetch = s.params.fetchAllowance(d, duration, next.Price, escrow)
	o = &chain.Order{Owner: d.Client, Locked: escrow, Copies: 1, Succeeds: next, Bid: &chain.BidTerms{
		PieceCID: d.PieceCID, PaddedSize: d.PaddedSize, PayloadRoot: d.PayloadRoot, Part: d.Part, Parts: d.Parts,
		Duration: duration, MaxPrice: ownPrice(d.PaddedSize, duration, percent, next.Price, escrow, next.Fetch), Renew: d.Renew,
		Copies: 1, MinCollateral: c.MinCollateral, Expiry: min(next.By, now+chain.Height(s.params.MaxOrderLife)),
		Allow: c.Allow, Deny: c.Deny, Regions: c.Regions, ClientPeer: d.ClientPeer, Public: d.Public}}
	for _, h := range c.Holders {
		if !next.Renewal || h.Deal != next.Deal { // the miner of the deal that ends may have the next
			o.Miners, o.Owners = append(o.Miners, h.Miner), append(o.Owners, h.Owner)
		}
	}
	o.Owners = append(o.Owners, c.Barred...)
	return o, ""
}

func holds(h chain.Holder) bool { return h.Holds }

// fetchAllowance is what a repair's miner is paid for having bought the data:
// RepairFetch, or what the escrow holds beyond the rest of the term at the old
// price if that is less.
func (p *Params) fetchAllowance(d *chain.Deal, duration uint64, price, escrow chain.Amount) chain.Amount {
	rest, err := chain.DealPrice(price, d.PaddedSize, duration)
	if err != nil {
		return chain.Amount{}
	}
	spare, err := escrow.Sub(rest)
	if err != nil {
		return chain.Amount{}
	}
	fetch, err := chain.PerGiB(p.RepairFetch, d.PaddedSize)
	if err != nil {
		return spare
	}
	return fetch.Min(spare)
}

// ownPrice is the highest price of a bid of the chain's own, per GiB and block:
// floor(percent of the given one), or what the escrow less the allowance pays
// for if that is less: floor((escrow - fetch) * 2^30 / (size * duration)).
func ownPrice(size, duration, percent uint64, price, escrow, fetch chain.Amount) chain.Amount {
	most, err := price.MulDiv(percent, 100)
	if err != nil {
		most = chain.MaxAmount()
	}
	left, err := escrow.Sub(fetch)
	if err != nil {
		return chain.Amount{}
	}
	paid, err := left.MulDiv(chain.GiB, size*duration) // a price for so long and so much was computed before
	if err != nil {
		return most
	}
	return most.Min(paid)
}

// endRepair settles a repair or renewal whose copy is active: the new miner gets
// its allowance, the client what is left. The caller stores the deal.
func (s *state) endRepair(d *chain.Deal) error {
	next := d.Succeeds
	if next == nil {
		return nil
	}
	addr, err := chain.MinerAddress(d.Miner)
	if err != nil {
		return err
	}
	fetch := next.Fetch.Min(next.Reserve)
	left, err := next.Reserve.Sub(fetch)
	if err != nil {
		return err
	}
	next.Reserve = chain.Amount{}
	if err := s.unlock(addr, fetch); err != nil {
		return err
	}
	if err := s.unlock(d.Client, left); err != nil {
		return err
	}
	if !fetch.IsZero() {
		s.emit(Event{Kind: EventFetchRepaid, Deal: d.ID, Miner: d.Miner, Amount: fetch})
	}
	e := Event{Kind: endedKind(next), Deal: next.Deal, Index: d.ID, Miner: d.Miner, To: d.Client.Bytes(), Amount: left, Reason: "repaired"}
	if next.Renewal {
		e.Reason = "renewed"
	}
	s.emit(e)
	return nil
}

// addHolder notes a new deal among the copies of its bid, and reports whether
// its miner or that one's owner has another copy: of two bids for copies of one
// piece, neither knew what the other would match.
func (s *state) addHolder(d *chain.Deal, t *orderbook.Trade) (twice bool) {
	bid, key := t.Bid, chain.CopiesKey(d.Bid)
	if b := bid.Bid; bid.Succeeds == nil && b.Copies < 2 && b.Renew == nil && takesAny(b) {
		return false
	}
	var c chain.Copies
	if !s.load(key, &c) {
		c.Allow, c.Deny, c.Regions, c.MinCollateral = bid.Bid.Allow, bid.Bid.Deny, bid.Bid.Regions, bid.Bid.MinCollateral
	}
	c.Orders = slices.DeleteFunc(c.Orders, func(id uint64) bool { return id == bid.ID })
	twice = slices.ContainsFunc(c.Holders, func(h chain.Holder) bool {
		return (h.Miner == d.Miner || h.Owner == t.Ask.Owner) && !(d.Succeeds != nil && d.Succeeds.Renewal && d.Succeeds.Deal == h.Deal)
	})
	c.Holders = append(c.Holders, chain.Holder{Deal: d.ID, Miner: d.Miner, Owner: t.Ask.Owner})
	s.store(key, &c)
	return twice
}

// takesAny reports whether a bid takes any miner: then there is nothing to
// remember of it, should its one copy ever be renewed.
func takesAny(b *chain.BidTerms) bool {
	return len(b.Allow)+len(b.Deny)+len(b.Regions) == 0 && b.MinCollateral.IsZero()
}

// undoMatch ends a deal whose miner has another copy, as soon as it is made and
// at nobody's cost.
func (s *state) undoMatch(d *chain.Deal) error {
	const reason = "void: the miner or its owner has another copy"
	if d.Succeeds != nil {
		return s.voidRepair(d, reason)
	}
	return s.endWith(d, chain.DealVoid, reason)
}

// noteHeld notes that a deal's miner has the piece.
func (s *state) noteHeld(d *chain.Deal) {
	var c chain.Copies
	if !s.load(chain.CopiesKey(d.Bid), &c) {
		return
	}
	for i := range c.Holders {
		if c.Holders[i].Deal == d.ID {
			c.Holders[i].Holds = true
		}
	}
	s.store(chain.CopiesKey(d.Bid), &c)
}

// mostBarred is how many owners a Copies record lists.
const mostBarred = 64

// bar keeps the owner of a deal's miner from other copies of the piece.
func (s *state) bar(d *chain.Deal) {
	var c chain.Copies
	if !s.load(chain.CopiesKey(d.Bid), &c) {
		return
	}
	for _, h := range c.Holders {
		if h.Deal == d.ID && !slices.Contains(c.Barred, h.Owner) {
			c.Barred = append(c.Barred, h.Owner)
		}
	}
	c.Barred = c.Barred[max(len(c.Barred), mostBarred)-mostBarred:]
	s.store(chain.CopiesKey(d.Bid), &c)
}

// dropCopy takes a deal, or an order of the chain's own, off the copies of a
// bid; the last one takes the record with it.
func (s *state) dropCopy(bid, deal, order uint64) {
	var c chain.Copies
	if !s.load(chain.CopiesKey(bid), &c) {
		return
	}
	c.Holders = slices.DeleteFunc(c.Holders, func(h chain.Holder) bool { return h.Deal == deal })
	c.Orders = slices.DeleteFunc(c.Orders, func(id uint64) bool { return id == order })
	if len(c.Holders)+len(c.Orders) == 0 {
		s.remove(chain.CopiesKey(bid))
		return
	}
	s.store(chain.CopiesKey(bid), &c)
}

// forsake ends the chain's bids for copies of a piece that nobody holds any
// more. While one stands somebody holds a copy, so that only the end of a deal
// for one brings this about.
func (s *state) forsake(bid uint64) error {
	var c chain.Copies
	if !s.load(chain.CopiesKey(bid), &c) || slices.ContainsFunc(c.Holders, holds) {
		return nil
	}
	for _, id := range c.Orders {
		o := new(chain.Order)
		if !s.load(chain.OrderKey(id), o) {
			continue
		}
		if err := s.endOrder(o, "cancelled"); err != nil {
			return err
		}
	}
	return nil
}
