package orderbook

import (
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/perdure/perdure/chain"
)

// marketSteps is how many random things happen in a market of TestAgainstNaive.
const marketSteps = 700

// shards is how many markets are lived through at once, as far as there are cores.
const shards = 8

// markets is how many random markets TestAgainstNaive lives through: -markets
// 10000 makes seven million steps.
var markets = flag.Int("markets", 100, "random markets to compare with the naive matcher")

// TestAgainstNaive lives through many random markets beside the naive matcher:
// equal trades and books after every block, under limits that are always met.
func TestAgainstNaive(t *testing.T) {
	var trades, steps atomic.Int64
	t.Run("markets", func(t *testing.T) {
		for shard := range shards {
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				for seed := shard; seed < *markets; seed += shards {
					src := randSource{rand.New(rand.NewPCG(uint64(seed), 1))}
					m := newMarket(t, src, tinyRules(src))
					for range marketSteps {
						m.step()
					}
					m.quiet()
					steps.Add(marketSteps)
					trades.Add(int64(m.trades))
				}
			})
		}
	})
	if trades.Load() < steps.Load()/20 {
		t.Fatalf("only %d trades in %d steps: the markets are too thin to show anything", trades.Load(), steps.Load())
	}
	t.Logf("%d steps, %d trades", steps.Load(), trades.Load())
}

// quiet lets the searches end, which they must when no order comes, and checks
// that nothing that could trade was passed over.
func (m *market) quiet() {
	m.t.Helper()
	m.rules.Visits, m.rules.Hops, m.rules.Searches, m.rules.Trades = 3+m.rules.Visits, 1+m.rules.Hops, 20*m.rules.Searches, 20*m.rules.Trades
	for m.book.searching() > 0 {
		was := m.book
		m.now-- // time stands still: expiry is not what ends a search
		m.block()
		if m.book.Equal(was) {
			m.t.Fatalf("%d orders search and get nowhere", was.searching())
		}
	}
	for bid := range m.book.Bids() {
		for ask := range m.book.Asks() {
			if mayTrade(bid, ask, m.now, &m.rules) {
				m.t.Fatalf("bid %d and ask %d rest side by side and could trade", bid.ID, ask.ID)
			}
		}
	}
}

func TestRandomMarkets(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		src := rapidSource{r}
		m := newMarket(t, src, tinyRules(src))
		for range rapid.IntRange(1, 80).Draw(r, "steps") {
			m.step()
		}
		m.quiet()
	})
}

func FuzzMarket(f *testing.F) {
	for seed := range uint64(8) {
		b := make([]byte, 600)
		r := rand.New(rand.NewPCG(seed, 2))
		for i := range b {
			b[i] = byte(r.Uint64())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := &byteSource{data}
		m := newMarket(t, src, tinyRules(src))
		for len(src.data) > 0 && m.nextID < 200 {
			m.step()
		}
		m.quiet()
	})
}

// wideRules bind nothing.
var wideRules = Rules{Visits: math.MaxUint64, Hops: math.MaxUint64, Searches: math.MaxUint64, Trades: math.MaxUint64,
	NoShowDeposit: chain.Atto(1 << 21), NoShowFloor: chain.Atto(3)}

// TestBothSidesAgree shows the theorem of the package's rule: with orders that
// all come at once, every bid taking the best asks and every ask taking the
// best bids is the same, and is what Match does, in however many blocks.
func TestBothSidesAgree(t *testing.T) {
	for seed := range uint64(300) {
		src := randSource{rand.New(rand.NewPCG(seed, 3))}
		m := newMarket(t, src, wideRules)
		for range 60 {
			m.place(m.order())
		}
		n := naive{m.naive.orders}
		byBid := greedy(n.side(true), n.side(false), m.now+1, true)
		byAsk := greedy(n.side(true), n.side(false), m.now+1, false)
		if !slices.Equal(byBid, byAsk) {
			t.Fatalf("seed %d: bids first\n%v\nasks first\n%v", seed, byBid, byAsk)
		}
		m.rules.Trades = 1 + src.below(5)
		var got []pair
		for m.book.searching() > 0 {
			book, out, err := m.book.Match(m.now+1, &m.rules)
			must(t, err)
			m.book = book
			for _, x := range out.Trades {
				got = append(got, pair{x.Bid.ID, x.Ask.ID, x.Total})
			}
		}
		sortPairs(got)
		if !slices.Equal(got, byBid) {
			t.Fatalf("seed %d: matched\n%v\nwant\n%v", seed, got, byBid)
		}
	}
}

// greedy trades all pairs of two sides, in the order of the bids or of the asks.
func greedy(bids, asks []*chain.Order, now chain.Height, bidsFirst bool) []pair {
	w := &block{now: now, rules: &wideRules, gone: map[uint64]bool{}}
	outer, inner := bids, asks
	if !bidsFirst {
		outer, inner = asks, bids
	}
	for _, x := range outer {
		for _, y := range inner {
			b, a := x, y
			if !bidsFirst {
				b, a = y, x
			}
			if !w.gone[b.ID] && !w.gone[a.ID] {
				w.visit(b, a)
			}
		}
	}
	sortPairs(w.trades)
	return w.trades
}

func sortPairs(p []pair) {
	slices.SortFunc(p, func(a, b pair) int {
		if a.bid < b.bid || a.bid == b.bid && a.ask < b.ask {
			return -1
		}
		return 1
	})
}

// TestListingOrder gives the orders of one block other IDs, as another order of
// the same messages would: as long as each owner's own orders keep their
// sequence, the same orders trade.
func TestListingOrder(t *testing.T) {
	for seed := range uint64(200) {
		src := randSource{rand.New(rand.NewPCG(seed, 4))}
		m := newMarket(t, src, wideRules)
		var first []*chain.Order
		seen := map[uint64]int{} // ties stand for owners: one tie is one owner
		for range 40 {
			o := m.order()
			o.Placed = 1
			first = append(first, o)
			seen[uint64(o.Tie[7])]++
		}
		ids := make([]uint64, 0, len(first)) // of the second listing, by owner
		owners := make([]byte, 0, len(first))
		for _, o := range first {
			owners = append(owners, o.Tie[7])
		}
		src.Shuffle(len(owners), func(i, j int) { owners[i], owners[j] = owners[j], owners[i] })
		next := map[byte][]uint64{}
		for i, w := range owners {
			next[w] = append(next[w], uint64(i)+1)
		}
		back := map[uint64]uint64{}
		var second []*chain.Order
		for _, o := range first {
			c := *o
			c.ID, next[o.Tie[7]] = next[o.Tie[7]][0], next[o.Tie[7]][1:]
			back[c.ID] = o.ID
			second = append(second, &c)
			ids = append(ids, c.ID)
		}
		a, b := tradesOf(t, first), tradesOf(t, second)
		for i := range b {
			b[i].bid, b[i].ask = back[b[i].bid], back[b[i].ask]
		}
		sortPairs(a)
		sortPairs(b)
		if !slices.Equal(a, b) {
			t.Fatalf("seed %d: listed in another order (%v), the same orders trade otherwise:\n%v\n%v", seed, ids, a, b)
		}
	}
}

func tradesOf(t *testing.T, orders []*chain.Order) (out []pair) {
	t.Helper()
	b := new(Book)
	for _, o := range orders {
		b = with(t, b, o)
	}
	_, outcome, err := b.Match(2, &wideRules)
	must(t, err)
	for _, x := range outcome.Trades {
		out = append(out, pair{x.Bid.ID, x.Ask.ID, x.Total})
	}
	return out
}
