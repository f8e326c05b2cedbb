package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
)

// TestOrderLists moves bids and asks through their states, and out of them, and
// asks for them by every filter and pair of filters.
func TestOrderLists(t *testing.T) {
	w, r := newWorld(t, 1000), rand.New(rand.NewPCG(5, 6))
	x := open(t, vfs.NewMem(), "index-test")
	defer x.Close()
	orders := map[uint64]*chain.Order{}
	gone := map[uint64]bool{}
	for range 80 {
		o := &chain.Order{ID: 1 + r.Uint64N(40)}
		if old := orders[o.ID]; old != nil {
			o = old
		} else if o.Owner = clientOf(t, r.Uint64N(clients)); r.Uint64N(2) == 0 {
			o.Ask = &chain.AskTerms{Miner: chain.FirstMinerID + r.Uint64N(miners)}
		} else {
			o.Bid = &chain.BidTerms{PieceCID: rootOf(1), PayloadRoot: rootOf(2)}
		}
		if gone[o.ID] {
			continue
		}
		orders[o.ID] = o
		if o.State > 0 && r.Uint64N(4) == 0 {
			gone[o.ID] = true
			w.put(x, chain.OrderKey(o.ID), nil)
			continue
		}
		o.State = chain.OrderState(1 + r.Uint64N(3))
		w.put(x, chain.OrderKey(o.ID), o)
	}
	states := map[OrderState]int{}
	for _, side := range []Side{AnySide, BidSide, AskSide} {
		for state := range OrderOver + 1 {
			for _, live := range []bool{false, true} {
				for owner := range clients + 1 {
					f := OrderFilter{Side: side, State: state, Live: live}
					if owner < clients {
						f.Owner = clientOf(t, uint64(owner))
					}
					var want []uint64
					for id, o := range orders {
						is := OrderState(o.State)
						if gone[id] {
							is = OrderOver
						}
						if (state == 0 || is == state) && (!live || is <= OrderResting) && (side == AnySide || (o.Bid != nil) == (side == BidSide)) &&
							(owner == clients || o.Owner == f.Owner) {
							want = append(want, id)
						}
					}
					slices.Sort(want)
					slices.Reverse(want)
					same(t, fmt.Sprintf("orders by %+v", f), ids(t, x, Orders(f)), want)
					states[state] += len(want)
				}
			}
		}
	}
	for _, state := range []OrderState{OrderWaiting, OrderSearching, OrderResting, OrderOver} {
		if states[state] == 0 {
			t.Errorf("no order was %s", state)
		}
	}
}
