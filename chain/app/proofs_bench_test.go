//go:build unix

package app

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
	"github.com/perdure/perdure/post"
)

// BenchmarkProofBlocks executes blocks that are filled with window proofs, as
// many full partitions as devnet's proof lane holds, on a node that has seen none
// of them: FinalizeBlock with its verification on all cores, and the state that
// it stages. The reference, by turns in the same run, is post.Verify of the same
// proofs, by as many goroutines. The proofs are real; the sectors were never
// sealed, which no window proof can tell.
//
// "ratio" is of time, "cpu-ratio" of processor time. An operation is one block.
func BenchmarkProofBlocks(b *testing.B) {
	for _, size := range []uint64{2 << 10, 8 << 20} {
		b.Run(chain.FormatSize(size), func(b *testing.B) {
			f := newFullBlock(b, size)
			var own, reference, ownCPU, referenceCPU time.Duration
			for b.Loop() {
				t, cpu := timed(b, func() { f.verifyAlone(b) })
				reference, referenceCPU = reference+t, referenceCPU+cpu
				f.e.members[0].app.memo = newMemo(f.e.verify, f.workers)
				f.e.members[0].app.rehearsals.forget()
				t, cpu = timed(b, func() { f.e.finalize(f.e.members[0], f.txs) })
				own, ownCPU = own+t, ownCPU+cpu
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(own.Seconds()*1000/float64(b.N), "block-ms")
			b.ReportMetric(reference.Seconds()*1000/float64(b.N), "verify-ms")
			b.ReportMetric(own.Seconds()/reference.Seconds(), "ratio")
			b.ReportMetric(ownCPU.Seconds()/referenceCPU.Seconds(), "cpu-ratio")
			b.ReportMetric(float64(len(f.txs)), "proofs/block")
			b.ReportMetric(float64(f.bytes), "bytes/block")
			b.ReportMetric(float64(f.units)/float64(f.e.params.ProofLaneUnits()), "lane")
		})
	}
}

// timed runs f and returns its time and the processor time of all cores.
func timed(b *testing.B, f func()) (spent, cpu time.Duration) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	f()
	spent = time.Since(start)
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	return spent, time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}

// fullBlock is a chain before a block whose proof lane is full.
type fullBlock struct {
	e            *engine
	workers      int
	txs          [][]byte
	statements   []post.WindowInput // of the proofs in txs
	proofs       [][]byte
	bytes, units uint64
}

// trusting takes every proof of sealing and checks the rest.
type trusting struct{ consensus.Direct }

func (trusting) SealProof(*consensus.SealCheck, []byte) error { return nil }

// newFullBlock makes a miner whose every deadline has as many sectors as a
// block has room for proofs of, and goes to a window.
func newFullBlock(b *testing.B, size uint64) *fullBlock {
	b.Helper()
	e := newEngine(b, 1)
	e.verify = trusting{}
	e.members[0].app.memo.verify = e.verify
	proof, err := porep.ProofOfSize(size)
	if err != nil {
		b.Fatal(err)
	}
	f := &fullBlock{e: e, workers: e.members[0].app.memo.workers}
	source := sourceOf(b, proof)
	sector := post.Sector{CommR: hashOf(b, source.CommC, source.CommRLast)}
	partitions := f.capacity(proof)
	f.grow(proof, sector.CommR, partitions*chain.PartitionSectors*e.params.Deadlines)
	body := e.nextWindow()
	kind, err := post.WindowProof(proof)
	if err != nil {
		b.Fatal(err)
	}
	for i := range partitions {
		f.prove(kind, *body, i, sector, source)
	}
	if !e.accepts(e.members[0], f.txs) {
		b.Fatal("the block is not a valid proposal")
	}
	return f
}

// capacity is how many full partitions' proofs the proof lane holds: of what
// bounds it, the units.
func (f *fullBlock) capacity(proof abi.RegisteredSealProof) uint64 {
	p := *f.e.params
	p.SealProofs = []abi.RegisteredSealProof{proof}
	const writes, ordinary = 300, 400_000 // beside verification; what MostUnits adds for others
	return p.ProofLaneUnits() / (p.MostUnits(chain.KindSubmitWindowProof) - ordinary + p.UnitSignature + writes)
}

// grow makes the miner and activates sectors, all with one CommR.
func (f *fullBlock) grow(proof abi.RegisteredSealProof, commR [32]byte, sectors uint64) {
	e := f.e
	e.t.Helper()
	owner, nonce := addressOf(e.t, minerAccount), uint64(0)
	send := func(body chain.Body) {
		e.submit(e.sign(minerAccount, chain.Message{Nonce: nonce, MaxFee: chain.PDR(1)}, body))
		if nonce++; nonce%32 == 0 {
			e.empty()
		}
	}
	send(&chain.CreateMiner{SealProof: proof, Fund: chain.PDR(500), Keys: chain.Keys{Owner: owner, Worker: owner, Beneficiary: owner}})
	e.empty()
	for first := uint64(0); first < sectors; first += 64 {
		pre := &chain.PreCommitSectors{Miner: chain.FirstMinerID}
		for n := first; n < min(first+64, sectors); n++ {
			pre.Sectors = append(pre.Sectors, chain.PreCommit{Number: n, CommR: commR, TicketHeight: 1,
				Expiration: chain.Height(e.height) + 5000})
		}
		send(pre)
	}
	e.empty()
	for range e.params.SeedDelay + 1 {
		e.block()
	}
	for n := range sectors {
		send(&chain.ProveCommit{Miner: chain.FirstMinerID, Number: n, Proof: []byte{1}})
	}
	e.empty()
}

// prove adds the proof of a partition to the block.
func (f *fullBlock) prove(kind abi.RegisteredPoStProof, body chain.SubmitWindowProof, partition uint64, sector post.Sector, source post.Source) {
	e := f.e
	e.t.Helper()
	var m chain.Miner
	e.record(chain.MinerKey(body.Miner), &m)
	open, _ := e.params.Schedule().At(uint64(m.PeriodStart), uint64(e.height)+1)
	var part chain.Partition
	e.record(chain.PartitionKey(body.Miner, body.Deadline, partition), &part)
	in := post.WindowInput{ProofType: kind, Challenges: int(e.params.WindowChallenges),
		Randomness: consensus.WindowRandomness(e.beacon(int64(open.Challenge)).Value, body.Miner, body.Deadline)}
	var sources []post.Source
	for _, number := range part.Sectors {
		sector.Number = abi.SectorNumber(number)
		in.Sectors, sources = append(in.Sectors, sector), append(sources, source)
	}
	if len(sources) != chain.PartitionSectors {
		e.t.Fatalf("partition %d has %d sectors, want %d", partition, len(sources), chain.PartitionSectors)
	}
	var err error
	if body.Proof, err = post.Prove(in, sources); err != nil {
		e.t.Fatal(err)
	}
	body.Partition = partition
	raw := e.sign(minerAccount, chain.Message{MaxFee: chain.PDR(1)}, &body)
	admission, err := consensus.Validate(e.params, e.members[0].store.View(), e.verify, raw)
	if err != nil {
		e.t.Fatal(err)
	}
	f.bytes, f.units = f.bytes+admission.Size, f.units+admission.Units
	f.txs, f.statements, f.proofs = append(f.txs, raw), append(f.statements, in), append(f.proofs, body.Proof)
}

// verifyAlone checks the proofs of the block and nothing else, on all cores.
func (f *fullBlock) verifyAlone(b *testing.B) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range f.workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(f.proofs); i = int(next.Add(1)) - 1 {
				if err := post.Verify(f.statements[i], f.proofs[i]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// sourceOf builds the last tree over a replica of numbered nodes.
func sourceOf(b *testing.B, proof abi.RegisteredSealProof) post.Source {
	b.Helper()
	seal, err := porep.ParamsOf(proof)
	if err != nil {
		b.Fatal(err)
	}
	h, err := poseidon.New(8)
	if err != nil {
		b.Fatal(err)
	}
	row := make([]merkle.Node, seal.Nodes)
	for i := range row {
		row[i][0], row[i][1], row[i][2] = byte(i), byte(i>>8), byte(i>>16)
	}
	rows := [][]merkle.Node{row}
	for len(row) > 1 {
		parents := make([]merkle.Node, len(row)/8)
		if err := h.HashRow(row, parents); err != nil {
			b.Fatal(err)
		}
		rows = append(rows, parents)
		row = parents
	}
	return post.Source{CommC: [32]byte{1}, CommRLast: row[0], TreeRLast: func(level int, first uint64, out []merkle.Node) error {
		copy(out, rows[level][first:])
		return nil
	}}
}

func hashOf(b *testing.B, nodes ...[32]byte) [32]byte {
	b.Helper()
	sum, err := poseidon.Hash(nodes)
	if err != nil {
		b.Fatal(err)
	}
	return sum
}
