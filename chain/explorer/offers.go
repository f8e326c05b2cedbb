package explorer

import (
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
	return q.offers(false, func(after chain.Place, most int) *orderbook.Found {
		return q.view.Book().Offers(w, after, most, maxLook)
	}, func(o *chain.Order) bool { return o.Ask != nil && w.Suits(o) })
}

// bids lists the bids that pay a price.
func (a *API) bids(q *query) (any, error) {
	price, err := q.amount("price")
	if err != nil {
		return nil, err
	}
	state, err := q.choice("state", "all", "new")
	if err != nil {
		return nil, err
	}
	return q.offers(true, func(after chain.Place, most int) *orderbook.Found {
		return q.view.Book().Wishes(price, state == 1, after, most)
	}, func(o *chain.Order) bool { return o.Bid != nil && !o.Bid.MaxPrice.Less(price) })
}

// wanted reads what an ask has to suit.
func (q *query) wanted() (*orderbook.Wanted, error) {
	w := new(orderbook.Wanted)
	for _, of := range []struct {
		name string
		into *uint64
	}{{"piece_size", &w.Size}, {"duration", &w.Duration}} {
		if !q.given(of.name) {
			continue
		}
		n, err := parseNumber(of.name, q.values.Get(of.name))
		if err != nil {
			return nil, err
		}
		*of.into = n
	}
	var err error
	if w.Collateral, err = q.amount("collateral"); err == nil {
		w.MaxPrice, err = q.amount("max_price")
	}
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

// amount reads a query parameter in attoPDR, zero if it is absent.
func (q *query) amount(name string) (chain.Amount, error) {
	if !q.given(name) {
		return chain.Amount{}, nil
	}
	n, err := chain.ParseAmount(q.values.Get(name))
	if err != nil {
		return n, badRequest("%s: %v", name, err)
	}
	return n, nil
}

// offers answers with a page of what the book has and of what waits to enter it.
func (q *query) offers(bids bool, find func(chain.Place, int) *orderbook.Found, suits func(*chain.Order) bool) (any, error) {
	if err := q.ready(); err != nil {
		return nil, err
	}
	p, err := q.page()
	if err != nil {
		return nil, err
	}
	var after chain.Place
	if p.After != nil && chain.Decode(p.After, &after) != nil {
		return nil, index.ErrPlace
	}
	found := find(after, p.Limit)
	orders := found.Orders
	waiting, err := q.waiting()
	if err != nil {
		return nil, err
	}
	for _, o := range waiting.orders {
		at := orderbook.PlaceOf(o)
		beyond := found.More && orderbook.ComparePlaces(bids, at, found.Last) > 0
		if suits(o) && !beyond && (after.ID == 0 || orderbook.ComparePlaces(bids, at, after) > 0) {
			orders = append(orders, o)
		}
	}
	slices.SortFunc(orders, func(a, b *chain.Order) int {
		return orderbook.ComparePlaces(bids, orderbook.PlaceOf(a), orderbook.PlaceOf(b))
	})
	if len(orders) > p.Limit {
		orders = orders[:p.Limit]
		found.More, found.Last = true, orderbook.PlaceOf(orders[p.Limit-1])
	}
	out := &Offers{Items: []*Order{}, Cut: !waiting.all || found.More && len(orders) < p.Limit, AsOf: q.present}
	for _, o := range orders {
		out.Items = append(out.Items, q.orderOf(o, new(index.Record)))
	}
	if found.More {
		last, err := chain.Encode(&found.Last)
		if err != nil {
			return nil, err
		}
		out.Next = q.cursor(last)
	}
	return out, nil
}
