package consensus

import (
	"fmt"
	"slices"
	"testing"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/post"
)

// minerNetwork starts a chain with miner 1000, whose owner and worker is
// "worker", and advances until its first window is a while away.
func minerNetwork(t testing.TB, p *Params, verify Verifier, size uint64) *network {
	t.Helper()
	n := newNetwork(t, p, verify, []named{{"worker", chain.PDR(1_000_000)}})
	worker := addressOf(t, "worker")
	proof, err := porep.ProofOfSize(size)
	must(t, err)
	n.mustAll(n.message("worker", 0, &chain.CreateMiner{SealProof: proof, Fund: chain.PDR(1000),
		Keys: chain.Keys{Owner: worker, Worker: worker, Beneficiary: worker}}))
	return n
}

// mustAll makes a block of messages that all succeed.
func (n *network) mustAll(messages ...[]byte) *Update {
	n.t.Helper()
	u, results := n.block(messages...)
	for i, r := range results {
		if r.Code != CodeOK {
			n.t.Fatalf("height %d: message %d %s: %s %s", n.height, i, r.Kind, r.Code, r.Error)
		}
	}
	return u
}

// sealSectors pre-commits sectors first to first+count-1 and waits for their seed.
func (n *network) sealSectors(first, count uint64) {
	n.t.Helper()
	for count > 0 {
		b := &chain.PreCommitSectors{Miner: chain.FirstMinerID}
		for ; count > 0 && len(b.Sectors) < 64; count-- {
			b.Sectors = append(b.Sectors, chain.PreCommit{Number: first, TicketHeight: n.height,
				Expiration: n.params.LeastExpiration(n.height+1) + 5000})
			first++
		}
		n.mustAll(n.message("worker", 0, b))
	}
	n.advance(int(n.params.SeedDelay))
}

// commitSectors proves those sectors, a few a block.
func (n *network) commitSectors(first, count uint64) {
	n.t.Helper()
	for ; count > 0; count -= min(count, 40) {
		n.mustAll(n.commitMessages(first, min(count, 40))...)
		first += 40
	}
}

// commitMessages are the openings of those sectors, one part each, for one block.
func (n *network) commitMessages(first, count uint64) [][]byte {
	n.t.Helper()
	var out [][]byte
	for i := range count {
		out = append(out, n.message("worker", i, &chain.ProveCommit{Miner: chain.FirstMinerID, Number: first + i, Proof: []byte("ok")}))
	}
	return out
}

func (n *network) miner() (m chain.Miner) {
	n.t.Helper()
	n.record(chain.MinerKey(chain.FirstMinerID), &m)
	return m
}

func (n *network) sector(number uint64) (s chain.Sector) {
	n.t.Helper()
	n.record(chain.SectorKey(chain.FirstMinerID, number), &s)
	return s
}

// proofs are right window proofs of all partitions of the deadline open in the next block.
func (n *network) proofs() [][]byte {
	n.t.Helper()
	m := n.miner()
	open, ok := n.params.Schedule().At(uint64(m.PeriodStart), uint64(n.height+1))
	if !ok || len(m.Partitions) == 0 {
		return nil
	}
	var out [][]byte
	for i := range m.Partitions[open.Index] {
		out = append(out, n.message("worker", 0, &chain.SubmitWindowProof{Miner: m.ID, Period: open.Period,
			Deadline: open.Index, Partition: i, Proof: []byte("ok")}))
	}
	return out
}

// TestManyPartitions fills several partitions of each deadline, proves all of
// one deadline and but one of the next.
func TestManyPartitions(t *testing.T) {
	n := minerNetwork(t, testParams(), fakeVerifier{}, 2<<10)
	n.sealSectors(1, 200)
	n.commitSectors(1, 200)
	m := n.miner()
	if m.Deadlines[0] != 67 || m.Deadlines[1] != 67 || m.Deadlines[2] != 66 || m.Partitions[0] != 3 || m.Partitions[2] != 3 {
		t.Fatalf("200 sectors in deadlines %v, partitions %v", m.Deadlines, m.Partitions)
	}
	n.advanceTo(m.PeriodStart - 1)
	if got := len(n.mustAll(n.proofs()...).Events); got != 67 {
		t.Fatalf("%d sectors proven, want 67", got)
	}
	n.advanceTo(m.PeriodStart + 19)
	if f := n.miner().Faulty; f != 0 {
		t.Fatalf("%d sectors faulty after all partitions were proven", f)
	}
	n.mustAll(n.proofs()[1:]...)
	events := n.advanceTo(m.PeriodStart + 39)
	if len(events) != chain.PartitionSectors || n.miner().Faulty != chain.PartitionSectors {
		t.Fatalf("%d events, %d faulty sectors, want those of partition 0", len(events), n.miner().Faulty)
	}
	for _, e := range events {
		if sec := n.sector(e.Sector); e.Reason != "missed" || sec.Partition != 0 || sec.Deadline != 1 {
			t.Fatalf("event %+v is about sector %+v", e, sec)
		}
	}
}

// TestProofLaneRefuses fills what a small lane carries in half a window.
func TestProofLaneRefuses(t *testing.T) {
	p := testParams()
	p.MaxBlockBytes, p.MaxMessageBytes = 8<<10, 4<<10
	n := minerNetwork(t, p, fakeVerifier{}, 2<<10)
	cost, err := p.sectorLoad(n.miner().SealProof)
	must(t, err)
	fit := 3 * (p.slotRoom() / cost)
	if fit == 0 || fit > 40 {
		t.Fatalf("%d sectors fit: not what this test is about", fit)
	}
	n.sealSectors(1, fit+1)
	for i := range fit {
		n.mustAll(n.commitMessages(1+i, 1)...)
		if n.height+p.chainCutoff() >= n.miner().PeriodStart {
			t.Fatalf("sectors do not fit before the first window")
		}
	}
	_, results := n.block(n.commitMessages(fit+1, 1)...)
	if results[0].Code != CodeFailed {
		t.Fatalf("sector %d beyond the lane's room: %s %s", fit+1, results[0].Code, results[0].Error)
	}
	if sec := n.sector(fit + 1); sec.State != chain.SectorPreCommitted || sec.Proven != 0 || sec.Deposit.IsZero() {
		t.Fatalf("refused sector changed: %+v", sec)
	}
}

func (p *Params) chainCutoff() chain.Height { return chain.Height(p.FaultCutoff) }

// TestLateClose lets one item of each queue be worked off a block, so that the
// closes of a deadline with three partitions take three blocks, and sends
// messages about a partition whose close is overdue.
func TestLateClose(t *testing.T) {
	p := testParams()
	p.Window = 10
	last, next := chain.Height(p.Window-1), chain.Height(p.Period()+p.Window-1) // of deadline 0's windows
	n := minerNetwork(t, p, fakeVerifier{}, 2<<10)
	n.sealSectors(1, 200)
	n.commitSectors(1, 200)
	p.QueueItems = 1
	start := n.miner().PeriodStart
	n.advanceTo(start + last)
	if f := n.miner().Faulty; f != 32 {
		t.Fatalf("%d faulty sectors at the close, want one partition's", f)
	}
	// Partition 2 still waits for its close: its sectors are missed all the same, too late to declare.
	late := n.partitionOf(t, 0, 2).Sectors
	_, results := n.block(n.message("worker", 0, &chain.DeclareFaults{Miner: chain.FirstMinerID, Sectors: late[:1]}))
	if results[0].Code != CodeFailed {
		t.Fatalf("a missed sector was declared faulty: %+v", results[0])
	}
	if part := n.partitionOf(t, 0, 2); part.Faulty != 0 || part.Closes != start+last {
		t.Fatalf("failed message closed a window: %+v", part)
	}
	// A message that needs the close brings it about; the queue's own finds nothing left.
	u := n.mustAll(n.message("worker", 0, &chain.DeclareRecoveries{Miner: chain.FirstMinerID, Sectors: late[:2]}))
	missed := 0
	for _, e := range u.Events {
		if e.Kind == EventSectorFaulty && e.Message == 1 {
			missed++
		}
	}
	part := n.partitionOf(t, 0, 2)
	if missed != len(late) || part.Recovering != 3 || part.Closes != start+next {
		t.Fatalf("%d of %d sectors missed by the message, partition %+v", missed, len(late), part)
	}
	n.advance(3)
	if again := n.partitionOf(t, 0, 2); again.Recovering != 3 || again.Closes != start+next || n.miner().Faulty != 67 {
		t.Fatalf("the late close changed the partition: %+v, %d faulty", again, n.miner().Faulty)
	}
	// Nothing is lost from the queue: in the end all windows are closed.
	n.advanceTo(start + chain.Height(p.Period()) + 9)
	if m := n.miner(); m.Faulty != 200 {
		t.Fatalf("%d of 200 sectors faulty", m.Faulty)
	}
}

func (n *network) partitionOf(t testing.TB, deadline, index uint64) (p chain.Partition) {
	t.Helper()
	n.record(chain.PartitionKey(chain.FirstMinerID, deadline, index), &p)
	return p
}

// TestNetworksCarryTheirProofs checks, for each network and sector size, that
// the largest proof of a partition and the largest part of openings fit a
// message, and that their units fit their lane.
func TestNetworksCarryTheirProofs(t *testing.T) {
	for _, p := range []*Params{Devnet(), Testnet(), Mainnet()} {
		for _, proof := range p.SealProofs {
			seal, err := porep.ParamsOf(proof)
			must(t, err)
			window, err := post.WindowProof(proof)
			must(t, err)
			partition, err := post.MaxProofSize(window, chain.PartitionSectors, int(p.WindowChallenges))
			must(t, err)
			_, challenges := p.partChallenges(0)
			part, err := seal.MaxProofSize(int(challenges))
			must(t, err)
			if most := uint64(max(partition, part)) + proofEnvelope; most > p.MaxMessageBytes {
				t.Errorf("%s, %d: a proof of %d bytes, messages have at most %d", p.Name, proof, most, p.MaxMessageBytes)
			}
			if u := p.windowUnits(proof, chain.PartitionSectors); 2*u > p.ProofLaneUnits() {
				t.Errorf("%s, %d: a partition takes %d units, the proof lane has %d", p.Name, proof, u, p.ProofLaneUnits())
			}
			if u := p.sealUnits(proof, challenges); 2*u > p.MaxBlockUnits-p.ProofLaneUnits() {
				t.Errorf("%s, %d: a part takes %d units, the ordinary lane has %d", p.Name, proof, u, p.MaxBlockUnits-p.ProofLaneUnits())
			}
			load, err := p.sectorLoad(proof)
			must(t, err)
			t.Logf("%s, %s sectors: partition %d bytes, %d units; part %d bytes, %d units; the proof lane carries %d sectors", p.Name,
				chain.FormatSize(seal.SectorSize()), partition, p.windowUnits(proof, chain.PartitionSectors), part, p.sealUnits(proof, challenges),
				p.Deadlines*(p.slotRoom()/load))
		}
	}
}

// BenchmarkWindowProofs executes a block of 20 proofs of full partitions whose
// proofs themselves cost nothing: the state work of proving 640 sectors.
func BenchmarkWindowProofs(b *testing.B) {
	p := testParams()
	p.MaxBlockUnits, p.MaxBlockBytes = 1<<30, 1<<26
	p.Window, p.StateRetention = 200, 1800
	n := minerNetwork(b, p, fakeVerifier{}, 2<<10)
	n.sealSectors(1, 1920)
	n.commitSectors(1, 1920)
	n.advanceTo(n.miner().PeriodStart - 1)
	proofs := n.proofs()
	if len(proofs) != 20 {
		b.Fatalf("%d proofs", len(proofs))
	}
	block := &Block{Height: n.height + 1, Beacon: n.contribution(beaconGiven), Proposer: proposerOf("val"), Messages: proofs}
	for b.Loop() {
		if _, _, err := Apply(p, n.view, n.verify, block); err != nil {
			b.Fatal(err)
		}
	}
}

// missedDeadline is a network whose next block closes a deadline of count
// sectors, of which none was proven.
func missedDeadline(t testing.TB, p *Params, count uint64) *network {
	t.Helper()
	p.MaxBlockUnits, p.MaxBlockBytes = 1<<32, 1<<26
	p.Window, p.StateRetention, p.EndedRetention = 1_000, 10_000, 10_001
	n := minerNetwork(t, p, fakeVerifier{}, 2<<10)
	n.quiet = true
	for first, batch := uint64(1), uint64(2_000); first <= p.Deadlines*count; first += batch {
		batch = min(batch, p.Deadlines*count+1-first)
		n.sealSectors(first, batch)
		n.commitSectors(first, batch)
	}
	m := n.miner()
	if m.Deadlines[0] != count {
		t.Fatalf("%d sectors in deadline 0, want %d", m.Deadlines[0], count)
	}
	n.advanceTo(m.PeriodStart + chain.Height(p.Window) - 2)
	n.quiet = false
	return n
}

// TestMissedDeadlineCarriesOver: what closing a large deadline takes of a block
// is bounded; the rest is closed in the blocks after it, and nothing is missed twice.
func TestMissedDeadlineCarriesOver(t *testing.T) {
	p := testParams()
	n := missedDeadline(t, p, 200)
	p.QueueItems = 3
	var faulty []int
	for range 4 {
		u, _ := n.block()
		count := 0
		for _, e := range u.Events {
			if e.Kind == EventSectorFaulty {
				count++
			}
		}
		faulty = append(faulty, count)
	}
	if want := []int{96, 96, 8, 0}; !slices.Equal(faulty, want) {
		t.Fatalf("sectors that a block made faulty: %v, want %v", faulty, want)
	}
}

// BenchmarkCloseMissed executes the block that closes a deadline of 10,000
// sectors, all missed, as one block and under the cap of QueueItems, and reports
// it in percent of the block times of mainnet and devnet.
func BenchmarkCloseMissed(b *testing.B) {
	const sectors = 10_000
	p := testParams()
	n := missedDeadline(b, p, sectors)
	block := &Block{Height: n.height + 1, Beacon: n.contribution(beaconGiven), Proposer: proposerOf("val")}
	for _, items := range []uint64{sectors/chain.PartitionSectors + 1, Devnet().QueueItems} {
		b.Run(fmt.Sprintf("partitions=%d", items), func(b *testing.B) {
			p.QueueItems = items
			for b.Loop() {
				u, _, err := Apply(p, n.view, n.verify, block)
				if err != nil {
					b.Fatal(err)
				}
				if want := min(sectors, int(items)*chain.PartitionSectors); len(u.Events) != want {
					b.Fatalf("%d sectors became faulty, want %d", len(u.Events), want)
				}
			}
			per := float64(b.Elapsed().Milliseconds()) / float64(b.N)
			b.ReportMetric(100*per/float64(Mainnet().BlockMillis), "%mainnet-block")
			b.ReportMetric(100*per/float64(Devnet().BlockMillis), "%devnet-block")
		})
	}
}
