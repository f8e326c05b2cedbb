package devnet

import (
	"bytes"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain/consensus"
)

// quick is a devnet whose blocks take a tenth of a second, with 2 KiB sectors.
func quick() *consensus.Params {
	p := consensus.Devnet()
	p.BlockMillis = 100
	return p
}

// TestWorld starts a network with three miners, stops it, and starts it again
// from its directory.
func TestWorld(t *testing.T) {
	o := WorldOptions{Options: Options{Dir: dirOf(t), Params: quick()}, Miners: 3, SectorSize: 2 << 10}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	ctx := limited(t)
	var first *Info
	for range 2 {
		w, err := StartWorld(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		info := w.Info()
		if err := w.WriteInfo(); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if first == nil {
			first = info
		}
		if info.ChainID != first.ChainID || len(info.Nodes) != 1 || len(info.Miners) != 3 {
			t.Errorf("network is %+v, was %+v", info, first)
		}
		for i, m := range info.Miners {
			if m.ID != first.Miners[i].ID || m.P2P == "" {
				t.Errorf("miner is %+v, was %+v", m, first.Miners[i])
			}
		}
		o.Miners = 7 // what the directory has counts
	}
}

// TestMinerStartsStanding starts a miner again, at another address, while the
// chain stands still: it takes in the blocks that it missed without waiting for
// its announcement, which lands when blocks come.
func TestMinerStartsStanding(t *testing.T) {
	s := setStage(t, 1)
	m := s.Miners[0]
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(s.ctx, 3); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(s.ctx, s.chain.Base()); err != nil {
		t.Fatal(err)
	}
	self := m.daemon.Host().Self()
	announced := func() bool { return slices.EqualFunc(s.minerOf(m).Peer.Addrs, self.Addrs, bytes.Equal) }
	s.caughtUp()
	if announced() {
		t.Fatal("the miner has the addresses that it had before")
	}
	s.until("announced", announced)
}
