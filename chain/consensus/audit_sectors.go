package consensus

import (
	"encoding/binary"
	"slices"

	"github.com/perdure/perdure/chain"
)

// minerCount is what a miner's sectors add up to.
type minerCount struct {
	pledge, deposits       chain.Amount
	sectors, faulty, power uint64
	deadlines              []uint64
	partitions             map[string]*chain.Partition // by ID: the masks that its sectors make
}

// readMiners reads the miners and counts their money.
func (a *audit) readMiners() error {
	a.byID, a.counted = map[chain.MinerID]*chain.Miner{}, map[chain.MinerID]*minerCount{}
	return eachRecord(a, chain.TableMiner, func(_ string, m *chain.Miner) error {
		a.miners = append(a.miners, m)
		a.byID[m.ID] = m
		a.counted[m.ID] = &minerCount{deadlines: make([]uint64, a.params.Deadlines), partitions: map[string]*chain.Partition{}}
		if err := addTo(&a.free, m.Balance); err != nil {
			return err
		}
		return addTo(&a.locked, m.Pledge, m.Deposits, m.Bound)
	})
}

// countSectors counts the sectors of each miner, and what they take of the proof lane.
func (a *audit) countSectors() error {
	load := make([]uint64, a.params.Deadlines)
	err := eachRecord(a, chain.TableSector, func(_ string, sec *chain.Sector) error {
		m, c := a.byID[sec.Miner], a.counted[sec.Miner]
		if m == nil {
			a.wrong("sector %d belongs to miner %d, who is none", sec.Number, sec.Miner)
			return nil
		}
		if err := addTo(&c.pledge, sec.Pledge); err != nil {
			return err
		}
		if err := addTo(&c.deposits, sec.Deposit); err != nil {
			return err
		}
		if !sec.Live() {
			return nil
		}
		if sec.Deadline >= a.params.Deadlines || sec.Slot >= chain.PartitionSectors {
			a.wrong("sector %d of miner %d is in slot %d of deadline %d", sec.Number, sec.Miner, sec.Slot, sec.Deadline)
			return nil
		}
		cost, err := a.params.sectorLoad(sec.SealProof)
		load[a.params.slotOf(m, sec.Deadline)] += cost
		if err != nil {
			return err
		}
		return a.countLive(sec, c)
	})
	for i, need := range load {
		booked := uint64(0)
		if i < len(a.global.ProofLoad) {
			booked = a.global.ProofLoad[i]
		}
		if booked != need || booked > a.params.slotRoom() {
			a.wrong("proof lane slot %d is booked with %d, sectors need %d, room is %d", i, booked, need, a.params.slotRoom())
		}
	}
	return err
}

// countLive counts an active or faulty sector.
func (a *audit) countLive(sec *chain.Sector, c *minerCount) error {
	size, err := sectorSize(sec.SealProof)
	if err != nil {
		return err
	}
	c.sectors++
	c.deadlines[sec.Deadline]++
	if sec.State == chain.SectorFaulty {
		c.faulty++
	} else {
		c.power += size
	}
	if (sec.FaultSince != 0) != (sec.State == chain.SectorFaulty) || sec.PaidThrough < sec.Activated || sec.PaidThrough > a.global.Height {
		a.wrong("sector %d of miner %d is %s, faulty since %d, settled through %d", sec.Number, sec.Miner, sec.State, sec.FaultSince, sec.PaidThrough)
	}
	id := placeOf(sec).key().ID
	part := c.partitions[id]
	if part == nil {
		part = &chain.Partition{Sectors: make([]uint64, chain.PartitionSectors)}
		c.partitions[id] = part
	}
	part.Live |= slotBit(sec)
	if sec.State == chain.SectorFaulty {
		part.Faulty |= slotBit(sec)
	}
	part.Sectors[sec.Slot] = sec.Number
	return nil
}

// checkMiners compares the miners' records with what their sectors add up to,
// and the network's power with theirs.
func (a *audit) checkMiners() error {
	var power uint64
	for _, m := range a.miners {
		c := a.counted[m.ID]
		power += m.Power
		if !m.Debt.IsZero() && !m.Balance.IsZero() {
			a.wrong("miner %d owes %s and has %s free", m.ID, m.Debt, m.Balance)
		}
		if c.pledge != m.Pledge || c.deposits != m.Deposits {
			a.wrong("miner %d records pledge %s and deposits %s, its sectors %s and %s", m.ID, m.Pledge, m.Deposits, c.pledge, c.deposits)
		}
		if m.Sectors != c.sectors || m.Faulty != c.faulty || m.Power != c.power {
			a.wrong("miner %d records %d sectors, %d faulty, power %d; counted %d, %d, %d", m.ID,
				m.Sectors, m.Faulty, m.Power, c.sectors, c.faulty, c.power)
		}
		if len(m.Deadlines) > 0 && !slices.Equal(m.Deadlines, c.deadlines) {
			a.wrong("miner %d records sectors in deadlines %v, counted %v", m.ID, m.Deadlines, c.deadlines)
		}
	}
	if power != a.global.Power {
		a.wrong("miners have power %d, the global record says %d", power, a.global.Power)
	}
	return nil
}

// checkPartitions compares masks and slots, and checks that each partition waits
// for its window to close, which lets go of it if its last sector has ended.
func (a *audit) checkPartitions() error {
	closing, err := a.queuedCloses()
	if err != nil {
		return err
	}
	err = eachRecord(a, chain.TablePartition, func(id string, p *chain.Partition) error {
		miner := binary.BigEndian.Uint64([]byte(id[:8]))
		want := new(chain.Partition)
		if c := a.counted[miner]; c != nil && c.partitions[id] != nil {
			want = c.partitions[id]
			delete(c.partitions, id)
		}
		if p.Live != want.Live || p.Faulty != want.Faulty || (p.Recovering|p.Charged)&^p.Faulty != 0 || p.Live>>len(p.Sectors) != 0 {
			a.wrong("partition %x has live %b faulty %b recovering %b charged %b, its sectors say %b %b", id, p.Live, p.Faulty, p.Recovering, p.Charged, want.Live, want.Faulty)
		}
		for slot, number := range p.Sectors {
			if want.Live>>slot&1 != 0 && want.Sectors[slot] != number {
				a.wrong("slot %d of partition %x holds sector %d, sector %d says it is there", slot, id, number, want.Sectors[slot])
			}
		}
		if !closing[id] || p.Closes == 0 {
			a.wrong("of partition %x no close is queued", id)
		}
		return nil
	})
	for _, m := range a.miners {
		if left := len(a.counted[m.ID].partitions); left != 0 {
			a.wrong("miner %d has sectors in %d partitions that are not there", m.ID, left)
		}
	}
	return err
}

// queuedCloses lists the partitions, by ID, whose window waits to be closed.
func (a *audit) queuedCloses() (map[string]bool, error) {
	closing := map[string]bool{}
	err := a.records.ForEach(chain.TableQueue, func(id string, record []byte) error {
		if q, _, index := chain.ParseQueueID(id); index == 0 || q != chain.QueueDeadlineClose {
			return nil
		}
		var item chain.QueueItem
		if err := chain.Decode(record, &item); err != nil {
			return err
		}
		closing[chain.PartitionKey(item.Owner, item.ID>>32, item.ID&(1<<32-1)).ID] = true
		return nil
	})
	return closing, err
}
