package consensus

import (
	"math/bits"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/post"
)

// windowProofUnits is what checking the proof of every live sector of the
// partition that is not skipped costs, and what a right one writes.
func windowProofUnits(s *state, b *chain.SubmitWindowProof) uint64 {
	var m chain.Miner
	var part chain.Partition
	if !s.load(chain.MinerKey(b.Miner), &m) || !s.load(place{b.Miner, b.Deadline, b.Partition}.key(), &part) {
		return 0 // refused before anything is done
	}
	proven := uint64(bits.OnesCount64(part.Live &^ b.Skipped))
	changed := uint64(bits.OnesCount64(part.Recovering | part.Live&b.Skipped))
	return s.params.windowUnits(m.SealProof, proven) + (5+2*changed)*s.params.UnitWrite
}

// applyWindowProof takes the proof of one partition. That the window is open
// and not proven yet was checked before the fee was taken.
func applyWindowProof(s *state, _ *chain.Message, b *chain.SubmitWindowProof) (uint64, error) {
	at := place{b.Miner, b.Deadline, b.Partition}
	part, err := s.partition(at)
	if err != nil {
		return 0, err
	}
	m, err := s.miner(b.Miner)
	if err != nil {
		return 0, err
	}
	open, _ := s.params.Schedule().At(uint64(m.PeriodStart), uint64(s.global.Height))
	if b.Skipped&^part.Live != 0 {
		return 0, refuse(CodeFailed, "skipped names slots that hold no live sector")
	}
	proven := part.Provable() &^ b.Skipped
	if proven == 0 {
		return 0, refuse(CodeFailed, "every sector of deadline %d partition %d is faulty or skipped: nothing to prove",
			b.Deadline, b.Partition)
	}
	if err := s.checkWindowProof(m, part, open, proven, b); err != nil {
		return 0, err
	}
	if err := s.acceptWindowProof(at, part, open, proven, b.Skipped); err != nil {
		return 0, err
	}
	key := chain.ReplayKey(b)
	s.store(key, &chain.Empty{Present: true})
	s.enqueue(chain.QueueReplayForget, chain.Height(open.Close-1), chain.QueueItem{Key: []byte(key.ID)})
	return 0, nil
}

// checkWindowProof verifies the proof of the sectors in the slots proven.
func (s *state) checkWindowProof(m *chain.Miner, part *chain.Partition, open post.Deadline, proven uint64, b *chain.SubmitWindowProof) error {
	beacon, err := s.beacon(chain.Height(open.Challenge))
	if err != nil {
		return err
	}
	check := &WindowCheck{
		SealProof:  m.SealProof,
		Randomness: WindowRandomness(beacon, m.ID, open.Index),
		Challenges: s.params.WindowChallenges,
	}
	err = s.slots(m.ID, part, proven, func(sec *chain.Sector) error {
		check.Sectors = append(check.Sectors, WindowSector{Number: sec.Number, CommR: sec.CommR})
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.verify.WindowProof(check, b.Proof); err != nil {
		return refuse(CodeFailed, "window proof: %v", err)
	}
	return nil
}

// acceptWindowProof books what an accepted proof does: skipped sectors become
// faulty, recovering ones are whole again, the rest is proven up to and
// including this height. Pay is not touched: it follows from ProvenThrough.
func (s *state) acceptWindowProof(at place, part *chain.Partition, open post.Deadline, proven, skipped uint64) error {
	if _, err := s.fail(at, part, skipped&^part.Faulty, gradeSkipped); err != nil {
		return err
	}
	part.Recovering &^= skipped
	if err := s.releaseReward(at, part, proven); err != nil {
		return err
	}
	part.ProvenPeriods, part.ProvenThrough = open.Period+1, s.global.Height
	recovered := uint64(bits.OnesCount64(proven & part.Faulty))
	err := s.slots(at.miner, part, proven&part.Faulty, func(sec *chain.Sector) error {
		s.recover(sec, part)
		return nil
	})
	if err != nil {
		return err
	}
	for set := proven; set != 0; set &= set - 1 {
		s.emit(Event{Kind: EventSectorProven, Miner: at.miner, Sector: part.Sectors[bits.TrailingZeros64(set)], Index: open.Period})
	}
	s.store(at.key(), part)
	return s.changeMiner(at.miner, func(m *chain.Miner) error {
		m.Faulty -= recovered
		s.earnBudget(m, uint64(bits.OnesCount64(proven)))
		return s.addPower(m, recovered)
	})
}

// closeDeadline is due at the last height of a partition's window.
func (s *state) closeDeadline(item *chain.QueueItem) error {
	return s.catchUp(place{item.Owner, item.ID >> 32, item.ID & (1<<32 - 1)}, s.global.Height)
}

// catchUp closes the windows of a partition whose last height is through or
// before. A queue item whose window is closed already finds nothing to do.
func (s *state) catchUp(at place, through chain.Height) error {
	for {
		part := new(chain.Partition)
		if !s.load(at.key(), part) || part.Closes > through {
			return nil
		}
		if err := s.closeWindow(at, part); err != nil {
			return err
		}
	}
}

// closeWindow closes one window: sectors that it should have proven and did not
// become faulty, recoveries that were not proven lapse, what was faulty before is
// fined, and sectors that have been faulty for FaultMaxAge periods are lost. The
// next one is queued while there is a sector left; a partition without any goes.
func (s *state) closeWindow(at place, part *chain.Partition) error {
	m, err := s.miner(at.miner)
	if err != nil {
		return err
	}
	open, _ := s.params.Schedule().At(uint64(m.PeriodStart), uint64(part.Closes))
	standing, aged := part.Faulty&^part.Charged, part.Faulty
	if part.ProvenPeriods <= open.Period {
		again, err := s.missWindow(at, part, open)
		if err != nil {
			return err
		}
		aged |= again
	}
	if err := s.fineStanding(at, standing); err != nil {
		return err
	}
	part.Charged = 0
	if err := s.loseAged(at, part, aged); err != nil {
		return err
	}
	if part.Live == 0 { // its index is spent, nothing names it any more
		s.remove(at.key())
		return nil
	}
	part.Closes += chain.Height(s.params.Period())
	s.enqueue(chain.QueueDeadlineClose, part.Closes, at.item())
	s.store(at.key(), part)
	return nil
}

// missWindow makes faulty what an unproven window should have proven, and
// returns those of it that older faults count against.
func (s *state) missWindow(at place, part *chain.Partition, open post.Deadline) (again uint64, err error) {
	due := part.Provable()
	part.Recovering = 0
	if due == 0 {
		part.ProvenPeriods = open.Period + 1
		return 0, nil
	}
	missed := due &^ part.Faulty
	if s.global.Height > part.Closes { // sectors that came while the close was waiting have their first window ahead
		err := s.slots(at.miner, part, missed, func(sec *chain.Sector) error {
			if sec.Activated >= chain.Height(open.Open) {
				missed &^= slotBit(sec)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return s.fail(at, part, missed, gradeMissed)
}

// loseAged ends the sectors in some slots of a partition that were faulty for too long.
func (s *state) loseAged(at place, part *chain.Partition, set uint64) error {
	age := chain.Height(s.params.FaultMaxAge * s.params.Period())
	return s.slots(at.miner, part, set, func(sec *chain.Sector) error {
		if s.global.Height-sec.FaultSince < age {
			return nil
		}
		return s.lose(sec, part)
	})
}
