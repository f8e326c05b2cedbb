package porep_test

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/poseidon"
)

// honest is a sealed sector of 2 KiB with data.
func honest(t testing.TB) *sector {
	t.Helper()
	p := params(t)
	in := porep.SealInput{ProofType: proof2KiB, MinerID: 1000, Number: 7, Ticket: filled(3)}
	return sealSector(t, p, in, testData(p.Nodes), forgery{})
}

// ends returns where each challenge of a proof ends: a proof of fewer challenges
// is the beginning of one of more.
func ends(t *testing.T, s *sector, in porep.SealInput, proof []byte) []int {
	t.Helper()
	var out []int
	for in.Count = 1; ; in.Count++ {
		part := s.prove(t, in)
		if !bytes.HasPrefix(proof, part) {
			t.Fatalf("the proof of %d challenges is no prefix", in.Count)
		}
		out = append(out, len(part))
		if len(part) == len(proof) {
			return out
		}
	}
}

// named returns the challenge that an error names, or -1.
func named(err error) int {
	var bad *porep.ChallengeError
	if errors.As(err, &bad) {
		return bad.Index
	}
	return -1
}

const headerSize = 2 + 64

// owner returns the challenge to which the byte at a place belongs.
func owner(ends []int, at int) int {
	if at < headerSize {
		return -1
	}
	for i, end := range ends {
		if at < end {
			return i
		}
	}
	return len(ends)
}

// TestEveryByteCounts flips a bit in every byte of a proof: it is refused, and the
// challenge to which the byte belongs is the one that is named.
func TestEveryByteCounts(t *testing.T) {
	s := honest(t)
	in := s.part(1, 36, 3)
	proof := s.prove(t, in)
	if err := porep.Verify(in, proof); err != nil {
		t.Fatal(err)
	}
	ends := ends(t, s, in, proof)
	for at := range proof {
		bad := bytes.Clone(proof)
		bad[at] ^= 1 << (at % 8)
		err := porep.Verify(in, bad)
		if err == nil {
			t.Fatalf("passed with byte %d flipped", at)
		}
		want := owner(ends, at)
		if want >= 0 {
			want += in.First
		}
		if got := named(err); got != want {
			t.Fatalf("byte %d belongs to challenge %d, error names %d: %v", at, want, got, err)
		}
	}
}

// TestLengths cuts a proof at every node and adds to it.
func TestLengths(t *testing.T) {
	s := honest(t)
	in := s.part(1, 0, 4)
	proof := s.prove(t, in)
	ends := ends(t, s, in, proof)
	for at := 0; at < len(proof); at += 16 {
		err := porep.Verify(in, proof[:at])
		if !errors.Is(err, porep.ErrLength) || named(err) != owner(ends, at) {
			t.Errorf("cut at %d of %d: %v", at, len(proof), err)
		}
	}
	for _, more := range [][]byte{{0}, make([]byte, 32), make([]byte, 1<<20)} {
		if err := porep.Verify(in, append(bytes.Clone(proof), more...)); !errors.Is(err, porep.ErrLength) {
			t.Errorf("%d bytes more: %v", len(more), err)
		}
	}
	if most, err := s.params.MaxProofSize(in.Count); err != nil || len(proof) > most {
		t.Errorf("proof of %d bytes, at most %d (%v)", len(proof), most, err)
	}
}

// TestAliases adds the modulus to every node of a proof: the same element in
// another form must not pass.
func TestAliases(t *testing.T) {
	s := honest(t)
	in := s.part(1, 0, 3)
	proof := s.prove(t, in)
	modulus, _ := new(big.Int).SetString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)
	for at := 2; at < len(proof); at += porep.NodeSize {
		node := bytes.Clone(proof[at : at+porep.NodeSize])
		slices.Reverse(node)
		alias := new(big.Int).Add(new(big.Int).SetBytes(node), modulus)
		if alias.BitLen() > 256 {
			continue
		}
		alias.FillBytes(node)
		slices.Reverse(node)
		bad := bytes.Clone(proof)
		copy(bad[at:], node)
		if err := porep.Verify(in, bad); err == nil {
			t.Fatalf("passed with an alias at %d", at)
		}
	}
}

// TestStatement changes each part of the statement.
func TestStatement(t *testing.T) {
	s := honest(t)
	in := s.part(1, 0, 6)
	proof := s.prove(t, in)
	for name, change := range map[string]func(*porep.SealInput){
		"seed":   func(in *porep.SealInput) { in.Seed[31] ^= 0x80 },
		"ticket": func(in *porep.SealInput) { in.Ticket[31] ^= 0x80 },
		"miner":  func(in *porep.SealInput) { in.MinerID++ },
		"number": func(in *porep.SealInput) { in.Number++ },
		"CommD":  func(in *porep.SealInput) { in.CommD[0] ^= 1 },
		"CommR":  func(in *porep.SealInput) { in.CommR[0] ^= 1 },
		"size":   func(in *porep.SealInput) { in.ProofType = abi.RegisteredSealProof_StackedDrg8MiBV1_1 },
		"legacy": func(in *porep.SealInput) { in.ProofType = abi.RegisteredSealProof_StackedDrg2KiBV1 },
		"synthetic": func(in *porep.SealInput) {
			in.ProofType = abi.RegisteredSealProof_StackedDrg2KiBV1_1_Feat_SyntheticPoRep
		},
		"first":       func(in *porep.SealInput) { in.First = 6 },
		"fewer":       func(in *porep.SealInput) { in.Count-- },
		"more":        func(in *porep.SealInput) { in.Count++ },
		"none":        func(in *porep.SealInput) { in.Count = 0 },
		"minus":       func(in *porep.SealInput) { in.First, in.Count = 6, -6 },
		"too many":    func(in *porep.SealInput) { in.Count = porep.MaxPartChallenges + 1 },
		"minus first": func(in *porep.SealInput) { in.First = -1 },
		"overflow":    func(in *porep.SealInput) { in.First = int(^uint(0) >> 1) },
	} {
		changed := in
		change(&changed)
		if err := porep.Verify(changed, proof); err == nil {
			t.Errorf("passed with another statement: %s", name)
		}
	}
}

// TestForgeries seals sectors that cheat in one place and are consistent
// otherwise, with commitments of their own. Many challenges must find each, and
// blame what is wrong.
func TestForgeries(t *testing.T) {
	p := params(t)
	in := porep.SealInput{ProofType: proof2KiB, MinerID: 1000, Number: 7, Ticket: filled(3)}
	data := testData(p.Nodes)
	junk := func(v uint64) merkle.Node { return testData(v + 1)[v] }
	for name, c := range map[string]struct {
		cheat forgery
		blame string
	}{
		"labels out of nothing": {forgery{label: func(_ int, v uint64, _ merkle.Node) merkle.Node { return junk(v) }}, "column"},
		"first layer only": {forgery{label: func(layer int, v uint64, label merkle.Node) merkle.Node {
			if layer == 2 {
				return junk(v)
			}
			return label
		}}, "column"},
		"last layer only": {forgery{label: func(layer int, v uint64, label merkle.Node) merkle.Node {
			if layer == 1 {
				return junk(v)
			}
			return label
		}}, "column"},
		"swapped parents": {forgery{parents: func(p *[graph.Degree]uint32) { p[1], p[2] = p[2], p[1] }}, "column"},
		"expander first":  {forgery{parents: func(p *[graph.Degree]uint32) { p[graph.BaseDegree] = p[graph.Degree-1] }}, "column"},
		"replica not encoded": {forgery{replica: func(v uint64, _ merkle.Node) merkle.Node {
			return data[v]
		}}, "replica"},
		"replica of zeros": {forgery{encoded: func(uint64, merkle.Node) merkle.Node { return merkle.Node{} }}, "replica"},
	} {
		s := sealSector(t, p, in, data, c.cheat)
		part := s.part(9, 0, porep.MaxPartChallenges)
		err := porep.Verify(part, s.prove(t, part))
		if named(err) < 0 || !errors.Is(err, merkle.ErrOpening) || !strings.Contains(err.Error(), c.blame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStolenSector: another miner's sector, whole and honest, is not this one's.
func TestStolenSector(t *testing.T) {
	s := honest(t)
	in := s.part(1, 0, 2)
	thief := in
	thief.MinerID = 1001
	err := porep.Verify(thief, s.prove(t, thief))
	if named(err) != 0 || !strings.Contains(err.Error(), "column") {
		t.Errorf("stolen sector: %v", err)
	}
}

// TestLyingSource proves an honest sector with one wrong answer of its store.
func TestLyingSource(t *testing.T) {
	s := honest(t)
	in := s.part(1, 0, 4)
	for name, c := range map[string]struct {
		lie   func(*porep.Source)
		blame string
	}{
		"data of another node": {func(src *porep.Source) {
			src.TreeD = func(row int, first uint64, out []merkle.Node) error {
				if row == 0 && len(out) == 1 {
					first ^= 1
				}
				return reader(s.treeD)(row, first, out)
			}
		}, "data"},
		"path of another data node": {func(src *porep.Source) {
			src.TreeD = func(row int, first uint64, out []merkle.Node) error {
				if row == 1 {
					first ^= 2
				}
				return reader(s.treeD)(row, first, out)
			}
		}, "data"},
		"column of another node": {func(src *porep.Source) {
			src.Column = func(v uint64, labels []merkle.Node) error { return s.source().Column(v^1, labels) }
		}, "column of parent"},
		"column upside down": {func(src *porep.Source) {
			src.Column = func(v uint64, labels []merkle.Node) error {
				err := s.source().Column(v, labels)
				slices.Reverse(labels)
				return err
			}
		}, "column of parent"},
		"columns for the replica": {func(src *porep.Source) { src.TreeRLast = reader(s.treeC) }, "replica"},
		"replica for the columns": {func(src *porep.Source) { src.TreeC = reader(s.treeR) }, "column"},
	} {
		source := s.source()
		c.lie(&source)
		proof, err := s.params.Prove(in, source)
		if err != nil {
			t.Fatal(err)
		}
		if err := porep.Verify(in, proof); named(err) != 0 || !strings.Contains(err.Error(), c.blame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	swapped := s.source()
	swapped.CommC, swapped.CommRLast = swapped.CommRLast, swapped.CommC
	proof, err := s.params.Prove(in, swapped)
	if err != nil {
		t.Fatal(err)
	}
	if err := porep.Verify(in, proof); !errors.Is(err, porep.ErrCommitment) {
		t.Errorf("swapped roots: %v", err)
	}
}

func TestProveErrors(t *testing.T) {
	s := honest(t)
	broken := errors.New("disk")
	for name, spoil := range map[string]func(*porep.Source){
		"tree d": func(src *porep.Source) { src.TreeD = func(int, uint64, []merkle.Node) error { return broken } },
		"tree c": func(src *porep.Source) { src.TreeC = func(int, uint64, []merkle.Node) error { return broken } },
		"tree r": func(src *porep.Source) { src.TreeRLast = func(int, uint64, []merkle.Node) error { return broken } },
		"column": func(src *porep.Source) { src.Column = func(uint64, []merkle.Node) error { return broken } },
	} {
		source := s.source()
		spoil(&source)
		if _, err := s.params.Prove(s.part(1, 0, 1), source); !errors.Is(err, broken) || named(err) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, count := range []int{0, -1, porep.MaxPartChallenges + 1} {
		if _, err := s.params.Prove(s.part(1, 0, count), s.source()); err == nil {
			t.Errorf("proved %d challenges", count)
		}
	}
}

// TestShapes proves and verifies the shapes of large sectors, with eleven layers
// too.
func TestShapes(t *testing.T) {
	for _, p := range []porep.Params{
		{ID: porep.ID(proof2KiB), Nodes: 128, Layers: 2, Shape: merkle.Shape{Base: 8, Sub: 2}},
		{ID: porep.ID(8), Nodes: 512, Layers: 11, Shape: merkle.Shape{Base: 8, Sub: 8}},
		{ID: porep.ID(9), Nodes: 1024, Layers: 2, Shape: merkle.Shape{Base: 8, Sub: 8, Top: 2}},
	} {
		s := sealSector(t, p, porep.SealInput{MinerID: 5, Number: 6}, testData(p.Nodes), forgery{})
		in := s.part(4, 18, porep.MaxPartChallenges)
		proof := s.prove(t, in)
		if err := p.Verify(in, proof); err != nil {
			t.Errorf("%v: %v", p.Shape, err)
		}
		in.Seed[0]++
		if err := p.Verify(in, proof); err == nil {
			t.Errorf("%v: passed under another seed", p.Shape)
		}
	}
}

func TestCheckCommR(t *testing.T) {
	sum, err := poseidon.Hash([]merkle.Node{filled(1), filled(2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := porep.CheckCommR(sum, filled(1), filled(2)); err != nil {
		t.Error(err)
	}
	if err := porep.CheckCommR(sum, filled(2), filled(1)); !errors.Is(err, porep.ErrCommitment) {
		t.Errorf("swapped: %v", err)
	}
	if err := porep.CheckCommR(sum, filled(0xff), filled(2)); err == nil {
		t.Error("no element accepted")
	}
}

// FuzzVerify: no bytes crash the verifier, and none but the proof itself pass.
func FuzzVerify(f *testing.F) {
	s := honest(f)
	in := s.part(1, 0, 2)
	proof := s.prove(f, in)
	f.Add(proof)
	f.Add(proof[:headerSize])
	f.Add([]byte{})
	f.Add(append(bytes.Clone(proof), 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := porep.Verify(in, data); (err == nil) != bytes.Equal(data, proof) {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	s := honest(b)
	in := s.part(1, 0, porep.MaxPartChallenges)
	proof := s.prove(b, in)
	b.ReportMetric(float64(len(proof)), "proof-bytes")
	for b.Loop() {
		if err := porep.Verify(in, proof); err != nil {
			b.Fatal(err)
		}
	}
}
