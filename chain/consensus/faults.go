package consensus

import (
	"math/bits"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/post"
)

// grade says how a fault came to light. In each the sector's power is gone at
// once and its deals earn nothing; a worse grade costs more.
type grade int

// The grades, from the best to the worst.
const (
	gradeDeclared grade = iota // before the cut-off, or faulty since a window before
	gradeSkipped               // left out of a window proof
	gradeLate                  // declared after the cut-off
	gradeMissed                // no proof came
)

// String returns the reason that events give.
func (g grade) String() string {
	return [...]string{"declared", "skipped", "declared late", "missed"}[g]
}

// fee is what a fault of this grade costs, per GiB of sector, if the budget does
// not cover it.
func (g grade) fee(p *Params) chain.Amount {
	switch g {
	case gradeDeclared:
		return p.StandingFee
	case gradeMissed:
		return p.FaultFee
	}
	return p.SkipFee
}

// weight is what a fault of this grade takes of the budget if that covers it:
// worse ones cost more there too.
func (g grade) weight() uint64 { return [...]uint64{1, 2, 2, 4}[g] }

// fail makes active sectors of a partition, those in the slots of set, faulty.
// Their deals are settled for the heights that proofs cover so far; part still
// says which those are. The caller stores part.
//
// What was declared in time is paid for when the window closes that it is not
// proven in; every other fault at once, and not again at that close. Returned are
// the slots that earlier faults count against.
func (s *state) fail(at place, part *chain.Partition, set uint64, g grade) (again uint64, err error) {
	if set == 0 {
		return 0, nil
	}
	err = s.slots(at.miner, part, set, func(sec *chain.Sector) error {
		err := s.failOne(sec, part)
		if sec.FaultSince < s.global.Height {
			again |= slotBit(sec)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	part.Faulty |= set
	count := uint64(bits.OnesCount64(set))
	err = s.changeMiner(at.miner, func(m *chain.Miner) error {
		if open, ok := s.params.Schedule().At(uint64(m.PeriodStart), uint64(s.global.Height)); g != gradeDeclared || ok && open.Index == at.deadline {
			part.Charged |= set
		}
		m.Faulty += count
		return s.takePower(m, count)
	})
	if err != nil {
		return 0, err
	}
	covered, fee := count, chain.Amount{}
	if g != gradeDeclared {
		if covered, fee, err = s.fine(at.miner, count, g); err != nil {
			return 0, err
		}
	}
	for i := uint64(0); set != 0; set, i = set&(set-1), i+1 {
		e := Event{Kind: EventSectorFaulty, Miner: at.miner, Sector: part.Sectors[bits.TrailingZeros64(set)], Reason: g.String()}
		if i >= covered {
			e.Amount = fee
		}
		s.emit(e)
	}
	return again, nil
}

// failOne settles a sector and writes it as faulty. What is not forgiven yet of
// earlier faults counts as if it were part of this one, so that nobody dodges
// the loss by a proof now and then.
func (s *state) failOne(sec *chain.Sector, part *chain.Partition) error {
	healthy := uint64(s.global.Height - sec.PaidThrough) // since it was activated or recovered
	carried := sec.FaultAge - min(sec.FaultAge, healthy/s.params.FaultForgive)
	if err := s.settle(sec, max(sec.PaidThrough, part.ProvenThrough)); err != nil {
		return err
	}
	sec.State, sec.FaultSince, sec.FaultAge = chain.SectorFaulty, s.global.Height-chain.Height(carried), 0
	s.store(chain.SectorKey(sec.Miner, sec.Number), sec)
	return nil
}

// fine charges a miner for count faults of a grade: as many as its budget covers
// are taken from that, each of the others costs the fee.
func (s *state) fine(id chain.MinerID, count uint64, g grade) (covered uint64, fee chain.Amount, err error) {
	err = s.changeMiner(id, func(m *chain.Miner) error {
		size, err := sectorSize(m.SealProof)
		if err != nil {
			return err
		}
		covered = s.spendBudget(m, count, g.weight())
		fee, err = chain.PerGiB(g.fee(s.params), size)
		return err
	})
	if err != nil || covered == count {
		return covered, fee, err
	}
	sum, err := fee.Mul(count - covered)
	if err != nil {
		sum = chain.MaxAmount()
	}
	_, err = s.penalize(id, sum)
	return covered, fee, err
}

// fineStanding charges for sectors of a partition that were faulty, and known to
// be, all through a window that closes.
func (s *state) fineStanding(at place, set uint64) error {
	if set == 0 {
		return nil
	}
	count := uint64(bits.OnesCount64(set))
	covered, fee, err := s.fine(at.miner, count, gradeDeclared)
	if err != nil {
		return err
	}
	sum, err := fee.Mul(count - covered)
	if err != nil {
		sum = chain.MaxAmount()
	}
	s.emit(Event{Kind: EventSectorsFined, Miner: at.miner, Index: count, Amount: sum})
	return nil
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
// to and including this one earn nothing. The caller stores part and counts the
// sector's power.
func (s *state) recover(sec *chain.Sector, part *chain.Partition) {
	sec.FaultAge = uint64(s.global.Height - sec.FaultSince)
	sec.State, sec.FaultSince, sec.PaidThrough = chain.SectorActive, 0, s.global.Height
	s.store(chain.SectorKey(sec.Miner, sec.Number), sec)
	part.Faulty &^= slotBit(sec)
	part.Recovering &^= slotBit(sec)
	part.Charged &^= slotBit(sec)
	s.emit(Event{Kind: EventSectorRecovered, Miner: sec.Miner, Sector: sec.Number})
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
	s.storeEnded(sec)
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
			_, err := s.fail(placeOf(sec), part, slotBit(sec), gradeLate)
			return err
		case sec.State == chain.SectorActive:
			_, err := s.fail(placeOf(sec), part, slotBit(sec), gradeDeclared)
			return err
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
