package orderbook

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/perdure/perdure/chain"
)

// Book is the ordered set of the orders that may match. It never changes; its
// methods return new books that share what did not change. The zero Book is
// empty. Orders in a book are shared: nobody changes them.
type Book struct {
	ids              tree // by ID
	asks, bids       tree
	seekAsk, seekBid tree // of them, those that search
}

// ErrOrder is returned for a record that is neither a bid nor an ask.
var ErrOrder = errors.New("order is not exactly one of bid and ask")

// highest is the highest amount: bids rank by how far their price is below it.
var highest = chain.MaxAmount()

// PlaceOf returns where an order stands on its side.
func PlaceOf(o *chain.Order) chain.Place {
	p := chain.Place{Placed: o.Placed, Tie: o.Tie, ID: o.ID}
	if o.Bid != nil {
		p.Price = o.Bid.MaxPrice
	} else {
		p.Price = o.Ask.Price
	}
	return p
}

// askRank returns a place among the asks as a rank; the zero Place is the zero rank.
func askRank(p *chain.Place) rank {
	return rank{price: p.Price, placed: p.Placed, tie: p.Tie, id: p.ID}
}

// bidRank returns a place among the bids as a rank.
func bidRank(p *chain.Place) rank {
	if p.ID == 0 {
		return rank{}
	}
	r := askRank(p)
	r.price, _ = highest.Sub(p.Price) // no amount is higher
	return r
}

func newEntry(o *chain.Order) *entry {
	p := PlaceOf(o)
	if o.Bid != nil {
		return &entry{bidRank(&p), o}
	}
	return &entry{askRank(&p), o}
}

// Set returns the book with the order in it, in the place of its older form if
// there is one. An order that waits is in no book.
func (b *Book) Set(o *chain.Order) (*Book, error) {
	out := *b
	if err := out.put(o, new(batch)); err != nil {
		return nil, err
	}
	return &out, nil
}

// put is Set on a book that nobody else has.
func (b *Book) put(o *chain.Order, by *batch) error {
	if (o.Bid == nil) == (o.Ask == nil) {
		return fmt.Errorf("order %d: %w", o.ID, ErrOrder)
	}
	e := newEntry(o)
	in := o.State == chain.OrderSearching || o.State == chain.OrderResting
	if old := b.Order(o.ID); old != nil && (!in || newEntry(old).rank != e.rank) {
		b.drop(old, by)
	}
	if !in {
		return nil
	}
	side, search := b.sides(o)
	*side = side.set(e, by)
	if o.State == chain.OrderSearching {
		*search = search.set(e, by)
	} else {
		*search = search.remove(&e.rank, by)
	}
	b.ids = b.ids.set(&entry{rank{id: o.ID}, o}, by)
	return nil
}

// drop takes out an order of the book.
func (b *Book) drop(o *chain.Order, by *batch) {
	r := newEntry(o).rank
	side, search := b.sides(o)
	*side, *search = side.remove(&r, by), search.remove(&r, by)
	b.ids = b.ids.remove(&rank{id: o.ID}, by)
}

// sides returns the trees of an order's side: all orders, and those that search.
func (b *Book) sides(o *chain.Order) (side, search *tree) {
	if o.Bid != nil {
		return &b.bids, &b.seekBid
	}
	return &b.asks, &b.seekAsk
}

// Remove returns the book without an order.
func (b *Book) Remove(id uint64) *Book {
	o := b.Order(id)
	if o == nil {
		return b
	}
	out := *b
	out.drop(o, new(batch))
	return &out
}

// Rebuild makes the book of a state's order records, given in any order.
func Rebuild(orders iter.Seq2[*chain.Order, error]) (*Book, error) {
	b, by := new(Book), new(batch)
	for o, err := range orders {
		if err == nil {
			err = b.put(o, by)
		}
		if err != nil {
			return nil, fmt.Errorf("rebuild order book: %w", err)
		}
	}
	return b, nil
}

// Order returns the order of an ID, or nil if it is not in the book.
func (b *Book) Order(id uint64) *chain.Order {
	if e := b.ids.get(&rank{id: id}); e != nil {
		return e.order
	}
	return nil
}

// Len returns how many orders are in the book.
func (b *Book) Len() int { return b.ids.size }

// Orders goes through all orders by ID.
func (b *Book) Orders() iter.Seq[*chain.Order] { return orders(b.ids) }

// Asks goes through the asks, the lowest price first.
func (b *Book) Asks() iter.Seq[*chain.Order] { return orders(b.asks) }

// Bids goes through the bids, the highest price first.
func (b *Book) Bids() iter.Seq[*chain.Order] { return orders(b.bids) }

func orders(t tree) iter.Seq[*chain.Order] {
	return func(yield func(*chain.Order) bool) {
		for e := range t.all() {
			if !yield(e.order) {
				return
			}
		}
	}
}

// Level is all that stands at one price of one side.
type Level struct {
	Price  chain.Amount // attoPDR per GiB per block
	Size   uint64       // padded bytes: an ask's free capacity, a bid's piece times its copies left
	Orders uint64
}

// AskLevels returns the best n price levels of the asks, the lowest first.
func (b *Book) AskLevels(n int) []Level {
	return depth(b.asks, n, func(o *chain.Order) (chain.Amount, uint64) { return o.Ask.Price, o.Free })
}

// BidLevels returns the best n price levels of the bids, the highest first.
func (b *Book) BidLevels(n int) []Level {
	return depth(b.bids, n, func(o *chain.Order) (chain.Amount, uint64) {
		return o.Bid.MaxPrice, o.Bid.PaddedSize * o.Copies
	})
}

func depth(t tree, n int, of func(*chain.Order) (chain.Amount, uint64)) []Level {
	var out []Level
	for e := range t.all() {
		price, size := of(e.order)
		if len(out) == 0 || out[len(out)-1].Price != price {
			if len(out) == n {
				break
			}
			out = append(out, Level{Price: price})
		}
		l := &out[len(out)-1]
		l.Orders++
		if l.Size += size; l.Size < size {
			l.Size = math.MaxUint64
		}
	}
	return out
}

// Equal reports whether two books hold the same orders in the same order.
func (b *Book) Equal(o *Book) bool {
	for _, t := range [][2]tree{{b.ids, o.ids}, {b.asks, o.asks}, {b.bids, o.bids}, {b.seekAsk, o.seekAsk}, {b.seekBid, o.seekBid}} {
		if !equal(t[0], t[1]) {
			return false
		}
	}
	return true
}

func equal(a, b tree) bool {
	x, y := a.seek(&rank{}), b.seek(&rank{})
	for ; x.entry() != nil && y.entry() != nil; x.next() {
		p, q := x.entry(), y.entry()
		if p.rank != q.rank || p.order != q.order && !sameRecord(p.order, q.order) {
			return false
		}
		y.next()
	}
	return x.entry() == nil && y.entry() == nil && a.size == b.size
}

func sameRecord(a, b *chain.Order) bool {
	x, err := chain.Encode(a)
	if err != nil {
		return false
	}
	y, err := chain.Encode(b)
	return err == nil && bytes.Equal(x, y)
}
