package orderbook

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestTree compares the tree with a sorted slice through many insertions,
// replacements and removals, and checks that older versions stay as they were.
func TestTree(t *testing.T) {
	src := rand.New(rand.NewPCG(1, 5))
	tr := tree{bids: true}
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
			size := 128 + src.Uint64N(5)
			o := &chain.Order{ID: id, Bid: &chain.BidTerms{PaddedSize: size, Duration: id % 7, MinCollateral: chain.Atto(src.Uint64N(9))}}
			tr = tr.set(&entry{o, termsOf(o, nil), r}, by)
		default:
			tr = tr.remove(&r, by)
			if found {
				want = slices.Delete(want, at, at+1)
			}
		}
		if i%997 == 0 || len(want) < 3 {
			tr.seal(by)
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
	if n := tr.root; n != nil && n.children != nil && (len(n.children) != 2 || n.children[0].children != nil) {
		t.Fatalf("version %d has no front", version)
	}
	if c := tr.start(); (c.entry() == nil) != (len(want) == 0) || c.entry() != nil && c.entry().rank.id != want[0] {
		t.Fatalf("version %d starts at %v", version, c.entry())
	}
	for id := uint64(0); id < 3010; id += 7 {
		at, found := slices.BinarySearch(want, id)
		r := rank{id: id}
		if last := tr.before(&r); (last == nil) != (at == 0) || last != nil && last.rank.id != want[at-1] {
			t.Fatalf("version %d: before(%d) is %v", version, id, last)
		}
		if found {
			at++
		}
		c := tr.seek(&r)
		if e := c.entry(); (e == nil) != (at == len(want)) || e != nil && e.rank.id != want[at] {
			t.Fatalf("version %d: seek(%d) stands at %v", version, id, e)
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

// checkHulls checks that the hulls of a sealed tree are exact, and that skipping
// by them finds what a walk through the entries finds.
func checkHulls(t testing.TB, tr tree) {
	t.Helper()
	var check func(n *node) terms
	check = func(n *node) terms {
		var want terms
		for i := range n.items {
			one := n.items[i].entry.terms
			if n.children != nil {
				one = check(n.children[i])
			}
			if i == 0 {
				want = one
			} else {
				want.widen(&one, tr.bids)
			}
		}
		same := n.hull
		same.miner, same.region = want.miner, want.region
		if n.stale || same != want || !sameMiner(n.hull.miner, want.miner) || !sameRegion(n.hull.region, want.region) {
			t.Fatalf("hull %+v of %d items, want %+v", n.hull, len(n.items), want)
		}
		return want
	}
	if tr.root != nil {
		check(tr.root)
	}
}

// TestSkip compares skipping with walking, for conditions of all kinds and from
// everywhere, in a tree of several levels.
func TestSkip(t *testing.T) {
	src := randSource{rand.New(rand.NewPCG(8, 8))}
	for _, bids := range []bool{false, true} {
		m := newMarket(t, src, wideRules)
		d := new(Book).Draft()
		var seekers []*chain.Order
		for len(seekers) < 40 || d.book.Len() < 6000 {
			o := m.order()
			switch {
			case (o.Bid != nil) != bids:
				seekers = append(seekers, o)
			default:
				must(t, d.Set(o))
			}
		}
		b := d.Book()
		tr := b.asks.seek
		if bids {
			tr = b.bids.seek
		}
		checkHulls(t, tr)
		all := slices.Collect(tr.all())
		for range 20_000 {
			x := &searcher{order: seekers[src.IntN(len(seekers))], first: all[src.IntN(len(all))].terms.miner}
			terms := termsOf(x.order, nil)
			x.terms = &terms
			c, from := condition(src.IntN(int(conditions))), src.IntN(len(all))
			cursor := tr.seek(&all[from].rank)
			cursor.skip(x, c)
			for from++; from < len(all) && x.misses(c, &all[from].terms); {
				from++
			}
			if got := cursor.entry(); (got == nil) != (from == len(all)) || got != nil && got != all[from] {
				t.Fatalf("bids %v, condition %d: skipped to %v, want entry %d of %d", bids, c, got, from, len(all))
			}
		}
	}
}

// TestDraft covers what a follower of Updates does with orders.
func TestDraft(t *testing.T) {
	ask := &chain.Order{ID: 1, State: chain.OrderWaiting, Ask: &chain.AskTerms{Price: chain.Atto(5)}, Free: 7}
	b := with(t, new(Book), ask)
	if b.Len() != 0 {
		t.Fatal("an order that waits is in the book")
	}
	in, rests := *ask, *ask
	in.State, rests.State = chain.OrderSearching, chain.OrderResting
	searching := with(t, b, &in)
	resting := with(t, without(searching, &in), &rests)
	if searching.Len() != 1 || resting.Len() != 1 || searching.searching() != 1 || resting.searching() != 0 ||
		slices.Collect(searching.Asks())[0] != &in || slices.Collect(resting.Asks())[0] != &rests {
		t.Fatal("an order that came to rest stands in two places, or changed an older book")
	}
	if resting.Equal(searching) || !without(resting, &rests).Equal(new(Book)) || !without(searching, &in).Equal(b) || without(b, &in).Len() != 0 {
		t.Fatal("books that differ are equal, or the other way round")
	}
	for _, bad := range []*chain.Order{{ID: 3}, {ID: 3, Bid: &chain.BidTerms{}, Ask: &chain.AskTerms{}}} {
		if err := b.Draft().Set(bad); !errors.Is(err, ErrOrder) {
			t.Errorf("an order that is not one of bid and ask was taken: %v", err)
		}
	}
}

func TestLevels(t *testing.T) {
	b := new(Book)
	for i, p := range []uint64{5, 3, 5, 4} {
		o := &chain.Order{ID: uint64(i) + 1, State: chain.OrderResting, Ask: &chain.AskTerms{Price: chain.Atto(p)}, Free: 10}
		b = with(t, b, o)
		o = &chain.Order{ID: uint64(i) + 11, State: chain.OrderResting, Bid: &chain.BidTerms{MaxPrice: chain.Atto(p), PaddedSize: 1 << 63}, Copies: 1}
		b = with(t, b, o)
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
