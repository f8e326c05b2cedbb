package orderbook

import (
	"fmt"
	"testing"

	"github.com/perdure/perdure/chain"
)

// usualRules are the limits that the networks share.
var usualRules = Rules{Visits: 64, Hops: 512, Searches: 1024, Trades: 256, NoShowDeposit: chain.PDR(1), NoShowFloor: chain.Atto(chain.AttoPerPDR / 1000)}

// misfits are the ways in which an ask never suits wallBid.
var misfits = map[string]func(o *chain.Order){
	"size":       func(o *chain.Order) { o.Ask.MaxPiece = 128 },
	"capacity":   func(o *chain.Order) { o.Ask.Capacity, o.Free = 128, 128 },
	"leastPiece": func(o *chain.Order) { o.Ask.MinPiece = 1 << 31 },
	"duration":   func(o *chain.Order) { o.Ask.MaxDuration = 999 },
	"longer":     func(o *chain.Order) { o.Ask.MinDuration = 1001 },
	"collateral": func(o *chain.Order) { o.Ask.Collateral = chain.Amount{} },
	"region":     func(o *chain.Order) { o.Ask.Region = "us" },
	"nowhere":    func(o *chain.Order) { o.Ask.Region = "" },
	"denied":     func(o *chain.Order) { o.Ask.Miner, o.Owner = 7, owner(7) },
	"held":       func(o *chain.Order) { o.Ask.Miner, o.Owner = 8, owner(8) },
}

// misfitNames are those in an order of their own.
var misfitNames = []string{"size", "capacity", "leastPiece", "duration", "longer", "collateral", "region", "nowhere", "denied", "held"}

// wallAsk is an ask at rest that suits wallBid.
func wallAsk(id, price uint64) *chain.Order {
	o := &chain.Order{ID: id, Placed: chain.Height(id / 100), State: chain.OrderResting, Locked: chain.PDR(1 << 40), Owner: owner(id),
		Ask: &chain.AskTerms{Miner: id + 1000, Price: chain.Atto(price), Capacity: 1 << 40, MinPiece: 128, MaxPiece: 1 << 35, MinDuration: 1,
			MaxDuration: 1 << 30, Collateral: chain.Atto(5), Expiry: 1 << 40, Region: "eu-de"}}
	o.Free = o.Ask.Capacity
	return o
}

// wallBid is a bid that has a copy with miner 8 and wants another.
func wallBid(t testing.TB, rules *Rules, id, price uint64) *chain.Order {
	t.Helper()
	o := &chain.Order{ID: id, Placed: chain.Height(id / 100), State: chain.OrderSearching, Owner: owner(id), Copies: 1,
		Miners: []chain.MinerID{8}, Owners: []chain.Address{owner(1 << 40)},
		Bid: &chain.BidTerms{PaddedSize: 1 << 30, Duration: 1000, MaxPrice: chain.Atto(price), Copies: 2, MinCollateral: chain.Atto(1),
			Expiry: 1 << 40, Deny: []chain.MinerID{7}, Regions: []string{"eu"}}}
	p, d, err := rules.Share(o.Bid, 0)
	must(t, err)
	o.Locked, err = p.Add(d)
	must(t, err)
	return o
}

// wall is a book of n asks that the bid cannot take, at the lowest price, and
// behind them one that it can.
func wall(t testing.TB, n int, kinds ...string) *Book {
	t.Helper()
	d := new(Book).Draft()
	for i := range n {
		o := wallAsk(uint64(i)+1, 10)
		misfits[kinds[i%len(kinds)]](o)
		must(t, d.Set(o))
	}
	must(t, d.Set(wallAsk(uint64(n)+1, 11)))
	return d.Book()
}

// TestNoStarvation: a wall of asks that cannot serve a bid keeps it from the one
// behind them for no block at all if they all fail for one reason, however many
// they are, and if they fail for reasons in turn for so many blocks as
// Rules.Hops says, instead of for Visits asks a block.
func TestNoStarvation(t *testing.T) {
	const asks = 13_000
	for _, kind := range misfitNames {
		t.Run(kind, func(t *testing.T) { passes(t, wall(t, asks, kind), 1) })
	}
	t.Run("two by turns", func(t *testing.T) { passes(t, wall(t, asks, "capacity", "duration"), 1+asks/512) })
	t.Run("all by turns", func(t *testing.T) { passes(t, wall(t, asks, misfitNames...), 1+asks/512) })
}

// passes matches until the bid has traded, which takes so many blocks at most.
func passes(t *testing.T, book *Book, blocks int) {
	t.Helper()
	bid := wallBid(t, &usualRules, 1<<30, 20)
	book = with(t, book, bid)
	for range blocks {
		next, out, err := book.Match(1, &usualRules)
		must(t, err)
		if out.Visits > usualRules.Visits || out.Hops > usualRules.Hops {
			t.Fatalf("one search took %d visits and %d hops", out.Visits, out.Hops)
		}
		if len(out.Trades) == 1 && out.Trades[0].Ask.Ask.Price == chain.Atto(11) {
			return
		}
		book = next
	}
	t.Fatalf("the bid has not traded after %d blocks", blocks)
}

// TestWallOfBids: an ask passes a wall of bids that it cannot serve as quickly.
func TestWallOfBids(t *testing.T) {
	d := new(Book).Draft()
	for i := range uint64(13_000) {
		o := wallBid(t, &usualRules, i+1, 30)
		o.State, o.Bid.PaddedSize = chain.OrderResting, 128
		must(t, d.Set(o))
	}
	bid := wallBid(t, &usualRules, 20_000, 20)
	bid.State = chain.OrderResting
	must(t, d.Set(bid))
	ask := wallAsk(20_001, 10)
	ask.State, ask.Ask.MinPiece = chain.OrderSearching, 1<<20
	must(t, d.Set(ask))
	_, out, err := d.Book().Match(1, &usualRules)
	must(t, err)
	if len(out.Trades) != 1 || out.Trades[0].Bid.ID != bid.ID || out.Hops != 1 || out.Visits != 1 {
		t.Fatalf("%d trades after %d hops and %d visits", len(out.Trades), out.Hops, out.Visits)
	}
}

// TestAllowList: a bid that names its miners sees their asks alone, whatever
// stands between them.
func TestAllowList(t *testing.T) {
	d := new(Book).Draft()
	for i := range uint64(5000) {
		must(t, d.Set(wallAsk(i+1, 10)))
	}
	for i, price := range []uint64{14, 12, 13} {
		must(t, d.Set(wallAsk(6000+uint64(i), price)))
	}
	bid := wallBid(t, &usualRules, 9000, 20)
	bid.Bid.Allow = []chain.MinerID{7000, 7001, 7002} // those of the last three asks
	must(t, d.Set(bid))
	_, out, err := d.Book().Match(1, &usualRules)
	must(t, err)
	if len(out.Trades) != 1 || out.Trades[0].Ask.ID != 6001 || out.Visits != 1 || out.Hops != 0 {
		t.Fatalf("%d visits, %d hops, trades %s", out.Visits, out.Hops, fmt.Sprint(out.Trades))
	}
}
