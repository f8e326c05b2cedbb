package orderbook

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestOffers pages through random books, by few orders and few looks at a time, and
// finds what a look at every order finds.
func TestOffers(t *testing.T) {
	found := 0
	for seed := range uint64(40) {
		src := randSource{rand.New(rand.NewPCG(seed, 3))}
		m := newMarket(t, src, tinyRules(src))
		for range 150 {
			m.step()
		}
		for range 20 {
			w := &Wanted{Size: 128 << src.below(4) >> (7 * src.below(2)), Duration: src.below(6), Collateral: chain.Atto(src.below(3)),
				MaxPrice: chain.Atto(src.below(6)), Regions: m.regions()}
			if w.Size < 128 {
				w.Size = 0
			}
			var want []uint64
			for ask := range m.book.Asks() {
				if w.Suits(ask) {
					want = append(want, ask.ID)
				}
			}
			var got []uint64
			for after, more := (chain.Place{}), true; more; {
				f := m.book.Offers(w, after, 1+int(src.below(4)), 3+int(src.below(4)))
				if after, more = f.Last, f.More; f.Looked > 6 {
					t.Fatalf("%d looks", f.Looked)
				}
				for _, o := range f.Orders {
					got = append(got, o.ID)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, %+v: asks %v, want %v", seed, w, got, want)
			}
			found += len(got)
		}
	}
	if found < 100 {
		t.Errorf("only %d asks found in all: the books are too thin", found)
	}
}

// TestWishes pages through the bids that pay a price.
func TestWishes(t *testing.T) {
	for seed := range uint64(40) {
		src := randSource{rand.New(rand.NewPCG(seed, 4))}
		m := newMarket(t, src, tinyRules(src))
		for range 150 {
			m.step()
		}
		for _, searching := range []bool{false, true} {
			price := chain.Atto(src.below(6))
			var want, got []uint64
			for bid := range m.book.Bids() {
				if !bid.Bid.MaxPrice.Less(price) && (!searching || bid.State == chain.OrderSearching) {
					want = append(want, bid.ID)
				}
			}
			for after, more := (chain.Place{}), true; more; {
				f := m.book.Wishes(price, searching, after, 3)
				after, more = f.Last, f.More
				for _, o := range f.Orders {
					got = append(got, o.ID)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, searching %v: bids %v, want %v", seed, searching, got, want)
			}
		}
	}
}

// TestOffersBehindWalls: a wall of misfits costs a few looks, however high it is.
func TestOffersBehindWalls(t *testing.T) {
	w := &Wanted{Size: 1 << 30, Duration: 1000, Collateral: chain.Atto(1), Regions: []string{"eu"}}
	for _, n := range []int{1000, 50_000} {
		book := wall(t, n, "size", "capacity", "leastPiece", "duration", "longer", "collateral", "region", "nowhere")
		f := book.Offers(w, chain.Place{}, 10, 1000)
		if len(f.Orders) != 1 || f.Orders[0].ID != uint64(n)+1 || f.More || f.Looked > 50 {
			t.Errorf("%d misfits: %d asks after %d looks", n, len(f.Orders), f.Looked)
		}
	}
}

// BenchmarkOffers looks for the best asks of a large book.
func BenchmarkOffers(b *testing.B) {
	d, _ := resting(b, 1_000_000)
	prefix(b, d, 1_000_001)
	book := d.Book()
	w := &Wanted{Size: 1 << 30, Duration: 1500, Collateral: chain.Atto(1), Regions: []string{"eu"}}
	for b.Loop() {
		if f := book.Offers(w, chain.Place{}, 100, 1000); len(f.Orders) != 100 {
			b.Fatalf("%d asks after %d looks", len(f.Orders), f.Looked)
		}
	}
}
