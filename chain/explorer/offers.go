package explorer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/index"
	"github.com/perdure/perdure/chain/orderbook"
)

// Offers is a page of one side of the order book, the best first. Orders that wait for
// their first block stand where they will. The work for a page does not grow with the
// book.
type Offers struct {
	Items []*Order `json:"items"`
	Next  string   `json:"next,omitempty"` // cursor of the next page; absent at the end
	// Cut says that the page ended before it was full, since many orders that do not
	// suit were passed over; or that so many orders wait that not all were looked at.
	Cut bool `json:"cut"`
	AsOf
}

const (
	// maxLook bounds the asks, and the runs of asks that do not suit, that a page looks at.
	maxLook = 2000
	// maxWaiting bounds the orders of the last blocks that a page looks at.
	maxWaiting = 1000
)

// asks lists the asks that may take a piece.
func (a *API) asks(q *query) (any, error) {
	w, err := q.wanted()
	if err != nil {
		return nil, err
	}
	return q.offers(&bookSide{false, func(after chain.Place, most int) *orderbook.Found {
		return q.view.Book().Offers(w, after, most, maxLook)
	}, func(o *chain.Order) bool { return o.Ask != nil && w.Suits(o) }})
}

// bids lists the bids that pay a price.
func (a *API) bids(q *query) (any, error) {
	var price chain.Amount
	if err := optional(q, "price", &price, parseAmount); err != nil {
		return nil, err
	}
	state, err := q.choice("state", "all", "new")
	if err != nil {
		return nil, err
	}
	return q.offers(&bookSide{true, func(after chain.Place, most int) *orderbook.Found {
		return q.view.Book().Wishes(price, state == 1, after, most)
	}, func(o *chain.Order) bool { return o.Bid != nil && !o.Bid.MaxPrice.Less(price) }})
}

// wanted reads what an ask has to suit.
func (q *query) wanted() (*orderbook.Wanted, error) {
	w := new(orderbook.Wanted)
	err := cmp.Or(
		optional(q, "pieceSize", &w.Size, parseNumber),
		optional(q, "duration", &w.Duration, parseNumber),
		optional(q, "collateral", &w.Collateral, parseAmount),
		optional(q, "maxPrice", &w.MaxPrice, parseAmount))
	if err != nil || !q.given("region") {
		return w, err
	}
	w.Regions = strings.Split(q.values.Get("region"), ",")
	for _, tag := range w.Regions {
		if err := chain.CheckRegion(tag); err != nil {
			return nil, badRequest("region: %v", err)
		}
	}
	return w, nil
}

// parseAmount reads attoPDR.
func parseAmount(name, s string) (chain.Amount, error) {
	n, err := chain.ParseAmount(s)
	if err != nil {
		return n, badRequest("%s: %v", name, err)
	}
	return n, nil
}

// bookSide is a side of the book, as far as it is asked for.
type bookSide struct {
	bids  bool
	find  func(after chain.Place, most int) *orderbook.Found // in the book
	suits func(*chain.Order) bool                            // of those that wait
}

// offers answers with a page of what the book has and of what waits to enter it, or
// with all of both.
func (q *query) offers(of *bookSide) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	if form, err := q.bulk(); err != nil || form != nil {
		if err != nil {
			return nil, err
		}
		return q.allOffers(form, of)
	}
	p, err := q.page()
	if err != nil {
		return nil, err
	}
	waiting, err := q.waiting()
	if err != nil {
		return nil, err
	}
	orders, next, err := of.page(p, waiting.orders)
	if err != nil {
		return nil, err
	}
	out := &Offers{Items: []*Order{}, Next: q.cursor(next), Cut: !waiting.all || next != nil && len(orders) < p.Limit, AsOf: q.present}
	for _, o := range orders {
		out.Items = append(out.Items, q.orderOf(o, new(index.Record)))
	}
	return out, nil
}

// allOffers answers with a side as a whole. The book is that of the state, which does
// not change; what waits is of the last blocks and is held as it is now.
func (q *query) allOffers(f *form, of *bookSide) (any, error) {
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	var waiting []*chain.Order
	err = through(q.context(), index.Page{Limit: bulkPage}, func(p index.Page) ([]byte, error) {
		more, next, err := q.findWaiting(s, p)
		waiting = append(waiting, more...)
		return next, err
	})
	if err != nil {
		return nil, err
	}
	return whole(q, f, func(p index.Page, add func(*Order)) ([]byte, error) {
		orders, next, err := of.page(p, waiting)
		for _, o := range orders {
			add(q.orderOf(o, new(index.Record)))
		}
		return next, err
	})
}

// page is a page of the orders that suit, the best first, some that wait among them.
func (of *bookSide) page(p index.Page, waiting []*chain.Order) (orders []*chain.Order, next []byte, err error) {
	var after chain.Place
	if p.After != nil && chain.Decode(p.After, &after) != nil {
		return nil, nil, index.ErrPlace
	}
	found := of.find(after, p.Limit)
	orders = found.Orders
	for _, o := range waiting {
		at := orderbook.PlaceOf(o)
		beyond := found.More && orderbook.ComparePlaces(of.bids, at, found.Last) > 0
		if of.suits(o) && !beyond && (after.ID == 0 || orderbook.ComparePlaces(of.bids, at, after) > 0) {
			orders = append(orders, o)
		}
	}
	slices.SortFunc(orders, func(a, b *chain.Order) int {
		return orderbook.ComparePlaces(of.bids, orderbook.PlaceOf(a), orderbook.PlaceOf(b))
	})
	if len(orders) > p.Limit {
		orders = orders[:p.Limit]
		found.More, found.Last = true, orderbook.PlaceOf(orders[p.Limit-1])
	}
	if found.More {
		next, err = chain.Encode(&found.Last)
	}
	return orders, next, err
}
