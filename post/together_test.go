package post

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/internal/merkle/merkletest"
	"github.com/perdure/perdure/porep/poseidon"
)

// damage changes a proof in one of many ways, or not at all.
func damage(rt *rapid.T, proof []byte) []byte {
	bad := bytes.Clone(proof)
	node := rapid.IntRange(0, (len(proof)-headerSize)/merkle.NodeSize-1)
	at := headerSize + node.Draw(rt, "node")*merkle.NodeSize
	switch rapid.SampledFrom([]string{"not", "flip", "modulus", "swap", "cut", "cut node", "drop", "extend"}).Draw(rt, "damage") {
	case "flip":
		bad[at+at%32] ^= 1 << (at % 8)
	case "modulus":
		copy(bad[at:], bytes.Repeat([]byte{0xff}, merkle.NodeSize))
	case "swap":
		other := headerSize + node.Draw(rt, "other")*merkle.NodeSize
		copy(bad[at:at+merkle.NodeSize], proof[other:])
		copy(bad[other:other+merkle.NodeSize], proof[at:])
	case "cut":
		bad = bad[:at+at%32]
	case "cut node":
		bad = bad[:at]
	case "drop":
		bad = slices.Delete(bad, at, at+merkle.NodeSize)
	case "extend":
		bad = append(bad, bad[at:at+merkle.NodeSize]...)
	}
	return bad
}

// TestTogether checks proofs, damaged or not, in one batch and one by one: both accept the one
// valid proof and nothing else, and Verify names the place that reading one by one finds.
func TestTogether(t *testing.T) {
	type made struct {
		tree  Tree
		in    WindowInput
		proof []byte
	}
	var all []made
	for i, tree := range shapes {
		in, _, proof := partition(t, tree, 1+i%3, 4+3*i)
		all = append(all, made{tree, in, proof})
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := rapid.SampledFrom(all).Draw(rt, "proof")
		bad := damage(rt, m.proof)
		good := bytes.Equal(bad, m.proof)
		together := m.tree.holds(m.in, m.in.Challenges, bad[headerSize:])
		single := m.tree.oneByOne(m.in, m.in.Challenges, bad[headerSize:])
		if (together == nil) != good || (single == nil) != good {
			rt.Fatalf("together: %v, one by one: %v", together, single)
		}
		if most, _ := m.tree.MaxProofSize(len(m.in.Sectors), m.in.Challenges); len(bad) > most {
			return
		}
		if got := m.tree.Verify(m.in, bad); placeOf(got) != placeOf(single) || (got == nil) != good {
			rt.Fatalf("verify: %v, one by one: %v", got, single)
		}
	})
}

// sparseReplica is a replica of a large size that differs from its usual node around some leaves.
func sparseReplica(t testing.TB, tree Tree, number abi.SectorNumber, leaves []uint64) (Sector, Source) {
	t.Helper()
	nodes := make(map[uint64]merkle.Node)
	for _, leaf := range leaves {
		for _, at := range []uint64{leaf, leaf ^ 1, leaf ^ 8, leaf ^ 64, leaf ^ 512} {
			nodes[at] = filled(byte(at%0x3f) + 1)
		}
	}
	sparse := merkletest.NewSparse(t, poseidon.Tree{}, tree.Shape, tree.Nodes, filled(0x17), nodes)
	source := Source{CommC: filled(4), CommRLast: sparse.Root(), TreeRLast: sparse.Read}
	return Sector{Number: number, CommR: hash(t, []merkle.Node{source.CommC, source.CommRLast})}, source
}

const (
	window32GiB = abi.RegisteredPoStProof_StackedDrgWindow32GiBV1_1
	window64GiB = abi.RegisteredPoStProof_StackedDrgWindow64GiBV1_1
)

// TestLargeSectors proves two sectors of the two large sizes, as a partition and in parts.
func TestLargeSectors(t *testing.T) {
	for proof, levels := range map[abi.RegisteredPoStProof][]int{
		window32GiB: {7, 7, 7, 7, 7, 7, 7, 7, 7, 7}, window64GiB: {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 1},
	} {
		tree, err := TreeOf(proof)
		if err != nil {
			t.Fatal(err)
		}
		in := WindowInput{ProofType: proof, Randomness: filled(0xc7)}
		var sources []Source
		for number := range abi.SectorNumber(2) {
			sector, source := sparseReplica(t, tree, number, Leaves(in.Randomness, number, tree.Nodes, DefaultChallenges))
			in.Sectors, sources = append(in.Sectors, sector), append(sources, source)
		}
		made, err := Prove(in, sources)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(in, made); err != nil {
			t.Error(err)
		}
		bad := bytes.Clone(made)
		bad[len(bad)-1] ^= 1
		if err := Verify(in, bad); placeOf(err) != (place{1, DefaultChallenges - 1}) {
			t.Errorf("last byte changed: %v", err)
		}
		verifyParts(t, tree, in, sources[0], levels)
	}
}

// verifyParts checks the first sector of a statement by its parts, with paths of these lengths.
func verifyParts(t *testing.T, tree Tree, in WindowInput, from Source, levels []int) {
	t.Helper()
	statement := SectorInput{
		ProofType: in.ProofType, SectorNumber: in.Sectors[0].Number, CommR: in.Sectors[0].CommR,
		Randomness: in.Randomness, CommC: from.CommC, CommRLast: from.CommRLast,
	}
	openings := openings(t, tree, store{Source: from}, statement)
	if err := VerifySector(statement, openings); err != nil {
		t.Error(err)
	}
	for _, o := range openings {
		var lengths []int
		for _, siblings := range o.Path {
			lengths = append(lengths, len(siblings))
		}
		if !slices.Equal(lengths, levels) {
			t.Fatalf("siblings of a path: %v, want %v", lengths, levels)
		}
	}
	openings[7].Path[len(levels)-1][0][0] ^= 1
	if err := VerifySector(statement, openings); placeOf(err) != (place{statement.SectorNumber, 7}) {
		t.Errorf("a sibling of the root's child changed: %v", err)
	}
}

// expectedSize is the mean size of a proof of one sector over all randomness: in each row the
// challenges touch so many groups of siblings, on average, and each is sent once but for the node
// on the way; with each group of leaves goes the leaf itself.
func expectedSize(t *testing.T, tree Tree, challenges int) float64 {
	t.Helper()
	rows, err := tree.Shape.Rows(tree.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	nodes := 2.0
	for row := range rows[:len(rows)-1] {
		groups := float64(rows[row+1])
		touched := groups * (1 - math.Pow(1-1/groups, float64(challenges)))
		sent := float64(rows[row]/rows[row+1]) - 1
		if row == 0 {
			sent++
		}
		nodes += touched * sent
	}
	return headerSize + nodes*merkle.NodeSize
}

// TestSizes compares the sizes that SPEC.md gives with the formula, and that with proofs, whose
// sizes do not depend on what is in the replica.
func TestSizes(t *testing.T) {
	blank := Source{TreeRLast: func(int, uint64, []merkle.Node) error { return nil }}
	for i, size := range []struct{ most, mean int }{
		{4_866, 1_799}, {13_826, 10_717}, {18_306, 15_197}, {22_786, 19_677}, {23_106, 20_402},
	} {
		proof := window2KiB + abi.RegisteredPoStProof(i)
		tree, err := TreeOf(proof)
		if err != nil {
			t.Fatal(err)
		}
		if most, err := MaxProofSize(proof, 1, 0); err != nil || most != size.most {
			t.Errorf("window proof %d: at most %d bytes, want %d (%v)", proof, most, size.most, err)
		}
		mean := expectedSize(t, tree, DefaultChallenges)
		if int(math.Round(mean)) != size.mean {
			t.Errorf("window proof %d: %.0f bytes expected, want %d", proof, mean, size.mean)
		}
		const trials = 400
		total := 0
		for trial := range uint64(trials) {
			in := WindowInput{ProofType: proof, Sectors: []Sector{{Number: 9}}}
			binary.LittleEndian.PutUint64(in.Randomness[:], trial)
			made, err := Prove(in, []Source{blank})
			if err != nil {
				t.Fatal(err)
			}
			total += len(made)
		}
		if got := float64(total) / trials; math.Abs(got-mean) > 0.02*mean {
			t.Errorf("window proof %d: %.0f bytes on average, want about %.0f", proof, got, mean)
		}
	}
}

// FuzzVerifySector puts arbitrary bytes in the place of leaf and path of one opening.
func FuzzVerifySector(f *testing.F) {
	tree := shapes[2]
	s := newStore(f, tree, 33)
	in := sectorInput(s)
	good := openings(f, tree, s, in)
	var valid []byte
	for _, level := range append([][][32]byte{{good[3].Leaf}}, good[3].Path...) {
		valid = merkle.AppendNodes(valid, level)
	}
	f.Add(valid, byte(7))
	f.Add(valid[:64], byte(7))
	f.Add(valid, byte(6))
	f.Add([]byte{}, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, width byte) {
		nodes, _, err := merkle.ParseNodes(data, len(data)/merkle.NodeSize)
		if err != nil {
			t.Fatal(err)
		}
		var o Opening
		if len(nodes) > 0 {
			o.Leaf, nodes = nodes[0], nodes[1:]
		}
		for w := int(width); len(nodes) > 0; {
			n := min(max(w, 1), len(nodes))
			o.Path = append(o.Path, nodes[:n])
			nodes = nodes[n:]
		}
		changed := slices.Clone(good)
		changed[3] = o
		same := width == 7 && len(data)/merkle.NodeSize == len(valid)/merkle.NodeSize && bytes.HasPrefix(data, valid)
		if err := tree.VerifySector(in, changed); (err == nil) != same {
			t.Fatalf("%d bytes, %d a level: %v", len(data), width, err)
		}
	})
}

// FuzzVerifyCompound: as FuzzVerify, in the shape of sectors of 64 GiB.
func FuzzVerifyCompound(f *testing.F) {
	tree := shapes[3]
	in, _, proof := partition(f, tree, 2, 3)
	f.Add(proof)
	f.Add(proof[:len(proof)-32])
	f.Add([]byte{'W', 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := tree.Verify(in, data); (err == nil) != bytes.Equal(data, proof) {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
	})
}
