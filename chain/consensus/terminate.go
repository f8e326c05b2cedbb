package consensus

import "github.com/perdure/perdure/chain"

// terminateUnits counts sector, partition, miner and the item that lets go of
// the sector, and each deal with its client, its copies and the bid for its repair.
func terminateUnits(s *state, b *chain.TerminateSectors) uint64 {
	writes := uint64(1)
	for _, n := range b.Sectors {
		var sec chain.Sector
		s.load(chain.SectorKey(b.Miner, n), &sec)
		writes += 4 + (settleWrites+orderWrites)*uint64(len(sec.Pieces))
	}
	return writes * s.params.UnitWrite
}

// applyTerminate ends sectors before their term, all or none.
func applyTerminate(s *state, m *chain.Message, b *chain.TerminateSectors) (uint64, error) {
	return 0, s.declare(m, b.Miner, b.Sectors, func(sec *chain.Sector, part *chain.Partition, _ bool) error {
		return s.terminate(sec, part)
	})
}

// terminate ends a live sector for the published price: TerminationBurn percent
// of its pledge. That is less than a loss costs, so that whoever cannot keep a
// sector says so at once. Its deals are lost all the same: the client was
// promised the whole term. The caller stores part.
func (s *state) terminate(sec *chain.Sector, part *chain.Partition) error {
	if err := s.settle(sec, s.provenThrough(sec)); err != nil {
		return err
	}
	if err := s.unseat(sec, part); err != nil {
		return err
	}
	burned, err := sec.Pledge.MulDiv(s.params.TerminationBurn, 100)
	if err != nil {
		return err
	}
	left, err := sec.Pledge.Sub(burned)
	if err != nil {
		return err
	}
	if err := s.burnLocked(burned); err != nil {
		return err
	}
	if err := s.releasePledge(sec.Miner, left); err != nil {
		return err
	}
	sec.State, sec.Pledge, sec.FaultSince = chain.SectorTerminated, chain.Amount{}, 0
	s.storeEnded(sec)
	s.emit(Event{Kind: EventSectorEnded, Miner: sec.Miner, Sector: sec.Number, Amount: burned, Reason: "terminated"})
	return s.loseDeals(sec)
}

func extendUnits(s *state, b *chain.ExtendSectors) uint64 {
	return (1 + 3*uint64(len(b.Sectors))) * s.params.UnitWrite
}

// applyExtend moves the expiration of active sectors to a later height, all or
// none. A sector can be extended again and again; its queue item for the earlier
// height finds that it is not due.
func applyExtend(s *state, m *chain.Message, b *chain.ExtendSectors) (uint64, error) {
	miner, err := s.workerOf(m, b.Miner)
	if err != nil {
		return 0, err
	}
	if len(b.Sectors) == 0 {
		return 0, refuse(CodeFailed, "no sectors named")
	}
	most := s.global.Height + chain.Height(s.params.MaxSectorLife)
	for _, n := range b.Sectors {
		sec, err := s.liveSector(b.Miner, n)
		if err != nil {
			return 0, err
		}
		switch {
		case sec.State != chain.SectorActive:
			return 0, refuse(CodeFailed, "sector %d is faulty: let it recover first", n)
		case s.lastWindow(miner, sec.Deadline, sec.Expiration) < s.global.Height:
			return 0, refuse(CodeFailed, "sector %d: its term is over", n)
		case b.Expiration <= sec.Expiration || b.Expiration > most:
			return 0, refuse(CodeFailed, "sector %d: expiration %d, want %d to %d", n, b.Expiration, sec.Expiration+1, most)
		}
		sec.Expiration = b.Expiration
		s.store(chain.SectorKey(b.Miner, n), sec)
		s.enqueue(chain.QueueSectorExpire, s.lastWindow(miner, sec.Deadline, sec.Expiration), chain.QueueItem{Owner: b.Miner, ID: n})
		s.emit(Event{Kind: EventSectorExtended, Miner: b.Miner, Sector: n, Index: uint64(b.Expiration)})
	}
	return 0, nil
}
