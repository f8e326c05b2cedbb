package index

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
)

// priceSize is the length of a price in keys.
const priceSize = 16

// depthKey is of what stands at a price, the best price first: of bids the
// highest, so their prices are inverted.
func depthKey(bid bool, price chain.Amount) []byte {
	b := make([]byte, 2+priceSize)
	b[0], b[1] = 'l', byte(side(bid))
	price.Big().FillBytes(b[2:])
	if bid {
		invert(b[2:])
	}
	return b
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

const depthSize = 8 + 8 // of a row: padded bytes, orders

// depth follows what stands at each price of the book.
func (b *block) depth(batch *pebble.Batch, moves []*Level) error {
	for _, l := range moves {
		key := depthKey(l.Bid, l.Price)
		row, err := b.g.get(key)
		if err != nil {
			return err
		}
		size, orders := parseDepth(row)
		size, orders = size+l.Added-l.Removed, orders+l.OrdersAdded-l.OrdersRemoved
		if orders == 0 {
			remove(batch, key)
			continue
		}
		set(batch, key, number(number(nil, size), orders))
	}
	return nil
}

func parseDepth(row []byte) (size, orders uint64) {
	if len(row) != depthSize {
		return 0, 0
	}
	return binary.BigEndian.Uint64(row), binary.BigEndian.Uint64(row[8:])
}

// Depth returns the best n price levels of a side of the order book, the best
// first. The work does not grow with the orders.
func (s *Snapshot) Depth(bids bool, n int) (out []orderbook.Level, err error) {
	_, err = s.list([]byte{'l', byte(side(bids))}, priceSize, Page{Limit: n, Upward: true}, func(row, value []byte) (bool, error) {
		l, err := levelOf(bids, row, value)
		out = append(out, l)
		return true, err
	})
	return out, err
}

func levelOf(bid bool, row, value []byte) (l orderbook.Level, err error) {
	price := append([]byte(nil), row...)
	if bid {
		invert(price)
	}
	if l.Price, err = chain.AmountFromBig(new(big.Int).SetBytes(price)); err != nil {
		return l, fmt.Errorf("price of a level: %w", err)
	}
	l.Size, l.Orders = parseDepth(value)
	if l.Size > math.MaxInt64 { // more than all disks: sums of sizes wrap together with what is taken from them
		l.Size = math.MaxUint64
	}
	return l, nil
}

// levels checks that what stands at each price is what its orders add up to.
func (c *checker) levels() error {
	type level struct{ size, orders uint64 }
	sums := map[string]level{}
	err := c.rows([]byte{'R', byte(chain.TableOrder)}, func(key, value []byte) error {
		o := new(chain.Order)
		r, err := parseRecord(chain.Key{Table: chain.TableOrder, ID: string(key[2:])}, value)
		if err != nil || r.Gone != 0 {
			return err
		}
		if err := r.Decode(o); err != nil {
			return err
		}
		if size, in := standing(o); in {
			at := string(depthKey(o.Bid != nil, orderbook.PlaceOf(o).Price))
			l := sums[at]
			sums[at] = level{l.size + size, l.orders + 1}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = c.rows([]byte{'l'}, func(key, value []byte) error {
		c.report.Rows++
		size, orders := parseDepth(value)
		if l, ok := sums[string(key)]; !ok || l != (level{size, orders}) {
			c.wrong("the level %x of the book has %d bytes in %d orders, its orders are others", key, size, orders)
		}
		delete(sums, string(key))
		return nil
	})
	if len(sums) > 0 {
		c.wrong("%d levels of the book are missing", len(sums))
	}
	return err
}
