package orderbook

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/perdure/perdure/chain"
)

// Book is the ordered set of the orders that may match. It never changes: a
// Draft makes the next one, which shares what did not change. The zero Book is
// empty. Orders in a book are shared: nobody changes them.
type Book struct {
	asks, bids side
	miners     radix // of each miner, its asks as they came in
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
	return rank{key: p.Price.Coarse(), price: p.Price, placed: p.Placed, tie: p.Tie, id: p.ID}
}

// bidRank returns a place among the bids as a rank.
func bidRank(p *chain.Place) rank {
	if p.ID == 0 {
		return rank{}
	}
	r := rank{key: ^p.Price.Coarse(), placed: p.Placed, tie: p.Tie, id: p.ID}
	r.price, _ = highest.Sub(p.Price) // no amount is higher
	return r
}

func rankOf(o *chain.Order) rank {
	p := PlaceOf(o)
	if o.Bid != nil {
		return bidRank(&p)
	}
	return askRank(&p)
}

// Draft is a book that is being changed. It is used by one goroutine.
type Draft struct {
	book Book
	by   *batch
}

// Draft begins to change the book, which stays as it is.
func (b *Book) Draft() *Draft {
	d := &Draft{book: *b, by: new(batch)}
	d.book.bids.seek.bids, d.book.bids.groups.bids = true, true // of the zero Book too
	return d
}

// Book returns the book with all changes so far. It never changes.
func (d *Draft) Book() *Book {
	d.book.asks.seal(d.by)
	d.book.bids.seal(d.by)
	d.book.miners.seal(d.by, func(uint64) {})
	d.by = new(batch)
	out := d.book
	return &out
}

func (d *Draft) side(o *chain.Order) *side {
	if o.Bid != nil {
		return &d.book.bids
	}
	return &d.book.asks
}

// Set puts an order in that is not in. One that waits is in no book.
func (d *Draft) Set(o *chain.Order) error {
	if (o.Bid == nil) == (o.Ask == nil) {
		return fmt.Errorf("order %d: %w", o.ID, ErrOrder)
	}
	if o.State != chain.OrderSearching && o.State != chain.OrderResting {
		return nil
	}
	if o.Bid != nil {
		d.book.bids.put(&entry{o, termsOf(o, nil), rankOf(o)}, d.by)
		return nil
	}
	others := d.book.miners.tree(o.Ask.Miner)
	var like *party
	if first := others.first(); first != nil {
		like = first.terms.miner
	}
	e := &entry{o, termsOf(o, like), rankOf(o)}
	d.book.asks.put(e, d.by)
	d.book.miners.put(o.Ask.Miner, others.set(e, d.by), d.by)
	return nil
}

// Remove takes an order out, given as it is in the book; if it is not in, it
// does nothing.
func (d *Draft) Remove(o *chain.Order) {
	r := rankOf(o)
	if d.side(o).drop(o, &r, d.by) && o.Ask != nil {
		d.book.miners.put(o.Ask.Miner, d.book.miners.tree(o.Ask.Miner).remove(&r, d.by), d.by)
	}
}

// change puts in what a block's matching made of an order.
func (d *Draft) change(w *working) {
	if w.filled {
		d.Remove(w.entry.order)
		return
	}
	s := d.side(w.order)
	if w.order.State != w.entry.order.State {
		s.drop(w.entry.order, &w.entry.rank, d.by)
	}
	s.put(&entry{w.order, w.entry.terms, w.entry.rank}, d.by)
}

// Rebuild makes the book of a state's order records, given in any order.
func Rebuild(orders iter.Seq2[*chain.Order, error]) (*Book, error) {
	d := new(Book).Draft()
	for o, err := range orders {
		if err == nil {
			err = d.Set(o)
		}
		if err != nil {
			return nil, fmt.Errorf("rebuild order book: %w", err)
		}
	}
	return d.Book(), nil
}

// Len returns how many orders are in the book.
func (b *Book) Len() int { return b.asks.size() + b.bids.size() }

// searching returns how many of the orders search.
func (b *Book) searching() int { return b.asks.seek.size + b.bids.seek.size }

// Asks goes through the asks, the lowest price first.
func (b *Book) Asks() iter.Seq[*chain.Order] { return orders(&b.asks) }

// Bids goes through the bids, the highest price first.
func (b *Book) Bids() iter.Seq[*chain.Order] { return orders(&b.bids) }

func orders(s *side) iter.Seq[*chain.Order] {
	return func(yield func(*chain.Order) bool) {
		for e := range s.all() {
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
	return depth(b.Asks(), n, func(o *chain.Order) (chain.Amount, uint64) { return o.Ask.Price, o.Free })
}

// BidLevels returns the best n price levels of the bids, the highest first.
func (b *Book) BidLevels(n int) []Level {
	return depth(b.Bids(), n, func(o *chain.Order) (chain.Amount, uint64) {
		return o.Bid.MaxPrice, o.Bid.PaddedSize * o.Copies
	})
}

func depth(orders iter.Seq[*chain.Order], n int, of func(*chain.Order) (chain.Amount, uint64)) []Level {
	var out []Level
	for o := range orders {
		price, size := of(o)
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
	return b.asks.equal(&o.asks) && b.bids.equal(&o.bids) && b.miners.equal(&o.miners, sameTerms)
}

func (s *side) equal(o *side) bool {
	same := func(p, q *entry) bool { return p.order == q.order || sameRecord(p.order, q.order) }
	return sameEntries(s.seek, o.seek, same) && s.groups.equal(&o.groups, same) && sameEntries(s.heads, o.heads, same)
}

// sameTerms leaves out what of an order changes: the asks of Book.miners are as
// they were when they came in.
func sameTerms(p, q *entry) bool {
	return p.terms.size == q.terms.size && p.terms.duration == q.terms.duration && p.terms.stake == q.terms.stake
}

func sameEntries(a, b tree, same func(p, q *entry) bool) bool {
	if a.size != b.size || a.root == b.root {
		return a.size == b.size
	}
	x, y := a.seek(&rank{}), b.seek(&rank{})
	for ; x.entry() != nil && y.entry() != nil; x.next() {
		p, q := x.entry(), y.entry()
		if p.rank != q.rank || !same(p, q) {
			return false
		}
		y.next()
	}
	return x.entry() == nil && y.entry() == nil
}

func sameRecord(a, b *chain.Order) bool {
	x, err := chain.Encode(a)
	if err != nil {
		return false
	}
	y, err := chain.Encode(b)
	return err == nil && bytes.Equal(x, y)
}
