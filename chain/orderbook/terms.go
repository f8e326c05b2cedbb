package orderbook

import (
	"slices"

	"github.com/perdure/perdure/chain"
)

// span is a range of numbers, both ends included.
type span struct{ low, high uint64 }

// terms are what of an order never changes while it is in the book and says
// whom it may trade with. Of many orders they are a hull: what some of them
// might take.
type terms struct {
	miner    *party       // whose miner and owner all have; nil: several, or bids
	region   *party       // whose region all claim; nil: several, or bids
	size     span         // padded bytes: what an ask takes, what a bid is
	duration span         // blocks
	stake    chain.Amount // collateral per GiB: an ask's, and the most of many; the least that a bid wants, and the least of many
}

// party is who stands behind an ask.
type party struct {
	miner  chain.MinerID
	owner  chain.Address
	region string
}

// bounds are an order's terms without who stands behind it.
func bounds(o *chain.Order) terms {
	if b := o.Bid; b != nil {
		return terms{size: span{b.PaddedSize, b.PaddedSize}, duration: span{b.Duration, b.Duration}, stake: b.MinCollateral}
	}
	a := o.Ask
	return terms{size: span{a.MinPiece, min(a.MaxPiece, a.Capacity)}, duration: span{a.MinDuration, a.MaxDuration}, stake: a.Collateral}
}

// termsOf returns an order's terms. If like, which may be nil, stands behind it,
// that is shared: comparing it with itself is quick.
func termsOf(o *chain.Order, like *party) terms {
	t := bounds(o)
	if o.Ask == nil {
		return t
	}
	if p := (party{o.Ask.Miner, o.Owner, o.Ask.Region}); like == nil || *like != p {
		like = new(party)
		*like = p
	}
	t.miner, t.region = like, like
	return t
}

// widen makes the hull t cover u too.
func (t *terms) widen(u *terms, bids bool) {
	t.size.low, t.size.high = min(t.size.low, u.size.low), max(t.size.high, u.size.high)
	t.duration.low, t.duration.high = min(t.duration.low, u.duration.low), max(t.duration.high, u.duration.high)
	if u.stake.Less(t.stake) == bids {
		t.stake = u.stake
	}
	if !sameMiner(t.miner, u.miner) {
		t.miner = nil
	}
	if !sameRegion(t.region, u.region) {
		t.region = nil
	}
}

func sameMiner(a, b *party) bool {
	return a == b || a != nil && b != nil && a.miner == b.miner && a.owner == b.owner
}

func sameRegion(a, b *party) bool {
	return a == b || a != nil && b != nil && a.region == b.region
}

// condition is one of the things that must be so for two orders to trade, and
// that stay as they are while both are in the book.
type condition int

// The conditions, in the order in which a search passes over what fails them.
const (
	smallEnough condition = iota // the piece is not larger than the ask takes
	largeEnough                  // nor smaller
	shortEnough                  // the duration is not longer than the ask takes
	longEnough                   // nor shorter
	staked                       // the ask stakes enough
	byMiner                      // the bid takes the miner
	inRegion                     // and its region
	conditions
)

// below reports whether all of s is less than all of o.
func (s span) below(o span) bool { return s.high < o.low }

// searcher is an order that looks for others to trade with.
type searcher struct {
	terms *terms
	order *chain.Order // as it is now
	first *party       // of a run of asks that fail byMiner or inRegion
}

// sides returns the searcher's terms and those of what it looks at as those of a
// bid and of an ask.
func (x *searcher) sides(t *terms) (bid, ask *terms) {
	if x.order.Bid != nil {
		return x.terms, t
	}
	return t, x.terms
}

// misses reports whether all that the terms stand for fail a condition. Of an
// order that fails one of the last two, what is missed is the run of asks that
// have the same miner, or claim the same region, as the first of them.
func (x *searcher) misses(c condition, t *terms) bool {
	bid, ask := x.sides(t)
	switch c {
	case smallEnough:
		return ask.size.below(bid.size)
	case largeEnough:
		return bid.size.below(ask.size)
	case shortEnough:
		return ask.duration.below(bid.duration)
	case longEnough:
		return bid.duration.below(ask.duration)
	case staked:
		return ask.stake.Less(bid.stake)
	case byMiner:
		return t.miner != nil && sameMiner(t.miner, x.first)
	default:
		return t.region != nil && sameRegion(t.region, x.first)
	}
}

// fails reports whether an order fails a condition.
func (x *searcher) fails(c condition, e *entry) bool {
	b, a := x.order.Bid, e.terms.miner
	if b == nil {
		b, a = e.order.Bid, x.terms.miner
	}
	switch {
	case c < byMiner:
		return x.misses(c, &e.terms)
	case c == inRegion:
		return !chain.MeetsRegions(a.region, b.Regions)
	case b == x.order.Bid:
		return x.refuses(a)
	}
	return !allows(b, a.miner)
}

// clashes reports whether an order fails any condition.
func (x *searcher) clashes(e *entry) bool {
	return x.apart(&e.terms) || x.fails(byMiner, e) || x.fails(inRegion, e)
}

// apart reports whether all that the terms stand for fail one of the conditions
// on numbers.
func (x *searcher) apart(t *terms) bool {
	for c := range byMiner {
		if x.misses(c, t) {
			return true
		}
	}
	return false
}

// excludes reports whether all that a hull stands for fail one condition.
func (x *searcher) excludes(hull *terms) bool {
	if x.apart(hull) {
		return true
	}
	b := x.order.Bid
	return b != nil && (hull.miner != nil && x.refuses(hull.miner) || hull.region != nil && !chain.MeetsRegions(hull.region.region, b.Regions))
}

// refuses reports whether a bid does not take a miner, or has a copy with it or
// its owner.
func (x *searcher) refuses(p *party) bool {
	return !allows(x.order.Bid, p.miner) || slices.Contains(x.order.Miners, p.miner) || slices.Contains(x.order.Owners, p.owner)
}

// hop passes over orders that do not suit x: for each condition in turn, over
// the run of those that fail it. Bids have no miner and no region, so that an
// ask passes over one bid that refuses it at a time.
func (x *searcher) hop(over *cursor) {
	for c := range conditions {
		e := over.entry()
		switch {
		case e == nil:
			return
		case !x.fails(c, e):
		case c < byMiner:
			over.skip(x, c)
		case x.order.Ask != nil:
			over.next()
		default:
			x.first = e.terms.miner
			over.skip(x, c)
		}
	}
}
