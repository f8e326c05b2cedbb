package orderbook

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestTree compares the tree with a sorted slice through many insertions,
// replacements and removals, and checks that older versions stay as they were.
func TestTree(t *testing.T) {
	src := rand.New(rand.NewPCG(1, 5))
	var tr tree
	var want []uint64
	type version struct {
		tree tree
		want []uint64
	}
	var old []version
	by := new(batch)
	for i := range 40_000 {
		id := src.Uint64N(3000) + 1
		if i > 30_000 { // down to nothing
			id = want[src.IntN(len(want))]
		}
		at, found := slices.BinarySearch(want, id)
		r := rank{id: id}
		if (tr.get(&r) != nil) != found {
			t.Fatalf("step %d: get(%d) found %v, want %v", i, id, !found, found)
		}
		switch grow := i <= 30_000 && src.IntN(5) < 3; {
		case grow && !found:
			want = slices.Insert(want, at, id)
			fallthrough
		case grow:
			tr = tr.set(&entry{r, &chain.Order{ID: id}}, by)
		default:
			tr = tr.remove(&r, by)
			if found {
				want = slices.Delete(want, at, at+1)
			}
		}
		if i%997 == 0 || len(want) < 3 {
			old, by = append(old, version{tr, slices.Clone(want)}), new(batch) // what was kept must not change any more
		}
		if i > 30_000 && len(want) == 0 {
			break
		}
	}
	if tr.root != nil || len(want) != 0 {
		t.Fatalf("%d entries left, root %v", len(want), tr.root)
	}
	for i, v := range old {
		checkTree(t, i, v.tree, v.want)
	}
}

func checkTree(t *testing.T, version int, tr tree, want []uint64) {
	t.Helper()
	var got []uint64
	for e := range tr.all() {
		got = append(got, e.rank.id)
	}
	if !slices.Equal(got, want) || tr.size != len(want) {
		t.Fatalf("version %d holds %d entries (says %d), want %d", version, len(got), tr.size, len(want))
	}
	from := tr.seek(&rank{})
	for id := uint64(0); id < 3010; id += 7 { // seek, and advance over gaps of all widths
		at, found := slices.BinarySearch(want, id)
		if found {
			at++
		}
		r := rank{id: id}
		c := tr.seek(&r)
		from.advance(&r)
		for _, e := range []*entry{c.entry(), from.entry()} {
			if (e == nil) != (at == len(want)) || e != nil && e.rank.id != want[at] {
				t.Fatalf("version %d: seek(%d) stands at %v", version, id, e)
			}
		}
	}
}

// TestRank checks that ranks sort as the rule says, at the ends of the range too.
func TestRank(t *testing.T) {
	prices := []chain.Amount{{}, chain.Atto(1), chain.PDR(1), highest}
	var places []chain.Place
	for _, p := range prices {
		for placed := range chain.Height(2) {
			for id := range uint64(2) {
				places = append(places, chain.Place{Price: p, Placed: placed, Tie: [32]byte{31: byte(id)}, ID: 1 + id})
			}
		}
	}
	places = append(places, chain.Place{})
	for _, a := range places {
		for _, b := range places {
			x, y := askRank(&a), askRank(&b)
			if got := x.compare(&y) < 0; got != before(a, b, false) {
				t.Errorf("asks %+v and %+v: before is %v", a, b, got)
			}
			x, y = bidRank(&a), bidRank(&b)
			if got := x.compare(&y) < 0; got != before(a, b, true) {
				t.Errorf("bids %+v and %+v: before is %v", a, b, got)
			}
		}
	}
}

// TestSet covers what a follower of Updates does with orders.
func TestSet(t *testing.T) {
	ask := &chain.Order{ID: 1, State: chain.OrderWaiting, Ask: &chain.AskTerms{Price: chain.Atto(5)}, Free: 7}
	b, err := new(Book).Set(ask)
	must(t, err)
	if b.Len() != 0 {
		t.Fatal("an order that waits is in the book")
	}
	in := *ask
	in.State = chain.OrderSearching
	with, err := b.Set(&in)
	must(t, err)
	moved := in
	moved.Placed = 9
	after, err := with.Set(&moved)
	must(t, err)
	if with.Len() != 1 || after.Len() != 1 || after.Order(1) != &moved || with.Order(1) != &in || after.seekAsk.size != 1 {
		t.Fatal("an order that moved stands in two places")
	}
	again, err := after.Set(ask)
	must(t, err)
	if !again.Equal(new(Book)) || after.Equal(with) || !after.Remove(1).Equal(b) || after.Remove(2) != after {
		t.Fatal("books that differ are equal, or the other way round")
	}
	for _, bad := range []*chain.Order{{ID: 3}, {ID: 3, Bid: &chain.BidTerms{}, Ask: &chain.AskTerms{}}} {
		if _, err := b.Set(bad); err == nil {
			t.Error("an order that is not one of bid and ask was taken")
		}
	}
}

func TestLevels(t *testing.T) {
	b := new(Book)
	for i, p := range []uint64{5, 3, 5, 4} {
		o := &chain.Order{ID: uint64(i) + 1, State: chain.OrderResting, Ask: &chain.AskTerms{Price: chain.Atto(p)}, Free: 10}
		var err error
		b, err = b.Set(o)
		must(t, err)
		o = &chain.Order{ID: uint64(i) + 11, State: chain.OrderResting, Bid: &chain.BidTerms{MaxPrice: chain.Atto(p), PaddedSize: 1 << 63}, Copies: 1}
		b, err = b.Set(o)
		must(t, err)
	}
	if got, want := b.AskLevels(2), []Level{{chain.Atto(3), 10, 1}, {chain.Atto(4), 10, 1}}; !slices.Equal(got, want) {
		t.Errorf("asks %v, want %v", got, want)
	}
	if got, want := b.BidLevels(9), []Level{{chain.Atto(5), 1<<64 - 1, 2}, {chain.Atto(4), 1 << 63, 1}, {chain.Atto(3), 1 << 63, 1}}; !slices.Equal(got, want) {
		t.Errorf("bids %v, want %v", got, want)
	}
	if len(b.AskLevels(0)) != 0 {
		t.Error("no levels were asked for")
	}
}
