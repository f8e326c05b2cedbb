package devnet

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/miner/sector"
	"github.com/perdure/perdure/porep/seal"
	"github.com/perdure/perdure/post"
	"github.com/perdure/perdure/post/prove"
)

// TestE2EBadProof sends a real seal proof and a real window proof, each with
// one bit flipped at several places: each is refused with the challenge that
// does not hold, costs its fee, and changes nothing else. The true ones are
// then accepted.
func TestE2EBadProof(t *testing.T) {
	endToEnd(t)
	s := setStage(t, 1)
	p, m := s.newPatron(), s.Miners[0]
	_, ids := p.put(some(1500, 1), 1)
	p.serve()
	number := uint64(1)
	s.until("seed known", func() bool {
		for _, rec := range s.minerSectors(m) {
			if rec.State == sector.Committed {
				number = rec.Number
				on, ok := find[chain.Sector](s, chain.SectorKey(m.ID, number))
				return ok && s.Height()+1 >= on.SeedHeight // the next block makes the seed known
			}
		}
		return false
	})
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	s.blocks(1)
	worker := s.sender(m.Home)
	good := s.sealProof(m, number)
	before := s.sector(m, number)
	for _, at := range places(good.Proof) {
		bad := *good
		bad.Proof = flip(good.Proof, at)
		what := fmt.Sprintf("seal proof with byte %d of %d changed", at, len(good.Proof))
		if text := s.refused(what, worker, &bad); !strings.Contains(text, "challenge") {
			t.Errorf("%s: %q names no challenge", what, text)
		}
		if after := s.sector(m, number); !same(t, after, before) {
			t.Errorf("%s: sector is %+v, was %+v", what, after, before)
		}
		s.blocks(1) // a node looks at few wrong proofs of a sender a block
	}
	if err := s.send(worker, good).Err(); err != nil {
		t.Fatal(err)
	}
	if !s.active(ids[0])() {
		t.Fatalf("deal is %s after its sector was proven", s.deal(ids[0]).State)
	}
	s.badWindowProof(m, number)
	s.check()
}

// badWindowProof does it with the sector's next window, while its miner is away.
func (s *stage) badWindowProof(m *Miner, number uint64) {
	t := s.t
	t.Helper()
	on := s.sector(m, number)
	var open post.Deadline
	s.until("window open", func() bool {
		var ok bool
		open, ok = s.Params.Schedule().At(uint64(s.minerOf(m).PeriodStart), uint64(s.Height()+1))
		return ok && open.Index == on.Deadline && s.Height()+1 >= chain.Height(open.Open)
	})
	worker, good := s.sender(m.Home), s.windowProof(m, on, open)
	part := chain.PartitionKey(m.ID, on.Deadline, on.Partition)
	before, owner := record[chain.Partition](s, part), s.minerOf(m)
	nonce := s.account(worker.Address()).Nonce
	for _, at := range places(good.Proof) {
		bad := *good
		bad.Proof = flip(good.Proof, at)
		what := fmt.Sprintf("window proof with byte %d of %d changed", at, len(good.Proof))
		if text := s.refused(what, worker, &bad); !strings.Contains(text, "challenge") {
			t.Errorf("%s: %q names no challenge", what, text)
		}
		after := s.minerOf(m)
		if !same(t, after, owner) || !same(t, record[chain.Partition](s, part), before) || !same(t, s.sector(m, number), on) {
			t.Errorf("%s: miner, partition or sector changed", what)
		}
		s.blocks(1)
	}
	if err := s.send(worker, good).Err(); err != nil {
		t.Fatal(err)
	}
	if s.proven(m, number) != 1 || s.account(worker.Address()).Nonce != nonce {
		t.Errorf("proven %d times, nonce went from %d to %d", s.proven(m, number), nonce, s.account(worker.Address()).Nonce)
	}
}

// sealProof builds the only part of a sector's ProveCommit from its files.
func (s *stage) sealProof(m *Miner, number uint64) *chain.ProveCommit {
	s.t.Helper()
	on := s.sector(m, number)
	b := record[chain.Beacon](s, chain.BeaconKey(on.SeedHeight))
	dir, err := seal.Find(s.sectorDir(m, number))
	if err != nil {
		s.t.Fatal(err)
	}
	proof, err := dir.Prove(s.ctx, consensus.SealSeed(b.Value, m.ID, number), 0, int(s.Params.PoRepChallenges))
	if err != nil {
		s.t.Fatal(err)
	}
	return &chain.ProveCommit{Miner: m.ID, Number: number, Proof: proof}
}

// windowProof builds the proof of a partition with one sector.
func (s *stage) windowProof(m *Miner, on *chain.Sector, open post.Deadline) *chain.SubmitWindowProof {
	s.t.Helper()
	kind, err := on.SealProof.RegisteredWindowPoStProofByNetworkVersion(19)
	if err != nil {
		s.t.Fatal(err)
	}
	b := record[chain.Beacon](s, chain.BeaconKey(chain.Height(open.Challenge)))
	in := post.WindowInput{ProofType: kind, Randomness: consensus.WindowRandomness(b.Value, m.ID, open.Index),
		Challenges: int(s.Params.WindowChallenges), Sectors: []post.Sector{{Number: abi.SectorNumber(on.Number), CommR: on.CommR}}}
	proof, err := prove.Window(s.ctx, in, []string{s.sectorDir(m, on.Number)})
	if err != nil {
		s.t.Fatal(err)
	}
	return &chain.SubmitWindowProof{Miner: m.ID, Period: open.Period, Deadline: open.Index, Partition: on.Partition, Proof: proof}
}

func (s *stage) sectorDir(m *Miner, number uint64) string {
	return filepath.Join(m.Home, "sectors", fmt.Sprintf("s-%s-%d", chain.FormatMiner(m.ID, s.Params.Network), number))
}

// places are byte offsets over the length of a proof.
func places(proof []byte) []int {
	n := len(proof)
	return []int{n / 7, n / 3, n / 2, n - n/5, n - 1}
}

// flip returns a copy of the proof with one bit changed.
func flip(proof []byte, at int) []byte {
	out := bytes.Clone(proof)
	out[at] ^= 1
	return out
}

// same compares encodings.
func same(t *testing.T, a, b chain.CBOR) bool {
	t.Helper()
	x, err := chain.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := chain.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}
