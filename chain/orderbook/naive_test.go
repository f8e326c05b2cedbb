package orderbook

import (
	"bytes"
	"slices"
	"strings"

	"github.com/perdure/perdure/chain"
)

// naive is the slow, obvious market that Book must equal: slices that are
// sorted afresh and a walk over all pairs.
type naive struct{ orders map[uint64]*chain.Order }

// before is the order of one side, in words of the rule.
func before(a, b chain.Place, bids bool) bool {
	if b.ID == 0 {
		return false
	}
	if a.ID == 0 {
		return true
	}
	if a.Price != b.Price {
		return a.Price.Less(b.Price) != bids
	}
	if a.Placed != b.Placed {
		return a.Placed < b.Placed
	}
	if a.Tie != b.Tie {
		return bytes.Compare(a.Tie[:], b.Tie[:]) < 0
	}
	return a.ID < b.ID
}

func (n *naive) side(bids bool) []*chain.Order {
	var out []*chain.Order
	for _, o := range n.orders {
		if (o.Bid != nil) == bids && o.State != chain.OrderWaiting {
			c := *o
			c.Miners, c.Owners = slices.Clone(o.Miners), slices.Clone(o.Owners)
			out = append(out, &c)
		}
	}
	slices.SortFunc(out, func(a, b *chain.Order) int {
		if before(PlaceOf(a), PlaceOf(b), bids) {
			return -1
		}
		return 1
	})
	return out
}

// walk is one block of the naive market.
type walk struct {
	now     chain.Height
	rules   *Rules
	turn    map[uint64]bool // searches in this block
	visits  map[uint64]uint64
	stopped map[uint64]bool
	gone    map[uint64]bool
	passed  map[uint64]*chain.Order
	trades  []pair
	full    bool // a visit was due and the block could make no more trades
}

type pair struct {
	bid, ask uint64
	total    chain.Amount
}

func (n *naive) match(now chain.Height, rules *Rules) []pair {
	bids, asks := n.side(true), n.side(false)
	w := &walk{now: now, rules: rules, turn: map[uint64]bool{}, visits: map[uint64]uint64{}, stopped: map[uint64]bool{},
		gone: map[uint64]bool{}, passed: map[uint64]*chain.Order{}}
	for _, side := range [][]*chain.Order{bids, asks} {
		taken := uint64(0)
		for _, o := range side {
			if o.State == chain.OrderSearching && taken < rules.Searches {
				w.turn[o.ID] = true
				taken++
			}
		}
	}
	for _, b := range bids {
		if w.full {
			break
		}
		w.showTo(b, asks)
		if w.turn[b.ID] && !w.full {
			w.searchFor(b, asks)
		}
	}
	for _, a := range asks {
		if !w.turn[a.ID] {
			continue
		}
		if !w.full && !w.stopped[a.ID] {
			a.State, a.From = chain.OrderResting, chain.Place{}
		} else if p := w.passed[a.ID]; p != nil {
			a.From = PlaceOf(p)
		}
	}
	for _, o := range append(bids, asks...) {
		if w.gone[o.ID] {
			delete(n.orders, o.ID)
		} else {
			n.orders[o.ID] = o
		}
	}
	return w.trades
}

func (w *walk) showTo(b *chain.Order, asks []*chain.Order) {
	for _, a := range asks {
		from := a.From
		if p := w.passed[a.ID]; p != nil {
			from = PlaceOf(p)
		}
		switch {
		case b.Bid.MaxPrice.Less(a.Ask.Price):
			return
		case !w.turn[a.ID] || w.stopped[a.ID] || w.gone[a.ID] || !before(from, PlaceOf(b), true):
			continue
		}
		own := b.State == chain.OrderSearching && before(b.From, PlaceOf(a), false)
		if !w.gone[b.ID] && !(own && w.turn[b.ID]) {
			if w.visits[a.ID] == w.rules.Visits {
				w.stopped[a.ID] = true
				continue
			}
			if !own && uint64(len(w.trades)) == w.rules.Trades {
				w.full = true
				return
			}
			w.visits[a.ID]++
			if !own {
				w.visit(b, a)
			}
		}
		w.passed[a.ID] = b
	}
}

func (w *walk) searchFor(b *chain.Order, asks []*chain.Order) {
	start := b.From
	for _, a := range asks {
		if b.Bid.MaxPrice.Less(a.Ask.Price) {
			break
		}
		if w.gone[b.ID] {
			return
		}
		if w.gone[a.ID] || !before(start, PlaceOf(a), false) {
			continue
		}
		if w.visits[b.ID] == w.rules.Visits {
			return
		}
		if uint64(len(w.trades)) == w.rules.Trades {
			w.full = true
			return
		}
		w.visits[b.ID]++
		w.visit(b, a)
		b.From = PlaceOf(a)
	}
	b.State, b.From = chain.OrderResting, chain.Place{}
}

func (w *walk) visit(b, a *chain.Order) {
	if !mayTrade(b, a, w.now, w.rules) {
		return
	}
	total, _ := chain.DealPrice(a.Ask.Price, b.Bid.PaddedSize, b.Bid.Duration)
	if b.Succeeds != nil {
		b.Locked = chain.Amount{} // all goes into the deal
	} else {
		price, deposit, _ := w.rules.Share(b.Bid, b.NoShows)
		b.Locked = less(b.Locked, price, deposit)
	}
	collateral, stake, _ := w.rules.Stake(a.Ask, b.Bid.PaddedSize, a.NoShows)
	a.Locked = less(a.Locked, collateral, stake)
	b.Copies--
	a.Free -= b.Bid.PaddedSize
	b.Miners, b.Owners = append(b.Miners, a.Ask.Miner), append(b.Owners, a.Owner)
	w.gone[b.ID] = b.Copies == 0
	w.gone[a.ID] = !stands(a, w.rules)
	w.trades = append(w.trades, pair{b.ID, a.ID, total})
}

func less(a chain.Amount, by ...chain.Amount) chain.Amount {
	for _, x := range by {
		var err error
		if a, err = a.Sub(x); err != nil {
			panic(err)
		}
	}
	return a
}

// stands reports whether an ask can still sell its smallest piece.
func stands(a *chain.Order, r *Rules) bool {
	return a.Free >= a.Ask.MinPiece && escrowFor(a, a.Ask.MinPiece, r)
}

func escrowFor(a *chain.Order, size uint64, r *Rules) bool {
	collateral, deposit, _ := r.Stake(a.Ask, size, a.NoShows)
	sum, _ := collateral.Add(deposit)
	return sum.Cmp(a.Locked) <= 0
}

// mayTrade lists what both sides of a trade agreed to, one line each.
func mayTrade(b, a *chain.Order, now chain.Height, r *Rules) bool {
	wider, _, _ := strings.Cut(a.Ask.Region, "-")
	allowed := len(b.Bid.Allow) == 0 || slices.Contains(b.Bid.Allow, a.Ask.Miner)
	for _, ok := range []bool{
		b.Copies > 0,
		a.Ask.Price.Cmp(b.Bid.MaxPrice) <= 0,
		a.Free >= b.Bid.PaddedSize,
		a.Ask.MinPiece <= b.Bid.PaddedSize,
		b.Bid.PaddedSize <= a.Ask.MaxPiece,
		a.Ask.MinDuration <= b.Bid.Duration,
		b.Bid.Duration <= a.Ask.MaxDuration,
		a.Ask.Collateral.Cmp(b.Bid.MinCollateral) >= 0,
		now <= a.Ask.Expiry,
		now <= b.Bid.Expiry,
		allowed,
		len(b.Bid.Regions) == 0 || slices.Contains(b.Bid.Regions, a.Ask.Region) || slices.Contains(b.Bid.Regions, wider),
		!slices.Contains(b.Bid.Deny, a.Ask.Miner),
		!slices.Contains(b.Miners, a.Ask.Miner),
		!slices.Contains(b.Owners, a.Owner),
		escrowFor(a, b.Bid.PaddedSize, r),
	} {
		if !ok {
			return false
		}
	}
	return true
}
