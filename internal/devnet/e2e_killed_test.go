package devnet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner"
	"github.com/perdure/perdure/miner/sector"
)

// TestE2EMinerStopped stops the only miner in each phase of a deal while the
// chain stands still, lets blocks pass without it, and starts it again from its
// records: every deal becomes active, in a sector of its own that was
// pre-committed and proven once, and what is paid is what proofs covered.
func TestE2EMinerStopped(t *testing.T) {
	endToEnd(t)
	s := setStage(t, 1)
	p, m := s.newPatron(), s.Miners[0]
	stop := func() {}
	dealIs := func(want miner.DealState) func(uint64) bool {
		return func(id uint64) bool { d := s.minerDeal(m, id); return d != nil && d.State == want }
	}
	sectorIs := func(id uint64, states ...sector.State) *miner.Sector {
		for _, rec := range s.minerSectors(m) {
			for _, state := range states {
				if rec.State == state && rec.Pieces[0].Deal == id {
					return rec
				}
			}
		}
		return nil
	}
	phases := []struct {
		name  string
		serve bool // the client hands the piece over before
		in    func(id uint64) bool
	}{
		{"fetching", false, dealIs(miner.DealFetching)},
		{"fetched", true, dealIs(miner.DealFetched)},
		{"accepted", true, dealIs(miner.DealAccepted)},
		{"sealing", true, func(id uint64) bool { return sectorIs(id, sector.Packed, sector.Sealed) != nil }},
		{"pre-committed", true, func(id uint64) bool { return sectorIs(id, sector.Committed) != nil }},
		{"proving", true, func(id uint64) bool { // the seed is known, the proof not in a block
			rec := sectorIs(id, sector.Committed)
			if rec == nil {
				return false
			}
			on, ok := find[chain.Sector](s, chain.SectorKey(m.ID, rec.Number))
			return ok && s.Height() >= on.SeedHeight
		}},
		{"active", true, func(id uint64) bool { return s.deal(id).State == chain.DealActive }},
		{"window open", true, func(id uint64) bool {
			if s.deal(id).State != chain.DealActive {
				return false
			}
			open, ok := s.Params.Schedule().At(uint64(s.minerOf(m).PeriodStart), uint64(s.Height()+1))
			return ok && open.Index == s.sector(m, s.deal(id).Sector).Deadline
		}},
	}
	var ids []uint64
	for i, phase := range phases {
		stop()
		if phase.serve {
			stop = p.serve()
		}
		_, got := p.put(some(600, byte(i)), 1) // not a full sector: it waits for others
		id := got[0]
		ids = append(ids, id)
		s.until(phase.name, func() bool { return phase.in(id) })
		if err := m.Stop(); err != nil {
			t.Fatal(err)
		}
		s.blocks(3)
		if err := m.Start(s.ctx, s.chain.Base()); err != nil {
			t.Fatal(err)
		}
		if !phase.serve {
			stop = p.serve()
		}
		s.until(phase.name+": active", s.active(id))
	}
	for _, id := range ids {
		number := s.deal(id).Sector
		s.until("proven twice", func() bool { return s.proven(m, number) >= 2 })
	}
	s.once(m, ids)
	s.check()
}

// once checks that a miner did everything for its deals once.
func (s *stage) once(m *Miner, ids []uint64) {
	s.t.Helper()
	mine := func(e *consensus.Event) bool { return e.Miner == m.ID }
	for _, kind := range []consensus.EventKind{consensus.EventDealMatched, consensus.EventDealAccepted,
		consensus.EventSectorCommitted, consensus.EventSectorActive, consensus.EventDealActive} {
		if got := s.events(kind, mine); len(got) != len(ids) {
			s.t.Errorf("%d times %s, want %d: %+v", len(got), kind, len(ids), got)
		}
	}
	for _, kind := range []consensus.EventKind{consensus.EventSectorFaulty, consensus.EventSectorEnded, consensus.EventDealEnded} {
		if got := s.events(kind, mine); len(got) != 0 {
			s.t.Errorf("%d times %s: %+v", len(got), kind, got)
		}
	}
	dirs, err := os.ReadDir(filepath.Join(m.Home, "sectors"))
	if err != nil || len(dirs) != len(ids) {
		s.t.Errorf("%d sector directories, %v, want %d", len(dirs), err, len(ids))
	}
	seen := map[uint64]bool{}
	for _, id := range ids {
		d := s.deal(id)
		if seen[d.Sector] {
			s.t.Errorf("sector %d has two deals", d.Sector)
		}
		seen[d.Sector] = true
		var paid []chain.Amount
		for _, e := range s.events(consensus.EventDealPaid, func(e *consensus.Event) bool { return e.Deal == id }) {
			paid = append(paid, e.Amount)
		}
		sum, err := chain.Sum(append(paid, d.Unspent)...)
		if err != nil || sum != d.Total {
			s.t.Errorf("deal %d: paid and unspent are %s of %s, %v", id, sum, d.Total, err)
		}
	}
}
