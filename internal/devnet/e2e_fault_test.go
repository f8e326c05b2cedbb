package devnet

import (
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
)

// TestE2EMissedWindow stops a miner over one of its windows: its power goes,
// the sector is faulty and earns nothing; back again it declares the recovery,
// proves, and has its power and its pay again.
func TestE2EMissedWindow(t *testing.T) {
	endToEnd(t)
	s := setStage(t, 1)
	p := s.newPatron()
	_, ids := p.put(some(1500, 1), 1)
	p.serve()
	s.until("active", s.active(ids[0]))
	m, number := s.Miners[0], s.deal(ids[0]).Sector
	s.until("proven", func() bool { return s.proven(m, number) >= 1 })
	if got := s.minerOf(m); got.Power != 2<<10 || s.global().Power != 2<<10 {
		t.Fatalf("power is %d of %d, want all of 2048", got.Power, s.global().Power)
	}

	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	s.until("faulty", func() bool { return s.sector(m, number).State == chain.SectorFaulty })
	if got := s.minerOf(m); got.Power != 0 || got.Faulty != 1 || s.global().Power != 0 {
		t.Errorf("a faulty sector has power %d, miner has %d faulty, network has %d", got.Power, got.Faulty, s.global().Power)
	}
	paid := s.deal(ids[0]).PaidThrough
	fault := s.events(consensus.EventSectorFaulty, func(e *consensus.Event) bool { return e.Miner == m.ID })
	if len(fault) != 1 || fault[0].Reason != "missed" || fault[0].Amount.IsZero() {
		t.Errorf("events of the fault: %+v", fault)
	}

	if err := m.Start(s.ctx, s.chain.Base()); err != nil {
		t.Fatal(err)
	}
	s.until("recovered", func() bool { return s.sector(m, number).State == chain.SectorActive })
	back := s.sector(m, number).PaidThrough
	if got := s.minerOf(m); got.Power != 2<<10 || got.Faulty != 0 || s.global().Power != 2<<10 {
		t.Errorf("recovered with power %d, %d faulty, network has %d", got.Power, got.Faulty, s.global().Power)
	}
	if back <= paid {
		t.Errorf("pay goes on from %d, it stopped at %d", back, paid)
	}
	before := s.proven(m, number)
	s.until("proven again", func() bool { return s.proven(m, number) > before })
	s.check()
}
