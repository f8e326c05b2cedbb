package consensus

import (
	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/post"
)

// grade says how a fault came to light. In each the sector's power is gone at
// once and its deals earn nothing; a worse grade costs a higher fee.
type grade int

// The grades, from the best to the worst.
const (
	gradeDeclared grade = iota // before the cut-off
	gradeSkipped               // left out of a window proof
	gradeLate                  // declared after the cut-off
	gradeMissed                // no proof came
)

// String returns the reason that events give.
func (g grade) String() string {
	return [...]string{"declared", "skipped", "declared late", "missed"}[g]
}

// fee is what a fault of this grade costs, per GiB of sector.
func (g grade) fee(p *Params) chain.Amount {
	switch g {
	case gradeDeclared:
		return chain.Amount{}
	case gradeMissed:
		return p.FaultFee
	}
	return p.SkipFee
}

// fail makes an active sector faulty. Its deals are settled for the heights that
// proofs cover so far; part still says which those are. The caller stores part.
func (s *state) fail(sec *chain.Sector, part *chain.Partition, g grade) error {
	if err := s.settle(sec, max(sec.PaidThrough, part.ProvenThrough)); err != nil {
		return err
	}
	sec.State, sec.FaultSince = chain.SectorFaulty, s.global.Height
	s.store(chain.SectorKey(sec.Miner, sec.Number), sec)
	part.Faulty |= slotBit(sec)
	err := s.changeMiner(sec.Miner, func(m *chain.Miner) error {
		m.Faulty++
		return s.takePower(m)
	})
	if err != nil {
		return err
	}
	fee, err := s.chargeFault(sec, g)
	s.emit(Event{Kind: EventSectorFaulty, Miner: sec.Miner, Sector: sec.Number, Amount: fee, Reason: g.String()})
	return err
}

// chargeFault fines the miner for a fault and returns the fee.
func (s *state) chargeFault(sec *chain.Sector, g grade) (chain.Amount, error) {
	size, err := sectorSize(sec.SealProof)
	if err != nil {
		return chain.Amount{}, err
	}
	fee, err := chain.PerGiB(g.fee(s.params), size)
	if err != nil || fee.IsZero() {
		return chain.Amount{}, err
	}
	_, err = s.penalize(sec.Miner, fee)
	return fee, err
}

// settle releases the pay of a sector's deals for the heights up to and
// including through, and notes it. The caller stores the sector.
func (s *state) settle(sec *chain.Sector, through chain.Height) error {
	if err := s.settleSectorDeals(sec, through); err != nil {
		return err
	}
	sec.PaidThrough = through
	return nil
}

// recover makes a faulty sector active again by an accepted proof. Heights up
// to and including this one earn nothing. The caller stores part.
func (s *state) recover(sec *chain.Sector, part *chain.Partition) error {
	sec.State, sec.FaultSince, sec.PaidThrough = chain.SectorActive, 0, s.global.Height
	s.store(chain.SectorKey(sec.Miner, sec.Number), sec)
	part.Faulty &^= slotBit(sec)
	part.Recovering &^= slotBit(sec)
	s.emit(Event{Kind: EventSectorRecovered, Miner: sec.Miner, Sector: sec.Number})
	return s.changeMiner(sec.Miner, func(m *chain.Miner) error {
		m.Faulty--
		return s.addPower(m)
	})
}

// lose ends a sector that was faulty for too long: its pledge is burned and its
// deals are lost. The caller stores part.
func (s *state) lose(sec *chain.Sector, part *chain.Partition) error {
	if err := s.unseat(sec, part); err != nil {
		return err
	}
	if err := s.burnLocked(sec.Pledge); err != nil {
		return err
	}
	s.emit(Event{Kind: EventSectorEnded, Miner: sec.Miner, Sector: sec.Number, Amount: sec.Pledge, Reason: "lost"})
	sec.State, sec.Pledge = chain.SectorLost, chain.Amount{}
	s.store(chain.SectorKey(sec.Miner, sec.Number), sec)
	return s.loseDeals(sec)
}

func declareFaultsUnits(s *state, b *chain.DeclareFaults) uint64 {
	return declareUnits(s, b.Sectors)
}

func declareRecoveriesUnits(s *state, b *chain.DeclareRecoveries) uint64 {
	return declareUnits(s, b.Sectors)
}

// declareUnits counts the sector, its partition and the miner once for each number.
func declareUnits(s *state, numbers []uint64) uint64 {
	return (1 + 3*uint64(len(numbers))) * s.params.UnitWrite
}

// applyDeclareFaults makes active sectors faulty and takes back the recovery of
// faulty ones.
func applyDeclareFaults(s *state, m *chain.Message, b *chain.DeclareFaults) (uint64, error) {
	return 0, s.declare(m, b.Miner, b.Sectors, func(sec *chain.Sector, part *chain.Partition, late bool) error {
		switch {
		case sec.State == chain.SectorActive && late:
			return s.fail(sec, part, gradeLate)
		case sec.State == chain.SectorActive:
			return s.fail(sec, part, gradeDeclared)
		case part.Recovering&slotBit(sec) != 0:
			part.Recovering &^= slotBit(sec)
			return nil
		}
		return refuse(CodeFailed, "sector %d is faulty already", sec.Number)
	})
}

// applyDeclareRecoveries announces that faulty sectors will be proven in the next window.
func applyDeclareRecoveries(s *state, m *chain.Message, b *chain.DeclareRecoveries) (uint64, error) {
	return 0, s.declare(m, b.Miner, b.Sectors, func(sec *chain.Sector, part *chain.Partition, late bool) error {
		switch {
		case sec.State != chain.SectorFaulty:
			return refuse(CodeFailed, "sector %d is not faulty", sec.Number)
		case part.Recovering&slotBit(sec) != 0:
			return refuse(CodeFailed, "sector %d is recovering already", sec.Number)
		case late:
			return refuse(CodeFailed, "sector %d: the cut-off of its next window is over: declare the recovery after it closes",
				sec.Number)
		}
		part.Recovering |= slotBit(sec)
		return nil
	})
}

// declare calls with for each of a worker's live sectors, all or none.
func (s *state) declare(m *chain.Message, miner chain.MinerID, numbers []uint64,
	with func(sec *chain.Sector, part *chain.Partition, late bool) error) error {
	mi, err := s.workerOf(m, miner)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return refuse(CodeFailed, "no sectors named")
	}
	for _, n := range numbers {
		if err := s.declareOne(mi, n, with); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) declareOne(mi *chain.Miner, number uint64, with func(*chain.Sector, *chain.Partition, bool) error) error {
	sec, err := s.liveSector(mi.ID, number)
	if err != nil {
		return err
	}
	part, err := s.partition(placeOf(sec))
	if err != nil {
		return err
	}
	if sec, err = s.liveSector(mi.ID, number); err != nil { // closing a window may have changed it
		return err
	}
	if err := with(sec, part, s.late(mi, sec.Deadline, part)); err != nil {
		return err
	}
	s.store(placeOf(sec).key(), part)
	return nil
}

// liveSector loads an active or faulty sector or refuses.
func (s *state) liveSector(miner chain.MinerID, number uint64) (*chain.Sector, error) {
	sec := new(chain.Sector)
	if !s.load(chain.SectorKey(miner, number), sec) || !sec.Live() {
		return nil, refuse(CodeFailed, "%s has no active or faulty sector %d", chain.FormatMiner(miner, s.params.Network), number)
	}
	return sec, nil
}

// late reports whether the next window that a partition has to prove is open or
// past its cut-off.
func (s *state) late(m *chain.Miner, deadline uint64, part *chain.Partition) bool {
	schedule, start, now := s.params.Schedule(), uint64(m.PeriodStart), uint64(s.global.Height)
	var next post.Deadline
	if open, ok := schedule.At(start, now); ok && open.Index == deadline {
		if part.ProvenPeriods <= open.Period {
			return true
		}
		now = open.Close
	}
	next, _ = schedule.Next(start, deadline, now)
	return uint64(s.global.Height) >= next.Cutoff
}

// workerOf loads the miner that a message of its worker is about, or refuses.
func (s *state) workerOf(m *chain.Message, id chain.MinerID) (*chain.Miner, error) {
	miner, err := s.miner(id)
	if err != nil {
		return nil, err
	}
	if m.From != miner.Keys.Worker {
		return nil, refuse(CodeFailed, "%s is not the worker of %s", chain.FormatAddress(m.From, s.params.Network),
			chain.FormatMiner(id, s.params.Network))
	}
	return miner, nil
}
