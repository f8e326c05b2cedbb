package orderbook

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/perdure/perdure/chain"
)

// benchRules are the parameters that the networks share.
var benchRules = Rules{Visits: 64, Searches: 1024, Trades: 256, NoShowDeposit: chain.PDR(1), NoShowFloor: chain.Atto(chain.AttoPerPDR / 1000)}

// resting is a book of n orders at rest, half asks, half bids, that do not
// cross: asks cost 1000 to 1999 a GiB and block, bids pay 1 to 999.
func resting(b *testing.B, n int) (*Book, []*chain.Order) {
	b.Helper()
	src := rand.New(rand.NewPCG(1, 6))
	book, orders := new(Book), make([]*chain.Order, 0, n)
	for i := range n {
		o := benchOrder(b, src, uint64(i)+1, i%2 == 0, 1+src.Uint64N(999))
		o.State = chain.OrderResting
		orders = append(orders, o)
		var err error
		if book, err = book.Set(o); err != nil {
			b.Fatal(err)
		}
	}
	return book, orders
}

func benchOrder(b *testing.B, src *rand.Rand, id uint64, bid bool, price uint64) *chain.Order {
	b.Helper()
	o := &chain.Order{ID: id, Placed: chain.Height(id / 100), State: chain.OrderSearching, Owner: owner(id)}
	binary.BigEndian.PutUint64(o.Tie[:], src.Uint64())
	if !bid {
		o.Ask = &chain.AskTerms{Miner: id, Price: chain.Atto(1000 + price), Capacity: 1 << 40, MinPiece: 128, MaxPiece: 1 << 35,
			MinDuration: 1, MaxDuration: 1 << 30, Expiry: 1 << 40}
		o.Free, o.Locked = o.Ask.Capacity, chain.PDR(1<<20)
		return o
	}
	o.Bid = &chain.BidTerms{PaddedSize: 1 << 30, Duration: 1000, MaxPrice: chain.Atto(price), Copies: 1, Expiry: 1 << 40}
	o.Copies = 1
	p, d, err := benchRules.Share(o.Bid, 0)
	if err != nil {
		b.Fatal(err)
	}
	if o.Locked, err = p.Add(d); err != nil {
		b.Fatal(err)
	}
	return o
}

// BenchmarkMatch places 100 bids that trade into a book of resting orders and
// matches them: the time is that of one order, from entering the book to its trade.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("resting=%d", n), func(b *testing.B) {
			book, _ := resting(b, n)
			src := rand.New(rand.NewPCG(2, 6))
			var taker []*chain.Order
			for i := range 100 {
				taker = append(taker, benchOrder(b, src, uint64(n+i)+1, true, 5000))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += len(taker) {
				now := book
				for _, o := range taker {
					var err error
					if now, err = now.Set(o); err != nil {
						b.Fatal(err)
					}
				}
				_, out, err := now.Match(1, &benchRules)
				if err != nil || len(out.Trades) != len(taker) {
					b.Fatal(len(out.Trades), err)
				}
			}
		})
	}
}

// BenchmarkVisit lets 1,000 bids look at 64 asks each that refuse them: the
// time is that of one pair, the worst that a block can be made to do.
func BenchmarkVisit(b *testing.B) {
	book, _ := resting(b, 10_000)
	src := rand.New(rand.NewPCG(3, 6))
	for i := range 1000 {
		o := benchOrder(b, src, uint64(i)+10_001, true, 5000)
		o.Bid.MinCollateral = chain.Atto(1)
		var err error
		if book, err = book.Set(o); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for done := 0; done < b.N; {
		_, out, err := book.Match(1, &benchRules)
		if err != nil || out.Visits != 64_000 {
			b.Fatal(out, err)
		}
		done += int(out.Visits)
	}
}

// BenchmarkRebuild makes a book of 10,000 orders; the time is that of one order.
func BenchmarkRebuild(b *testing.B) {
	_, orders := resting(b, 10_000)
	b.ResetTimer()
	for done := 0; done < b.N; done += len(orders) {
		_, err := Rebuild(func(yield func(*chain.Order, error) bool) {
			for _, o := range orders {
				if !yield(o, nil) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
