package index

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
)

// due is a deal or a sector that is in force, and when no longer.
type due struct {
	until     chain.Height
	miner, id uint64
	client    chain.Address
}

// dueIDs are the IDs of those that want takes, in the order of lists, the latest first.
func dueIDs(all map[chain.Key]due, want func(due) bool) (out []uint64) {
	sorted := slices.SortedFunc(maps.Values(all), func(a, b due) int {
		return -cmp.Or(cmp.Compare(a.until, b.until), cmp.Compare(a.miner, b.miner), cmp.Compare(a.id, b.id))
	})
	for _, d := range sorted {
		if want(d) {
			out = append(out, d.id)
		}
	}
	return out
}

// TestDue moves deals and sectors through their states, extends them, and asks for
// those that end next.
func TestDue(t *testing.T) {
	w, r := newWorld(t, 1000), rand.New(rand.NewPCG(7, 8))
	x := open(t, vfs.NewMem(), "index-test")
	defer x.Close()
	deals, sectors := map[chain.Key]due{}, map[chain.Key]due{}
	clientOfDeal := func(id uint64) chain.Address { return clientOf(t, id%clients) }
	for range 300 {
		id, miner, until := 1+r.Uint64N(30), chain.FirstMinerID+r.Uint64N(miners), chain.Height(1000+r.Uint64N(5))
		if r.Uint64N(2) == 0 {
			miner = chain.FirstMinerID + id%miners // a deal's never changes
			d := &chain.Deal{ID: id, Miner: miner, Client: clientOfDeal(id), PayloadRoot: rootOf(0), PieceCID: rootOf(1), State: chain.DealState(1 + r.Uint64N(6)), End: until}
			k := chain.DealKey(id)
			if delete(deals, k); d.State == chain.DealActive {
				deals[k] = due{until, 0, id, d.Client}
			}
			w.put(x, k, d)
			continue
		}
		k := chain.SectorKey(miner, id)
		delete(sectors, k)
		if r.Uint64N(8) == 0 {
			if record(t, x, k) != nil {
				w.put(x, k, nil)
			}
			continue
		}
		s := &chain.Sector{Miner: miner, Number: id, State: chain.SectorState(1 + r.Uint64N(7)), Expiration: until}
		if s.Live() {
			sectors[k] = due{until, miner, id, chain.Address{}}
		}
		w.put(x, k, s)
	}
	none, found := chain.Address{}, 0
	expect := func(what string, l List, want []uint64) {
		t.Helper()
		same(t, what, ids(t, x, l), want)
		found += len(want)
	}
	expect("deals by end", DealsByEnd(none, 0), dueIDs(deals, func(due) bool { return true }))
	expect("sectors by expiration", SectorsByExpiration(0), dueIDs(sectors, func(due) bool { return true }))
	for i := range uint64(clients) {
		client := clientOf(t, i)
		expect(fmt.Sprintf("deals of client %d by end", i), DealsByEnd(client, 0), dueIDs(deals, func(d due) bool { return d.client == client }))
	}
	for i := range uint64(miners) {
		miner := chain.FirstMinerID + i
		expect(fmt.Sprintf("deals of miner %d by end", miner), DealsByEnd(none, miner), dueIDs(deals, func(d due) bool { return d.id%miners == i }))
		expect(fmt.Sprintf("sectors of miner %d by expiration", miner), SectorsByExpiration(miner), dueIDs(sectors, func(d due) bool { return d.miner == miner }))
	}
	if len(deals) < 3 || len(sectors) < 10 || found != 3*len(deals)+2*len(sectors) {
		t.Errorf("%d deals and %d sectors in force, found %d times", len(deals), len(sectors), found)
	}
	if report, err := x.Check(t.Context(), nil); err != nil || !report.OK() {
		t.Errorf("check: %+v, %v", report, err)
	}
	look(t, x, func(s *Snapshot) {
		for _, l := range []List{DealsByEnd(none, 0), SectorsByExpiration(0)} {
			if _, err := s.Records(l, Page{After: make([]byte, 8), Limit: 1}, nil); !errors.Is(err, ErrPlace) {
				t.Errorf("a place of another list: %v", err)
			}
		}
	})
}
