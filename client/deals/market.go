package deals

import (
	"iter"
	"slices"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/orderbook"
)

// Situation is what a quote depends on.
type Situation struct {
	Params  *consensus.Params
	Global  *chain.Global
	Account *chain.Account // of the client
	Owner   chain.Address  // the client
	// Asks are the best ones of the book that may take the pieces; More says that there
	// are others behind them, none cheaper, Proven that their records were proven.
	Asks         []*chain.Order
	More, Proven bool
	// Ahead are bids that look at the asks before a new one does, and those that will
	// when asks come that are not in the book yet.
	Ahead []*chain.Order
	// Delays are how many blocks recent deals took from the match to the proof.
	Delays []uint64
}

// match lets the order book trade: first what is ahead, then bids with these terms, with
// no bound on the work of a block. It returns the trades of the latter. limit is the
// highest price; zero: any.
//
// Bids ahead that would take asks which are not seen take those that are, so that what
// comes out is never too good.
func (s *Situation) match(terms []chain.BidTerms, limit chain.Amount) ([]orderbook.Trade, error) {
	if limit.IsZero() {
		for _, a := range s.Asks {
			if limit.Less(a.Ask.Price) {
				limit = a.Ask.Price
			}
		}
	}
	rules := *s.Params.Matching()
	rules.Visits, rules.Hops, rules.Searches, rules.Trades = 1<<32, 1<<32, 1<<32, 1<<32
	book, err := orderbook.Rebuild(s.before(&rules))
	if err != nil {
		return nil, err
	}
	if book, _, err = book.Match(s.Global.Height+1, &rules); err != nil {
		return nil, err
	}
	d := book.Draft()
	next := s.next()
	for i := range terms {
		t := terms[i]
		t.MaxPrice = limit
		o := &chain.Order{ID: next + uint64(i), Owner: s.Owner, Placed: s.Global.Height, State: chain.OrderSearching, NoShows: s.noShows(), Bid: &t, Copies: t.Copies}
		if err := fund(o, &rules); err != nil {
			return nil, err
		}
		if err := d.Set(o); err != nil {
			return nil, err
		}
	}
	_, out, err := d.Book().Match(s.Global.Height+1, &rules)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out.Trades, func(t orderbook.Trade) bool { return t.Bid.ID < next || t.Bid.ID >= next+uint64(len(terms)) }), nil
}

// next is an ID that no order has.
func (s *Situation) next() uint64 {
	next := s.Global.NextOrder
	for _, o := range slices.Concat(s.Asks, s.Ahead) { // which may have been read later
		next = max(next, o.ID+1)
	}
	return next
}

// before are the orders that are there before the client's own. What waits for its
// first block searches then.
func (s *Situation) before(rules *orderbook.Rules) iter.Seq2[*chain.Order, error] {
	return func(yield func(*chain.Order, error) bool) {
		for _, known := range slices.Concat(s.Asks, s.Ahead) {
			o := *known
			if o.State != chain.OrderResting {
				o.State = chain.OrderSearching
			}
			o.From = chain.Place{} // what was looked at and did not trade never will
			if o.Bid != nil && !ahead(&o, rules) {
				continue
			}
			if !yield(&o, nil) {
				return
			}
		}
	}
}

// ahead makes of another's bid one that any node lists, and that locks what it may take.
// It reports whether it can be one.
func ahead(o *chain.Order, rules *orderbook.Rules) bool {
	o.Succeeds = nil
	return o.Copies > 0 && fund(o, rules) == nil
}

// fund has a bid lock what it needs for the copies that it has not got.
func fund(o *chain.Order, rules *orderbook.Rules) error {
	price, deposit, err := rules.Share(o.Bid, o.NoShows)
	if err != nil {
		return err
	}
	share, err := price.Add(deposit)
	if err == nil {
		o.Locked, err = share.Mul(o.Copies)
	}
	return err
}

// PieceSize is the size of pieces to cut content into: of the sizes in which copies
// with so many different owners cost little more (Margin) than in the cheapest, the
// largest. Asks must be by price, the lowest first. If there are not so many owners
// it is the network's largest.
func (s *Situation) PieceSize(copies uint64) uint64 {
	type offer struct {
		size uint64
		cost chain.Amount
	}
	var offers []offer
	var least chain.Amount
	for size := uint64(minPiece); size <= s.Params.MaxPiece(); size *= 2 {
		cost, ok := s.cost(size, copies)
		if !ok {
			continue
		}
		if len(offers) == 0 || cost.Less(least) {
			least = cost
		}
		offers = append(offers, offer{size, cost})
	}
	most, err := least.MulDiv(100+Margin, 100)
	if err != nil {
		most = chain.MaxAmount()
	}
	for _, o := range slices.Backward(offers) {
		if !most.Less(o.cost) {
			return o.size
		}
	}
	return s.Params.MaxPiece()
}

// minPiece is the smallest piece.
const minPiece = 128

// cost is what copies of a piece cost in all, attoPDR per GiB per block, with as many
// owners, and whether there are so many.
func (s *Situation) cost(size, copies uint64) (sum chain.Amount, ok bool) {
	owners := map[chain.Address]bool{}
	for _, o := range s.Asks {
		if uint64(len(owners)) == copies {
			break
		}
		if a := o.Ask; owners[o.Owner] || size < a.MinPiece || size > min(a.MaxPiece, o.Free) {
			continue
		}
		owners[o.Owner] = true
		var err error
		if sum, err = sum.Add(o.Ask.Price); err != nil {
			return sum, false
		}
	}
	return sum, copies > 0 && uint64(len(owners)) == copies
}

// expected is how many blocks after its bid landed a copy is stored: the median of recent
// deals, and of how many; without any what the network's delays come to, and 0.
func (s *Situation) expected() (blocks uint64, of int) {
	p := s.Params
	if len(s.Delays) == 0 {
		return p.MatchDelay + p.SeedDelay, 0
	}
	sorted := slices.Sorted(slices.Values(s.Delays))
	return p.MatchDelay + sorted[len(sorted)/2], len(sorted)
}
