package index

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// Level is what a block did to one price of one side of the order book. Who
// has the book of a height and adds the levels of the blocks after it has the
// book of the last of them.
type Level struct {
	Bid           bool
	Price         chain.Amount // attoPDR per GiB per block
	Added         uint64       // padded bytes
	Removed       uint64       // padded bytes
	OrdersAdded   uint64
	OrdersRemoved uint64
}

// levelPrefix is of the levels that a block changed, by their place in it.
var levelPrefix = []byte{'L'}

// book writes what the block did to the order book, and what stands there at each
// price since. Of a scan nothing is history.
func (b *block) book(batch *pebble.Batch) error {
	moves := b.moves()
	if !b.scan {
		if err := b.levels(batch, moves); err != nil {
			return err
		}
	}
	return b.depth(batch, moves)
}

// levels writes what the block did to the book.
func (b *block) levels(batch *pebble.Batch, moves []*Level) error {
	for i, l := range moves {
		raw, err := chain.Encode(l)
		if err != nil {
			return fmt.Errorf("encode level: %w", err)
		}
		b.under(batch, levelPrefix, index32(uint64(i)), raw)
	}
	return nil
}

// moves are the changes of the book's levels: bids first, by ascending price.
func (b *block) moves() []*Level {
	type place struct {
		bid   bool
		price chain.Amount
	}
	at := map[place]*Level{}
	for i := range b.changes {
		c := &b.changes[i]
		was, is := formerly[chain.Order](c), now[chain.Order](c)
		o := is
		if o == nil {
			o = was
		}
		before, stood := standing(was)
		after, stands := standing(is)
		if o == nil || before == after && stood == stands {
			continue
		}
		of := place{o.Bid != nil, orderbook.PlaceOf(o).Price}
		l := at[of]
		if l == nil {
			l = &Level{Bid: of.bid, Price: of.price}
			at[of] = l
		}
		l.change(before, after)
		switch {
		case stands && !stood:
			l.OrdersAdded++
		case stood && !stands:
			l.OrdersRemoved++
		}
	}
	all := make([]*Level, 0, len(at))
	for _, l := range at {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *Level) int {
		if a.Bid != b.Bid {
			return cmp.Compare(side(a.Bid), side(b.Bid))
		}
		return a.Price.Cmp(b.Price)
	})
	return all
}

func side(bid bool) int {
	if bid {
		return 0
	}
	return 1
}

// standing is what an order adds to its level; nothing if it is not in the book.
func standing(o *chain.Order) (size uint64, in bool) {
	if o == nil || o.State == chain.OrderWaiting {
		return 0, false
	}
	if o.Bid != nil {
		return o.Bid.PaddedSize * o.Copies, true
	}
	return o.Free, true
}

func (l *Level) change(before, after uint64) {
	sum, by := &l.Added, after-before
	if after < before {
		sum, by = &l.Removed, before-after
	}
	if *sum += by; *sum < by {
		*sum = math.MaxUint64
	}
}

// Levels lists what a block did to the order book.
func (s *Snapshot) Levels(h chain.Height, p Page, each func(*Level) (bool, error)) (next []byte, err error) {
	return nouns(s, number(slices.Clone(levelPrefix), uint64(h)), 4, p, each)
}

// BlockTrades lists the matches of a block.
func (s *Snapshot) BlockTrades(h chain.Height, p Page, each func(*Trade) (bool, error)) (next []byte, err error) {
	return nounsIn(s, number([]byte{tradeTable}, uint64(h)), p, each)
}
