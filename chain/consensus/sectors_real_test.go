package consensus

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post"
	"github.com/perdure/perdure/post/prove"
)

const sealedProof = abi.RegisteredSealProof_StackedDrg2KiBV1_1

// sealReal seals a 2 KiB sector that holds one piece of data, with the ticket of
// the last height.
func (n *network) sealReal(dir string, number uint64, data []byte) (*seal.Sector, chain.PreCommit) {
	n.t.Helper()
	info, err := piece.Commit(bytes.NewReader(data))
	must(n.t, err)
	sector, err := seal.Open(seal.Config{ProofType: sealedProof, MinerID: chain.FirstMinerID, Number: abi.SectorNumber(number), Dir: dir})
	must(n.t, err)
	must(n.t, sector.WriteData(context.Background(), []seal.Piece{{Data: bytes.NewReader(data), PaddedSize: info.PaddedSize}}))
	var beacon chain.Beacon
	n.record(chain.BeaconKey(n.height), &beacon)
	result, err := sector.Seal(context.Background(), SealTicket(beacon.Value, chain.FirstMinerID))
	must(n.t, err)
	return sector, chain.PreCommit{Number: number, CommR: result.CommR, TicketHeight: n.height,
		Expiration: n.params.LeastExpiration(n.height+1) + 100,
		Pieces:     []chain.SectorPiece{{PieceCID: info.CID, PaddedSize: info.PaddedSize}}}
}

// openings answers the challenges of one part.
func (n *network) openings(sector *seal.Sector, part uint64) *chain.ProveCommit {
	n.t.Helper()
	number := uint64(sector.Config().Number)
	var beacon chain.Beacon
	rec := n.sector(number)
	n.record(chain.BeaconKey(rec.SeedHeight), &beacon)
	first, count := n.params.partChallenges(part)
	proof, err := sector.Prove(context.Background(), SealSeed(beacon.Value, chain.FirstMinerID, number), int(first), int(count))
	must(n.t, err)
	return &chain.ProveCommit{Miner: chain.FirstMinerID, Number: number, Part: part, Proof: proof}
}

// TestRealProofs seals two sectors, commits and proves them with nothing faked,
// and flips bits on the way.
func TestRealProofs(t *testing.T) {
	p := testParams()
	p.Window, p.ChallengeLookback, p.FaultCutoff = 8, 2, 5
	p.PoRepChallenges, p.SeedDelay = 20, 3
	n := minerNetwork(t, p, Direct{}, 2<<10)
	dirs := []string{t.TempDir(), t.TempDir()}
	batch := &chain.PreCommitSectors{Miner: chain.FirstMinerID}
	var sectors []*seal.Sector
	for i, dir := range dirs {
		sector, commit := n.sealReal(dir, uint64(10+i), bytes.Repeat([]byte{byte(i + 1)}, 700))
		sectors, batch.Sectors = append(sectors, sector), append(batch.Sectors, commit)
	}
	n.mustAll(n.message("worker", 0, batch))
	n.advance(int(p.SeedDelay))

	good := n.openings(sectors[0], 1)
	bad := *good
	bad.Proof = flip(good.Proof, len(good.Proof)*8-9)
	other := *good
	other.Number = 11
	u, results := n.block(n.message("worker", 0, &bad), n.message("worker", 1, &other), n.message("worker", 2, good))
	if results[0].Code != CodeFailed || !strings.Contains(results[0].Error, "challenge 19 ") {
		t.Errorf("flipped bit in the last opening: %+v", results[0])
	}
	if results[1].Code != CodeFailed || results[2].Code != CodeOK || len(u.Events) != 1 {
		t.Errorf("openings of another sector: %+v; right openings: %+v", results[1], results[2])
	}
	n.mustAll(n.message("worker", 0, n.openings(sectors[0], 0)), n.message("worker", 1, n.openings(sectors[1], 0)),
		n.message("worker", 2, n.openings(sectors[1], 1)))
	if m := n.miner(); m.Power != 4096 {
		t.Fatalf("power %d after both sectors are committed", m.Power)
	}
	n.proveReal(dirs[0], 10)
	n.proveReal(dirs[1], 11)
}

// proveReal waits for the sector's window and proves it, alone in its
// partition, after two proofs with a flipped bit.
func (n *network) proveReal(dir string, number uint64) {
	n.t.Helper()
	sec, m := n.sector(number), n.miner()
	open, _ := n.params.Schedule().Next(uint64(m.PeriodStart), sec.Deadline, uint64(n.height+1))
	n.advanceTo(chain.Height(open.Open - 1))
	var beacon chain.Beacon
	n.record(chain.BeaconKey(chain.Height(open.Challenge)), &beacon)
	kind, err := post.WindowProof(sealedProof)
	must(n.t, err)
	proof, err := prove.Window(context.Background(), post.WindowInput{ProofType: kind, Challenges: int(n.params.WindowChallenges),
		Randomness: WindowRandomness(beacon.Value, m.ID, sec.Deadline),
		Sectors:    []post.Sector{{Number: abi.SectorNumber(number), CommR: sec.CommR}}}, []string{dir})
	must(n.t, err)
	body := chain.SubmitWindowProof{Miner: m.ID, Period: open.Period, Deadline: open.Index, Partition: sec.Partition}
	for bit, want := range map[int]string{2 * 8: "CommC and CommRLast", (2 + 2*32) * 8: "challenge 0 "} {
		wrong := body
		wrong.Proof = flip(proof, bit)
		before, balance := n.partitionOf(n.t, sec.Deadline, sec.Partition), n.miner().Balance
		u, results := n.block(n.message("worker", 0, &wrong))
		if results[0].Code != CodeFailed || !strings.Contains(results[0].Error, want) || len(u.Events) != 0 {
			n.t.Fatalf("bit %d flipped: %+v", bit, results[0])
		}
		paid, err := balance.Sub(n.miner().Balance)
		if must(n.t, err); paid != results[0].Fee || paid.IsZero() {
			n.t.Fatalf("bit %d flipped: miner paid %s, fee %s", bit, paid, results[0].Fee)
		}
		if after := n.partitionOf(n.t, sec.Deadline, sec.Partition); after.ProvenPeriods != before.ProvenPeriods || after.Faulty != 0 {
			n.t.Fatalf("bit %d flipped: partition changed: %+v", bit, after)
		}
	}
	body.Proof = proof
	n.mustAll(n.message("worker", 0, &body))
	if part := n.partitionOf(n.t, sec.Deadline, sec.Partition); part.ProvenThrough != n.height {
		n.t.Fatalf("partition after its proof: %+v", part)
	}
	n.advanceTo(chain.Height(open.Close - 1))
	if after := n.sector(number); after.State != chain.SectorActive {
		n.t.Fatalf("sector %d is %s after its window", number, after.State)
	}
}

// flip returns a copy with one bit changed.
func flip(b []byte, bit int) []byte {
	b = slices.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}
