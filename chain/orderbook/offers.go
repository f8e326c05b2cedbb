package orderbook

import (
	"math"

	"github.com/perdure/perdure/chain"
)

// Wanted says which asks somebody looks for. Zero fields ask for nothing.
type Wanted struct {
	Size       uint64       // padded bytes of a piece
	Duration   uint64       // blocks
	Collateral chain.Amount // per GiB, at least
	MaxPrice   chain.Amount // attoPDR per GiB per block, at most
	Regions    []string     // that a miner must claim to be in, one of them
}

// Suits reports whether an ask, as it is now, may take such a piece.
func (w *Wanted) Suits(ask *chain.Order) bool {
	as := w.searcher()
	return !as.clashes(&entry{terms: termsOf(ask, nil), order: ask}) && w.room(ask) && (w.MaxPrice.IsZero() || !w.MaxPrice.Less(ask.Ask.Price))
}

func (w *Wanted) room(ask *chain.Order) bool { return ask.Free >= max(w.Size, ask.Ask.MinPiece) }

// searcher is the search of a bid for this. What may be anything is a span that
// every ask meets.
func (w *Wanted) searcher() searcher {
	only := func(n uint64) span {
		if n == 0 {
			return span{0, math.MaxUint64}
		}
		return span{n, n}
	}
	bid := &chain.BidTerms{Regions: w.Regions}
	return searcher{terms: &terms{size: only(w.Size), duration: only(w.Duration), stake: w.Collateral}, order: &chain.Order{Bid: bid}}
}

// Found are orders of one side, the best first.
type Found struct {
	Orders []*chain.Order
	Looked int         // orders, and runs of orders that do not suit, that were looked at
	More   bool        // there may be more after Last
	Last   chain.Place // as far as was looked
}

// Offers returns the best asks after a place that suit, at most so many, and looks
// at so many orders and runs of misfits at most: its work does not grow with the book.
func (b *Book) Offers(w *Wanted, after chain.Place, most, look int) *Found {
	out, as, start := &Found{Last: after}, w.searcher(), askRank(&after)
	var p merge
	for p.begin(&b.asks, &start); ; out.Looked++ {
		e := p.entry()
		switch {
		case e == nil || !w.MaxPrice.IsZero() && w.MaxPrice.Less(e.order.Ask.Price):
			return out
		case len(out.Orders) == most || out.Looked == look:
			out.More, out.Last = true, b.asks.placeBefore(&e.rank, after)
			return out
		case as.clashes(e):
			p.hop(&as)
			continue
		case w.room(e.order):
			out.Orders = append(out.Orders, e.order)
		}
		p.next()
	}
}

// Wishes returns the best bids after a place that pay a price or more, at most so
// many; only those that search, if so wanted.
func (b *Book) Wishes(price chain.Amount, searching bool, after chain.Place, most int) *Found {
	out := &Found{Last: after}
	bids, start := b.bids, bidRank(&after)
	if searching {
		bids = side{seek: bids.seek}
	}
	var from merge
	from.begin(&bids, &start)
	for e := from.entry(); e != nil && !e.order.Bid.MaxPrice.Less(price); e = from.entry() {
		if len(out.Orders) == most {
			out.More = true
			break
		}
		out.Orders, out.Last = append(out.Orders, e.order), PlaceOf(e.order)
		out.Looked++
		from.next()
	}
	return out
}

// placeBefore is the place of the last order before r, or one that is known if there is
// none after it.
func (s *side) placeBefore(r *rank, known chain.Place) chain.Place {
	if last := s.before(r); last != nil {
		return PlaceOf(last.order)
	}
	return known
}

// ComparePlaces orders two places of one side, the better first.
func ComparePlaces(bids bool, a, b chain.Place) int {
	rank := askRank
	if bids {
		rank = bidRank
	}
	x, y := rank(&a), rank(&b)
	return x.compare(&y)
}
