package porep_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/internal/merkle/merkletest"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/poseidon"
)

// large is a sector of 32 or 64 GiB that is right at the challenges of one seed, which its maker
// knew beforehand, and nowhere else: enough for one proof.
type large struct {
	params  porep.Params
	in      porep.SealInput
	source  porep.Source
	columns map[uint64][]merkle.Node
}

// newLarge makes up the columns of all parents and computes those of the challenges.
func newLarge(t testing.TB, proof abi.RegisteredSealProof, count int) *large {
	t.Helper()
	p, err := porep.ParamsOf(proof)
	if err != nil {
		t.Fatal(err)
	}
	s := &large{params: p, columns: make(map[uint64][]merkle.Node)}
	data := filled(0x15)
	treeD := merkletest.NewSparse(t, piece.Tree{}, merkle.Binary, p.Nodes, data, nil)
	s.in = porep.SealInput{
		ProofType: proof, MinerID: 1000, Number: 7, Ticket: filled(3), Seed: filled(9), CommD: treeD.Root(), Count: count,
	}
	replica := make(map[uint64]merkle.Node)
	for _, node := range s.challenges(t) {
		if _, ok := s.columns[node]; ok {
			t.Fatalf("challenge %d is a parent of an earlier one or repeated: choose another seed", node)
		}
		own := s.label(t, node)
		if replica[node], err = porep.Encode(own[len(own)-1], data); err != nil {
			t.Fatal(err)
		}
	}
	hashes := make(map[uint64]merkle.Node)
	for node, column := range s.columns {
		hashes[node] = poseidonOf(t, column)
	}
	treeC := merkletest.NewSparse(t, poseidon.Tree{}, p.Shape, p.Nodes, filled(1), hashes)
	treeR := merkletest.NewSparse(t, poseidon.Tree{}, p.Shape, p.Nodes, filled(2), replica)
	s.source = porep.Source{
		CommC: treeC.Root(), CommRLast: treeR.Root(), TreeD: treeD.Read, TreeC: treeC.Read, TreeRLast: treeR.Read,
		Column: func(node uint64, labels []merkle.Node) error { copy(labels, s.columns[node]); return nil },
	}
	s.in.CommR = poseidonOf(t, []merkle.Node{treeC.Root(), treeR.Root()})
	return s
}

func (s *large) replicaID() [32]byte {
	return porep.ReplicaID(s.params, s.in.MinerID, s.in.Number, s.in.Ticket, s.in.CommD)
}

func (s *large) challenges(t testing.TB) []uint64 {
	t.Helper()
	nodes, err := porep.Challenges(s.replicaID(), s.in.Seed, s.params.Nodes, s.in.First, s.in.Count)
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// label makes up the columns of a node's parents, as far as they are not made, and computes its own.
func (s *large) label(t testing.TB, node uint64) []merkle.Node {
	t.Helper()
	g, err := graph.New(s.params.ID, s.params.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	var parents [graph.Degree]uint32
	g.Parents(uint32(node), &parents)
	for _, parent := range parents {
		if s.columns[uint64(parent)] == nil {
			s.columns[uint64(parent)] = madeUp(uint64(parent), s.params.Layers)
		}
	}
	labeler := porep.NewLabeler(s.replicaID())
	own := make([]merkle.Node, s.params.Layers)
	for layer := range own {
		var labels []merkle.Node
		for i, parent := range parents {
			switch {
			case i < graph.BaseDegree:
				labels = append(labels, s.columns[uint64(parent)][layer])
			case layer > 0:
				labels = append(labels, s.columns[uint64(parent)][layer-1])
			}
		}
		own[layer] = labeler.Label(uint32(layer)+1, node, labels...)
	}
	s.columns[node] = own
	return own
}

func madeUp(node uint64, layers int) []merkle.Node {
	column := make([]merkle.Node, layers)
	for i := range column {
		column[i] = sha256.Sum256(binary.BigEndian.AppendUint64([]byte{byte(i)}, node))
		column[i][31] &= 0x3f
	}
	return column
}

// TestLargeProofs proves and verifies whole parts at 32 and 64 GiB: exact size, and that a changed
// byte is found in its challenge.
func TestLargeProofs(t *testing.T) {
	for _, c := range []struct {
		proof  abi.RegisteredSealProof
		levels int
		most   int // of 18 challenges, as SPEC.md has it
	}{{8, 10, 751_746}, {9, 11, 761_538}} {
		s := newLarge(t, c.proof, porep.MaxPartChallenges)
		if arities, err := s.params.Shape.Arities(s.params.Nodes); err != nil || len(arities) != c.levels {
			t.Errorf("proof type %d: %d levels, want %d (%v)", c.proof, len(arities), c.levels, err)
		}
		proof, err := s.params.Prove(s.in, s.source)
		if err != nil {
			t.Fatal(err)
		}
		if err := porep.Verify(s.in, proof); err != nil {
			t.Fatal(err)
		}
		if most, err := s.params.MaxProofSize(s.in.Count); err != nil || most != c.most || len(proof) > most {
			t.Errorf("proof type %d: %d bytes, at most %d, want %d (%v)", c.proof, len(proof), most, c.most, err)
		}
		t.Logf("proof type %d: %d bytes", c.proof, len(proof))
		bad := bytes.Clone(proof)
		bad[len(bad)-1] ^= 1
		if err := porep.Verify(s.in, bad); named(err) != porep.MaxPartChallenges-1 {
			t.Errorf("proof type %d: last byte changed: %v", c.proof, err)
		}
		bad = bytes.Clone(proof)
		bad[headerSize+40] ^= 1
		if err := porep.Verify(s.in, bad); named(err) != 0 {
			t.Errorf("proof type %d: a byte of the first challenge changed: %v", c.proof, err)
		}
		other := s.in
		other.ProofType ^= 8 ^ 9
		if porep.Verify(other, proof) == nil {
			t.Errorf("proof type %d: passed as the other size", c.proof)
		}
	}
}

// BenchmarkVerify32GiB checks a proof of one part.
func BenchmarkVerify32GiB(b *testing.B) {
	s := newLarge(b, 8, porep.MaxPartChallenges)
	proof, err := s.params.Prove(s.in, s.source)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(proof)), "proof-bytes")
	for b.Loop() {
		if err := porep.Verify(s.in, proof); err != nil {
			b.Fatal(err)
		}
	}
}
