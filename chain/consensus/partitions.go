package consensus

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/post"
)

// place names a partition.
type place struct {
	miner           chain.MinerID
	deadline, index uint64
}

func placeOf(sec *chain.Sector) place { return place{sec.Miner, sec.Deadline, sec.Partition} }

func (at place) key() chain.Key { return chain.PartitionKey(at.miner, at.deadline, at.index) }

// item is the queue item that closes the partition's windows.
func (at place) item() chain.QueueItem {
	return chain.QueueItem{Owner: at.miner, ID: at.deadline<<32 | at.index}
}

func slotBit(sec *chain.Sector) uint64 { return 1 << sec.Slot }

// partition loads a partition for a message, with every window that is over
// closed: a block that had too much to close may have left some. What it
// returns is changed before miner and sector records are loaded, never after.
func (s *state) partition(at place) (*chain.Partition, error) {
	if err := s.catchUp(at, s.global.Height-1); err != nil {
		return nil, err
	}
	part := new(chain.Partition)
	if !s.load(at.key(), part) {
		return nil, refuse(CodeFailed, "deadline %d has no partition %d", at.deadline, at.index)
	}
	return part, nil
}

// changeMiner changes a miner's record. Money functions and hooks write that
// record too: nobody keeps a copy of it across them.
func (s *state) changeMiner(id chain.MinerID, change func(*chain.Miner) error) error {
	m, err := s.miner(id)
	if err != nil {
		return err
	}
	if err := change(m); err != nil {
		return err
	}
	s.store(chain.MinerKey(id), m)
	return nil
}

// sectorSize is the bytes of a sector, which are its power.
func sectorSize(proof abi.RegisteredSealProof) (uint64, error) {
	p, err := porep.ParamsOf(proof)
	if err != nil {
		return 0, err
	}
	return p.SectorSize(), nil
}

// addPower gives the power of so many sectors to their miner.
func (s *state) addPower(m *chain.Miner, sectors uint64) error {
	size, err := sectorSize(m.SealProof)
	m.Power += sectors * size
	s.global.Power += sectors * size
	s.powerChanged(m)
	return err
}

// takePower takes the power of so many sectors from their miner.
func (s *state) takePower(m *chain.Miner, sectors uint64) error {
	size, err := sectorSize(m.SealProof)
	m.Power -= sectors * size
	s.global.Power -= sectors * size
	s.powerChanged(m)
	return err
}

// lastWindow is the last height of the first window of a deadline that opens at
// or after h: a proof accepted there covers h.
func (s *state) lastWindow(m *chain.Miner, deadline uint64, h chain.Height) chain.Height {
	d, _ := s.params.Schedule().Next(uint64(m.PeriodStart), deadline, uint64(h))
	return chain.Height(d.Close - 1)
}

// provenThrough is the last height up to which accepted proofs cover a sector
// without a gap since sec.PaidThrough: an active sector's partition's last proof,
// nothing beyond what is settled for any other.
func (s *state) provenThrough(sec *chain.Sector) chain.Height {
	var part chain.Partition
	if sec.State != chain.SectorActive || !s.load(placeOf(sec).key(), &part) {
		return sec.PaidThrough
	}
	return max(sec.PaidThrough, part.ProvenThrough)
}

// proofEnvelope is what a window proof's message has around its proof, at most, in bytes.
const proofEnvelope = 512

// sectorLoad is the room that one sector takes in the proof lane once a period,
// in bytes: its openings if they share nothing, and an envelope as if it were
// alone in its partition; or, if that is more, the bytes whose share of the lane
// equals that of the units of checking it.
func (p *Params) sectorLoad(proof abi.RegisteredSealProof) (uint64, error) {
	window, err := post.WindowProof(proof)
	if err != nil {
		return 0, err
	}
	size, err := post.MaxProofSize(window, 1, int(p.WindowChallenges))
	if err != nil {
		return 0, err
	}
	units := p.windowUnits(proof, 1) + p.UnitSignature + p.UnitWrite
	asBytes := chain.Atto(units)
	if asBytes, err = asBytes.MulDivCeil(p.ProofLaneBytes(), max(1, p.ProofLaneUnits())); err != nil {
		return 0, err
	}
	return max(uint64(size)+proofEnvelope, asBytes.Big().Uint64()), nil
}

// slotRoom is how many bytes of proofs may be due in windows that open within
// the same Window blocks of a period: half of what the proof lane carries in a
// window. Windows of two neighbouring slots overlap, so that at most two slots'
// proofs, a full lane, are ever due together; where they do not, the other half
// is for what is sent twice.
func (p *Params) slotRoom() uint64 { return p.Window * p.ProofLaneBytes() / 2 }

// slotOf is the slot of the period in which a deadline's windows open:
// floor(opening height mod Period / Window), the same in every period.
func (p *Params) slotOf(m *chain.Miner, deadline uint64) uint64 {
	return (uint64(m.PeriodStart) + deadline*p.Window) % p.Period() / p.Window
}

// addLoad books a sector into the proof lane and reports whether there is room.
func (s *state) addLoad(m *chain.Miner, deadline uint64) (bool, error) {
	cost, err := s.params.sectorLoad(m.SealProof)
	if err != nil {
		return false, err
	}
	slot := s.params.slotOf(m, deadline)
	load := slices.Clone(s.global.ProofLoad) // a dropped message's savepoint shares the old one
	for uint64(len(load)) < s.params.Deadlines {
		load = append(load, 0)
	}
	if load[slot]+cost > s.params.slotRoom() {
		return false, nil
	}
	load[slot] += cost
	s.global.ProofLoad = load
	return true, nil
}

func (s *state) dropLoad(m *chain.Miner, deadline uint64) error {
	cost, err := s.params.sectorLoad(m.SealProof)
	if err != nil {
		return err
	}
	load := slices.Clone(s.global.ProofLoad)
	load[s.params.slotOf(m, deadline)] -= cost
	s.global.ProofLoad = load
	return nil
}

// assign gives a sector its place: the least loaded of the deadlines of its
// miner whose next window opens after the fault cut-off, of equal ones the next
// to open, that the proof lane has room for; in it the last partition if it has a
// slot left, or else a new one. It changes m, which the caller stores.
func (s *state) assign(m *chain.Miner, sec *chain.Sector) error {
	for uint64(len(m.Deadlines)) < s.params.Deadlines {
		m.Deadlines = append(m.Deadlines, 0)
	}
	for uint64(len(m.Partitions)) < s.params.Deadlines {
		m.Partitions = append(m.Partitions, 0)
	}
	for _, d := range s.openDeadlines(m) {
		room, err := s.addLoad(m, d.Index)
		if err != nil {
			return err
		}
		if room {
			s.seat(m, sec, d)
			return nil
		}
	}
	return refuse(CodeFailed, "the proof lane has no room for another sector of %s: no deadline of it can take one now",
		chain.FormatMiner(m.ID, s.params.Network))
}

// openDeadlines lists the next windows of the deadlines that still take sectors, best first.
func (s *state) openDeadlines(m *chain.Miner) []post.Deadline {
	var out []post.Deadline
	schedule, start, now := s.params.Schedule(), uint64(m.PeriodStart), uint64(s.global.Height)
	open, any := schedule.At(start, now)
	for i := range s.params.Deadlines {
		d, ok := schedule.Next(start, i, now)
		if !ok || any && open.Index == i || now >= d.Cutoff {
			continue
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b post.Deadline) int {
		return cmp.Or(cmp.Compare(m.Deadlines[a.Index], m.Deadlines[b.Index]), cmp.Compare(a.Open, b.Open))
	})
	return out
}

// seat puts a sector into the deadline's last partition, or a new one.
func (s *state) seat(m *chain.Miner, sec *chain.Sector, d post.Deadline) {
	at := place{m.ID, d.Index, m.Partitions[d.Index]}
	part := new(chain.Partition)
	if at.index > 0 {
		last := place{m.ID, d.Index, at.index - 1}
		if s.load(last.key(), part) && len(part.Sectors) < chain.PartitionSectors {
			at = last
		} else {
			part = new(chain.Partition)
		}
	}
	if at.index == m.Partitions[d.Index] {
		m.Partitions[d.Index]++
	}
	m.Deadlines[d.Index]++
	sec.Deadline, sec.Partition, sec.Slot = at.deadline, at.index, uint64(len(part.Sectors))
	part.Sectors = append(part.Sectors, sec.Number)
	part.Live |= slotBit(sec)
	if part.Closes == 0 {
		part.Closes = chain.Height(d.Close - 1)
		s.enqueue(chain.QueueDeadlineClose, part.Closes, at.item())
	}
	s.store(at.key(), part)
}

// unseat takes a sector out of its partition, the proof lane and its miner's
// counts: its power and pledge are no more. The caller stores the partition and
// the sector, whose State says what it was until now.
func (s *state) unseat(sec *chain.Sector, part *chain.Partition) error {
	part.Live &^= slotBit(sec)
	part.Faulty &^= slotBit(sec)
	part.Recovering &^= slotBit(sec)
	part.Charged &^= slotBit(sec)
	return s.changeMiner(sec.Miner, func(m *chain.Miner) (err error) {
		if sec.State == chain.SectorFaulty {
			m.Faulty--
		} else if err := s.takePower(m, 1); err != nil {
			return err
		}
		m.Sectors--
		m.Deadlines[sec.Deadline]--
		if m.Pledge, err = m.Pledge.Sub(sec.Pledge); err != nil {
			return err
		}
		return s.dropLoad(m, sec.Deadline)
	})
}

// slots calls visit with the sector of every set slot, in order.
func (s *state) slots(miner chain.MinerID, part *chain.Partition, set uint64, visit func(*chain.Sector) error) error {
	for ; set != 0; set &= set - 1 {
		number := part.Sectors[bits.TrailingZeros64(set)]
		sec := new(chain.Sector)
		if !s.load(chain.SectorKey(miner, number), sec) {
			return s.missing("sector %d of miner %d", number, miner)
		}
		if err := visit(sec); err != nil {
			return err
		}
	}
	return nil
}

// missing stops the chain for a record that others name and that is not there:
// no message can bring that about.
func (s *state) missing(format string, args ...any) error {
	err := fmt.Errorf("read state: no "+format, args...)
	if s.broken == nil {
		s.broken = err
	}
	return err
}
