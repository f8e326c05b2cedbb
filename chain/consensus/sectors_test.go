package consensus

import (
	"math/bits"
	"strings"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
)

func init() {
	verbs["precommit"] = preCommitVerb
	verbs["prove"] = proveVerb
	verbs["window-proof"] = windowProofVerb
	verbs["declare-faults"] = func(_ *script, a args) chain.Body {
		return &chain.DeclareFaults{Miner: a.number("miner"), Sectors: a.numbers("sectors")}
	}
	verbs["declare-recoveries"] = func(_ *script, a args) chain.Body {
		return &chain.DeclareRecoveries{Miner: a.number("miner"), Sectors: a.numbers("sectors")}
	}
}

// preCommitVerb reads miner=, sectors=1,2, ticket=HEIGHT (the last one), expires=HEIGHT
// (a thousand blocks later than the least), pieces=SIZE[:DEAL],... in every sector.
func preCommitVerb(s *script, a args) chain.Body {
	b := &chain.PreCommitSectors{Miner: a.number("miner")}
	next := s.height + 1
	for _, n := range a.numbers("sectors") {
		p := chain.PreCommit{Number: n, CommR: [32]byte(seed("commr", a.text("from"))),
			TicketHeight: chain.Height(a.number("ticket", uint64(s.height))),
			Expiration:   chain.Height(a.number("expires", uint64(s.params.LeastExpiration(next)+1000)))}
		if a.has("pieces") {
			p.Pieces = s.pieces(a.t, a.text("pieces"))
		}
		b.Sectors = append(b.Sectors, p)
	}
	return b
}

// pieces reads SIZE[:DEAL],...; the piece of a deal that exists is the deal's.
func (s *script) pieces(t testing.TB, list string) []chain.SectorPiece {
	t.Helper()
	var out []chain.SectorPiece
	for _, f := range strings.Split(list, ",") {
		size, deal, _ := strings.Cut(f, ":")
		a := args{t, map[string]string{"size": size, "deal": deal}}
		p := chain.SectorPiece{PieceCID: piece.UnsealedCID([32]byte(seed("piece", size))), PaddedSize: a.size("size")}
		if deal != "" {
			p.Deal = a.number("deal")
			var d chain.Deal
			if s.record(chain.DealKey(p.Deal), &d) {
				p.PieceCID = d.PieceCID
			}
		}
		out = append(out, p)
	}
	return out
}

// proveVerb reads miner=, sector=, part= (0), proof= (ok).
func proveVerb(_ *script, a args) chain.Body {
	return &chain.ProveCommit{Miner: a.number("miner"), Number: a.number("sector"), Part: a.number("part", 0), Proof: proofText(a)}
}

func proofText(a args) []byte {
	if a.has("proof") {
		return []byte(a.text("proof"))
	}
	return []byte("ok")
}

// windowProofVerb reads miner=, partition= (0), skip=SLOTS, proof= (ok), and
// period= and deadline=, which are those open in the next block.
func windowProofVerb(s *script, a args) chain.Body {
	b := &chain.SubmitWindowProof{Miner: a.number("miner"), Partition: a.number("partition", 0), Proof: proofText(a)}
	var m chain.Miner
	s.record(chain.MinerKey(b.Miner), &m)
	open, _ := s.params.Schedule().At(uint64(m.PeriodStart), uint64(s.height+1))
	b.Period, b.Deadline = a.number("period", open.Period), a.number("deadline", open.Index)
	for _, slot := range a.numbers("skip") {
		b.Skipped |= 1 << slot
	}
	return b
}

// checkSectors recounts from the sectors alone what miners, partitions and the
// proof lane's book say about them.
func (n *network) checkSectors() {
	n.t.Helper()
	miners, load := map[chain.MinerID]*chain.Miner{}, make([]uint64, n.params.Deadlines)
	each(n, chain.TableMiner, func(_ chain.Key, m *chain.Miner) { miners[m.ID] = m })
	counted := map[chain.MinerID]*chain.Miner{}
	parts := map[chain.Key]*chain.Partition{}
	each(n, chain.TableSector, func(_ chain.Key, sec *chain.Sector) {
		if !sec.Live() {
			return
		}
		c := counted[sec.Miner]
		if c == nil {
			c = &chain.Miner{Deadlines: make([]uint64, n.params.Deadlines)}
			counted[sec.Miner] = c
		}
		n.countSector(sec, c, miners[sec.Miner], load)
		key := chain.PartitionKey(sec.Miner, sec.Deadline, sec.Partition)
		if parts[key] == nil {
			parts[key] = new(chain.Partition)
		}
		parts[key].Live |= 1 << sec.Slot
		if sec.State == chain.SectorFaulty {
			parts[key].Faulty |= 1 << sec.Slot
		}
		var part chain.Partition
		if n.record(key, &part); part.Sectors[sec.Slot] != sec.Number {
			n.t.Fatalf("height %d: slot %d of its partition does not hold sector %d of %d", n.height, sec.Slot, sec.Number, sec.Miner)
		}
	})
	for _, m := range miners {
		n.compareCounts(m, counted[m.ID])
	}
	n.checkPartitions(parts)
	for i, sum := range n.global().ProofLoad {
		if sum != load[i] || sum > n.params.slotRoom() {
			n.t.Fatalf("height %d: proof lane slot %d is booked with %d, sectors need %d, room is %d", n.height, i, sum, load[i], n.params.slotRoom())
		}
	}
}

func (n *network) countSector(sec *chain.Sector, c, m *chain.Miner, load []uint64) {
	n.t.Helper()
	size, err := sectorSize(sec.SealProof)
	must(n.t, err)
	cost, err := n.params.sectorLoad(sec.SealProof)
	must(n.t, err)
	load[n.params.slotOf(m, sec.Deadline)] += cost
	c.Sectors++
	c.Deadlines[sec.Deadline]++
	if sec.State == chain.SectorFaulty {
		c.Faulty++
	} else {
		c.Power += size
	}
	if (sec.FaultSince != 0) != (sec.State == chain.SectorFaulty) || sec.PaidThrough < sec.Activated || sec.PaidThrough > n.height {
		n.t.Fatalf("height %d: sector %d is %s, faulty since %d, settled through %d", n.height, sec.Number, sec.State, sec.FaultSince, sec.PaidThrough)
	}
}

func (n *network) compareCounts(m, c *chain.Miner) {
	n.t.Helper()
	if c == nil {
		c = &chain.Miner{Deadlines: make([]uint64, n.params.Deadlines)}
	}
	if m.Sectors != c.Sectors || m.Faulty != c.Faulty || m.Power != c.Power {
		n.t.Fatalf("height %d: miner %d records %d sectors, %d faulty, power %d; counted %d, %d, %d", n.height, m.ID,
			m.Sectors, m.Faulty, m.Power, c.Sectors, c.Faulty, c.Power)
	}
	for i, d := range m.Deadlines {
		if d != c.Deadlines[i] {
			n.t.Fatalf("height %d: miner %d records %d sectors in deadline %d, counted %d", n.height, m.ID, d, i, c.Deadlines[i])
		}
	}
}

// checkPartitions compares masks, and that each partition with live sectors,
// and no other, waits for its window to close.
func (n *network) checkPartitions(want map[chain.Key]*chain.Partition) {
	n.t.Helper()
	closing := map[chain.Key]bool{}
	for _, k := range n.view.keys(chain.TableQueue) {
		var item chain.QueueItem
		if chain.Queue(k.ID[0]) == chain.QueueDeadlineClose && !strings.HasSuffix(k.ID, strings.Repeat("\x00", 8)) && n.record(k, &item) {
			closing[chain.PartitionKey(item.Owner, item.ID>>32, item.ID&(1<<32-1))] = true
		}
	}
	each(n, chain.TablePartition, func(k chain.Key, p *chain.Partition) {
		w := want[k]
		if w == nil {
			w = new(chain.Partition)
		}
		if p.Live != w.Live || p.Faulty != w.Faulty || p.Recovering&^p.Faulty != 0 || bits.Len64(p.Live) > len(p.Sectors) {
			n.t.Fatalf("height %d: partition %x has live %b faulty %b recovering %b, its sectors say %b %b", n.height, k.ID,
				p.Live, p.Faulty, p.Recovering, w.Live, w.Faulty)
		}
		if p.Live != 0 && !closing[k] || p.Live != 0 && p.Closes == 0 {
			n.t.Fatalf("height %d: partition %x has sectors and no close is queued", n.height, k.ID)
		}
	})
}
