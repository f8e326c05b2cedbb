package orderbook

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
)

// TestRadix compares a radix with a map, with numbers of all lengths, and checks
// that older versions stay as they were.
func TestRadix(t *testing.T) {
	src := rand.New(rand.NewPCG(4, 9))
	type version struct {
		radix radix
		want  map[uint64]int
	}
	var x radix
	var old []version
	want, by := map[uint64]int{}, new(batch)
	touched := map[uint64]bool{}
	for i := range 20_000 {
		number := src.Uint64N(64) << src.UintN(64)
		id := src.Uint64N(3) + 1
		r := rank{id: id}
		tr := x.tree(number)
		switch {
		case src.IntN(2) == 0 && i < 15_000:
			tr = tr.set(&entry{rank: r, order: &chain.Order{ID: id, Ask: &chain.AskTerms{}}}, by)
		case tr.root == nil:
			continue
		default:
			tr = tr.remove(&r, by)
		}
		x.put(number, tr, by)
		touched[number] = true
		if want[number] += tr.size; want[number] == 0 {
			delete(want, number)
		}
		if i%97 == 0 {
			shown := map[uint64]bool{}
			x.seal(by, func(number uint64) { shown[number] = true })
			if !maps.Equal(shown, touched) {
				t.Fatalf("step %d: a batch changed %d trees and shows %d", i, len(touched), len(shown))
			}
			clear(touched)
			old, by = append(old, version{x, maps.Clone(want)}), new(batch)
		}
	}
	for i, v := range old {
		got, last := map[uint64]int{}, uint64(0)
		for number, tr := range v.radix.all() {
			if number < last {
				t.Fatalf("version %d goes from %d to %d", i, last, number)
			}
			if last = number; v.radix.tree(number).root != tr.root {
				t.Fatalf("version %d has two trees of %d", i, number)
			}
			for range tr.all() {
				got[number]++
			}
		}
		if !maps.Equal(got, v.want) {
			t.Fatalf("version %d holds %v, want %v", i, got, v.want)
		}
	}
	sizes := slices.Collect(maps.Values(old[len(old)/2].want))
	if len(sizes) < 100 || slices.Max(sizes) < 3 {
		t.Fatalf("%d trees of at most %d entries show nothing", len(sizes), slices.Max(sizes))
	}
	same := func(p, q *entry) bool { return true }
	if a, b := old[3].radix, old[4].radix; !a.equal(&a, same) || a.equal(&b, same) {
		t.Fatal("versions that differ are equal, or the other way round")
	}
}
