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
		if r := record(t, x, sector); r == nil || r.Ended != 0 || r.Gone != 0 {
			t.Errorf("a %s sector is %+v", state, r)
		}
	}
	s.State = chain.SectorLost
	w.put(x, sector, s)
	d.State = chain.DealCompleted
	w.put(x, deal, d)
	w.put(x, deal, nil)
	w.put(x, sector, nil)
	gone := w.store.View().Height()
	kept := func(k chain.Key, v chain.CBOR, ended, left chain.Height) {
		t.Helper()
		r := record(t, x, k)
		if r == nil || string(r.Value) != string(w.encode(v)) || r.Ended != ended || r.Gone != left {
			t.Errorf("%s at height %d: %+v", k.Table, w.store.View().Height(), r)
		}
	}
	kept(deal, d, gone-2, gone-1)
	kept(sector, s, gone-3, gone)
	again := &chain.Sector{Miner: id, Number: 7, State: chain.SectorPreCommitted}
	w.put(x, sector, again)
	kept(sector, again, 0, 0)
	again.State = chain.SectorDropped
	w.put(x, sector, again)
	dropped := w.store.View().Height()
	kept(sector, again, dropped, 0)
	lists := func() (deals, sectors int) {
		for _, f := range []DealFilter{{}, {Root: d.PayloadRoot}, {Piece: d.PieceCID}, {Miner: d.Miner}, {Client: d.Client},
			{State: d.State}, {Miner: d.Miner, State: d.State}, {Client: d.Client, State: d.State}} {
			deals += len(ids(t, x, Deals(f)))
		}
		for _, f := range []SectorFilter{{}, {Miner: id}, {State: chain.SectorDropped}, {Miner: id, State: chain.SectorDropped}} {
			sectors += len(ids(t, x, Sectors(f)))
		}
		return deals, sectors
	}
	if deals, sectors := lists(); deals != 8 || sectors != 4 {
		t.Errorf("%d of 8 lists name the deal, %d of 4 the sector", deals, sectors)
	}
	for w.store.View().Height() < gone+10 {
		w.put(x, chain.AccountKey(clientOf(t, 0)), new(chain.Account))
	}
	if deals, sectors := lists(); deals != 0 || sectors != 4 {
		t.Errorf("after the history %d lists name the deal, %d of 4 the sector of the same number", deals, sectors)
	}
	kept(sector, again, dropped, 0)
	w.put(x, sector, nil)
	for range 10 {
		w.put(x, chain.AccountKey(clientOf(t, 0)), new(chain.Account))
	}
	if r := record(t, x, sector); r != nil {
		t.Errorf("after the history the sector is kept as %+v", r)
	}
	if deals, sectors := lists(); deals+sectors != 0 {
		t.Errorf("after the history %d lists name the deal, %d the sector", deals, sectors)
	}
}

// TestMinersOf finds miners by who owns them and by who works for them, as long
// as they do.
func TestMinersOf(t *testing.T) {
	w := newWorld(t, 1000)
	x := open(t, vfs.NewMem(), "index-test")
	defer x.Close()
	for i := range uint64(3) {
		m := &chain.Miner{ID: chain.FirstMinerID + i, Keys: chain.Keys{Owner: clientOf(t, 0), Worker: clientOf(t, i), Beneficiary: clientOf(t, 9)}}
		w.put(x, chain.MinerKey(m.ID), m)
	}
	for i, f := range []MinerFilter{{Owner: clientOf(t, 0)}, {Owner: clientOf(t, 9)}, {Worker: clientOf(t, 1)}, {}, {Owner: clientOf(t, 0), Worker: clientOf(t, 2)}} {
		same(t, "miners", ids(t, x, Miners(f)), [][]uint64{{1002, 1001, 1000}, nil, {1001}, {1002, 1001, 1000}, {1002}}[i])
	}
	w.put(x, chain.MinerKey(1001), &chain.Miner{ID: 1001, Keys: chain.Keys{Owner: clientOf(t, 5), Worker: clientOf(t, 1), Beneficiary: clientOf(t, 9)}})
	same(t, "miners of before", ids(t, x, Miners(MinerFilter{Owner: clientOf(t, 0)})), []uint64{1002, 1000})
	same(t, "miners of the new owner", ids(t, x, Miners(MinerFilter{Owner: clientOf(t, 5)})), []uint64{1001})
}
