package index

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// put commits a block that writes one record, or for nil deletes it, and has the
// index take it in.
func (w *world) put(x *Index, k chain.Key, v chain.CBOR) {
	w.t.Helper()
	u := w.update(w.store.View().Height() + 1)
	c := consensus.Change{Table: k.Table, ID: []byte(k.ID)}
	if v != nil {
		c.Value = w.encode(v)
	}
	u.Changes = append(u.Changes, c)
	_, err := w.store.Stage(u)
	must(w.t, err)
	must(w.t, w.store.Commit())
	follow(w.t, x, w.source())
}

// TestEnded lets a sector and a deal end and leave the state: the index shows
// them as they were last, until its history is past that. A sector of the same
// number begins anew.
func TestEnded(t *testing.T) {
	w := newWorld(t, 1000)
	x, err := Open(Config{Dir: "index", ChainID: "index-test", FS: vfs.NewMem(), Keep: 10})
	must(t, err)
	defer x.Close()
	const id = chain.FirstMinerID
	sector, deal := chain.SectorKey(id, 7), chain.DealKey(1)
	s := &chain.Sector{Miner: id, Number: 7}
	d := &chain.Deal{ID: 1, Miner: id, Client: clientOf(t, 0), PayloadRoot: rootOf(0), PieceCID: rootOf(9)}
	for _, state := range []chain.SectorState{chain.SectorPreCommitted, chain.SectorActive} {
		s.State = state
		w.put(x, sector, s)
		if k, err := x.Kept(sector); k != nil || err != nil {
			t.Errorf("a %s sector is kept as %+v, %v", state, k, err)
		}
	}
	s.State = chain.SectorLost
	w.put(x, sector, s)
	d.State = chain.DealCompleted
	w.put(x, deal, d)
	w.put(x, deal, nil)
	w.put(x, sector, nil)
	gone := w.store.View().Height()
	kept := func(k chain.Key, v chain.CBOR, ended chain.Height) {
		t.Helper()
		got, err := x.Kept(k)
		if err != nil || got == nil || string(got.Record) != string(w.encode(v)) || got.Ended != ended {
			t.Errorf("%s at height %d: %+v, %v", k.Table, w.store.View().Height(), got, err)
		}
	}
	kept(deal, d, gone-1)
	kept(sector, s, gone)
	again := &chain.Sector{Miner: id, Number: 7, State: chain.SectorPreCommitted}
	w.put(x, sector, again)
	if k, err := x.Kept(sector); k != nil || err != nil {
		t.Errorf("a new sector is kept as %+v, %v", k, err)
	}
	again.State = chain.SectorDropped
	w.put(x, sector, again)
	kept(sector, again, 0)
	lists := func() (deals, sectors int) {
		count := func(uint64) (bool, error) { deals++; return true, nil }
		for _, by := range listsOf(d) {
			_, err := x.Deals(by, Page{Limit: 9}, count)
			must(t, err)
		}
		_, err := x.Sectors(id, Page{Limit: 9}, func(uint64) (bool, error) { sectors++; return true, nil })
		must(t, err)
		return deals, sectors
	}
	if deals, sectors := lists(); deals != 4 || sectors != 1 {
		t.Errorf("%d lists name the deal, %d the sector", deals, sectors)
	}
	for w.store.View().Height() < gone+10 {
		w.put(x, chain.AccountKey(clientOf(t, 0)), new(chain.Account))
	}
	if deals, sectors := lists(); deals != 0 || sectors != 1 {
		t.Errorf("after the history %d lists name the deal, %d the sector of the same number", deals, sectors)
	}
	kept(sector, again, 0)
	w.put(x, sector, nil)
	for range 10 {
		w.put(x, chain.AccountKey(clientOf(t, 0)), new(chain.Account))
	}
	if k, err := x.Kept(sector); k != nil || err != nil {
		t.Errorf("after the history the sector is kept as %+v, %v", k, err)
	}
	if deals, sectors := lists(); deals+sectors != 0 {
		t.Errorf("after the history %d lists name the deal, %d the sector", deals, sectors)
	}
}

// TestMinersOf finds miners by who owns them and by who works for them.
func TestMinersOf(t *testing.T) {
	w := newWorld(t, 1000)
	x := open(t, vfs.NewMem(), "index-test")
	defer x.Close()
	for i := range uint64(3) {
		m := &chain.Miner{ID: chain.FirstMinerID + i, Keys: chain.Keys{Owner: clientOf(t, 0), Worker: clientOf(t, i), Beneficiary: clientOf(t, 9)}}
		w.put(x, chain.MinerKey(m.ID), m)
	}
	for account, want := range map[uint64][]uint64{0: {1002, 1001, 1000}, 1: {1001}, 2: {1002}, 9: nil} {
		got := all(t, func(p Page, each func(uint64) (bool, error)) ([]byte, error) {
			return x.MinersOf(clientOf(t, account), p, each)
		})
		same(t, "miners", got, want)
	}
}
