package devnet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// repairParams are those of a stage on which a faulty sector is soon lost.
func repairParams() *consensus.Params {
	p := stageParams()
	p.Window, p.FaultMaxAge = 10, 1
	return p
}

// TestE2ERepair kills a miner that holds one of two copies, for good. Its sector
// becomes faulty and is lost, its pledge burns, the chain bids for another
// copy, the third miner buys the piece from the second one's seller, seals and
// proves it, and gets its allowance; the client does nothing until it fetches.
func TestE2ERepair(t *testing.T) {
	endToEnd(t)
	s := setStageOf(t, WorldOptions{Miners: 3, Level: true}, repairParams())
	p := s.newPatron()
	content := some(1500, 1)
	_, ids := p.put(content, 2)
	stop := p.serve()
	s.until("both active", func() bool { return s.active(ids[0])() && s.active(ids[1])() })
	stop()

	lost := s.deal(ids[0])
	dead := s.minerWith(lost.Miner)
	if err := dead.Stop(); err != nil {
		t.Fatal(err)
	}
	s.until("lost", func() bool { return s.deal(lost.ID).State == chain.DealLost })
	if got := s.events(consensus.EventSectorFaulty, func(e *consensus.Event) bool { return e.Miner == dead.ID }); len(got) != 1 {
		t.Errorf("faults of the dead miner: %+v", got)
	}
	burnt := s.events(consensus.EventSectorEnded, func(e *consensus.Event) bool { return e.Miner == dead.ID && e.Reason == "lost" })
	if len(burnt) != 1 || burnt[0].Amount.IsZero() {
		t.Errorf("losses of the dead miner: %+v", burnt)
	}
	var next *chain.Deal
	s.until("repaired", func() bool {
		for id := ids[1] + 1; id < s.global().NextDeal; id++ {
			if d := s.deal(id); d.State == chain.DealActive {
				next = d
			}
		}
		return next != nil
	})
	if next.Miner == lost.Miner || next.Miner == s.deal(ids[1]).Miner || next.Succeeds == nil || next.Succeeds.Deal != lost.ID {
		t.Fatalf("the new copy is %+v", next)
	}
	repairer := s.minerWith(next.Miner)
	s.until("proven", func() bool { return s.proven(repairer, next.Sector) >= 1 })
	repaid := s.events(consensus.EventFetchRepaid, func(e *consensus.Event) bool { return e.Miner == repairer.ID })
	if len(repaid) != 1 || repaid[0].Amount.IsZero() {
		t.Errorf("allowances: %+v", repaid)
	}
	s.until("the seller has redeemed", func() bool { return !s.redeemed().IsZero() })
	s.check()
	for _, m := range []*Miner{dead, repairer} {
		if _, err := os.Stat(filepath.Join(m.Home, "pieces", lost.PieceCID.String()+".car")); err != nil {
			t.Errorf("miner %d has no piece: %v", m.ID, err)
		}
	}
}

// minerWith is the miner of an ID.
func (s *stage) minerWith(id chain.MinerID) *Miner {
	s.t.Helper()
	for _, m := range s.Miners {
		if m.ID == id {
			return m
		}
	}
	s.t.Fatalf("no miner %d here", id)
	return nil
}
