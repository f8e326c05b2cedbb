package post

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/extern/vectors"
	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/poseidon"
)

const window2KiB = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1

func filled(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

func TestLeaves(t *testing.T) {
	for _, v := range vectors.Matching(t, "challenges_post", "leaf_") {
		var in struct {
			Randomness string
			Sector     abi.SectorNumber `json:"sector_id"`
			Nodes      uint64
			Indices    []uint64
		}
		var want struct {
			Leaves []uint64 `json:"leaf_challenges"`
		}
		v.Decode(t, &in, &want)
		got := Leaves(vectors.Node(t, in.Randomness), in.Sector, in.Nodes, len(in.Indices))
		if !slices.Equal(got, want.Leaves) {
			t.Errorf("%s: got %v, want %v", v.ID, got, want.Leaves)
		}
	}
	for _, v := range vectors.Matching(t, "challenges_post", "randomness_mask") {
		var in struct{ Randomness string }
		var want struct{ Masked string }
		v.Decode(t, &in, &want)
		got := Leaves(vectors.Node(t, in.Randomness), 3, 1<<30, 10)
		if !slices.Equal(got, Leaves(vectors.Node(t, want.Masked), 3, 1<<30, 10)) {
			t.Errorf("%s: the two top bits count", v.ID)
		}
	}
	if got := Leaves(filled(1), 1, 0, 10); got != nil {
		t.Errorf("leaves of no nodes: %v", got)
	}
	if got := Leaves(filled(1), 1, 64, -1); got != nil {
		t.Errorf("less than no leaves: %v", got)
	}
}

func TestProofTypes(t *testing.T) {
	for i := range abi.RegisteredPoStProof(5) {
		window := window2KiB + i
		seal, err := SealProof(window)
		if err != nil || seal != abi.RegisteredSealProof(5+i) {
			t.Errorf("window proof %d: seal proof %d, %v", window, seal, err)
		}
		if back, err := WindowProof(seal); err != nil || back != window {
			t.Errorf("seal proof %d: window proof %d, %v", seal, back, err)
		}
	}
	for _, proof := range []abi.RegisteredPoStProof{-1, 0, 4, 5, 9, 15} {
		if _, err := SealProof(proof); !errors.Is(err, ErrProofType) {
			t.Errorf("window proof %d: %v", proof, err)
		}
		if err := Verify(WindowInput{ProofType: proof}, nil); !errors.Is(err, ErrProofType) {
			t.Errorf("window proof %d: %v", proof, err)
		}
		if err := VerifySector(SectorInput{ProofType: proof}, nil); !errors.Is(err, ErrProofType) {
			t.Errorf("window proof %d: %v", proof, err)
		}
	}
	for _, proof := range []abi.RegisteredSealProof{0, 4, 10, -1} {
		if _, err := WindowProof(proof); !errors.Is(err, ErrProofType) {
			t.Errorf("seal proof %d: %v", proof, err)
		}
	}
	for _, seal := range []abi.RegisteredPoStProof{window2KiB, window2KiB + 4} {
		size, err := MaxProofSize(seal, MaxSectors, 0)
		if err != nil || size > 1<<20 {
			t.Errorf("window proof %d: a partition may take %d bytes (%v), more than a message", seal, size, err)
		}
	}
}

// store is a replica in memory, of arbitrary content.
type store struct {
	Sector
	Source
	rows [][]merkle.Node
}

func newStore(t testing.TB, tree Tree, number abi.SectorNumber) store {
	t.Helper()
	nodes := make([]merkle.Node, tree.Nodes)
	for i := range nodes {
		nodes[i] = sha256.Sum256(binary.BigEndian.AppendUint64([]byte{byte(number)}, uint64(i)))
		nodes[i][31] &= 0x3f
	}
	arities, err := tree.Shape.Arities(tree.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	s := store{rows: [][]merkle.Node{nodes}}
	for _, arity := range arities {
		var row []merkle.Node
		for i := 0; i < len(nodes); i += arity {
			row = append(row, hash(t, nodes[i:i+arity]))
		}
		s.rows = append(s.rows, row)
		nodes = row
	}
	s.Source = Source{
		CommC: filled(byte(number)), CommRLast: nodes[0],
		TreeRLast: func(row int, first uint64, out []merkle.Node) error {
			copy(out, s.rows[row][first:])
			return nil
		},
	}
	s.Sector = Sector{Number: number, CommR: hash(t, []merkle.Node{s.CommC, s.CommRLast})}
	return s
}

func hash(t testing.TB, nodes []merkle.Node) merkle.Node {
	t.Helper()
	node, err := poseidon.Hash(nodes)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// partition makes sectors and the proof of them.
func partition(t testing.TB, tree Tree, sectors, challenges int) (WindowInput, []store, []byte) {
	t.Helper()
	in := WindowInput{ProofType: window2KiB, Randomness: filled(0xc7), Challenges: challenges}
	var stores []store
	var sources []Source
	for i := range sectors {
		s := newStore(t, tree, abi.SectorNumber(20+i))
		stores = append(stores, s)
		sources = append(sources, s.Source)
		in.Sectors = append(in.Sectors, s.Sector)
	}
	proof, err := tree.Prove(in, sources)
	if err != nil {
		t.Fatal(err)
	}
	return in, stores, proof
}

func tree2KiB(t testing.TB) Tree {
	t.Helper()
	tree, err := TreeOf(window2KiB)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

var shapes = []Tree{
	{64, merkle.Octree},
	{128, merkle.Shape{Base: 8, Sub: 2}},
	{512, merkle.Shape{Base: 8, Sub: 8}},
	{1024, merkle.Shape{Base: 8, Sub: 8, Top: 2}},
}

func TestWindowShapes(t *testing.T) {
	for _, tree := range shapes {
		for _, challenges := range []int{0, 1, 40} {
			in, _, proof := partition(t, tree, 2, challenges)
			if err := tree.Verify(in, proof); err != nil {
				t.Errorf("%v, %d challenges: %v", tree.Shape, challenges, err)
			}
			most, err := tree.MaxProofSize(2, max(challenges, 1))
			if challenges > 0 && (err != nil || len(proof) > most) {
				t.Errorf("%v: proof of %d bytes, at most %d (%v)", tree.Shape, len(proof), most, err)
			}
		}
	}
}

// place is what a SectorError names, with -2 for no SectorError at all.
type place struct {
	sector    abi.SectorNumber
	challenge int
}

func placeOf(err error) place {
	var bad *SectorError
	if errors.As(err, &bad) {
		return place{bad.Sector, bad.Challenge}
	}
	return place{0, -2}
}

// owners says for every byte of a proof to which sector and challenge it belongs.
func owners(t *testing.T, tree Tree, in WindowInput, stores []store) []place {
	t.Helper()
	out := []place{{0, -2}, {0, -2}}
	grow := func(size int, to place) {
		for len(out) < size {
			out = append(out, to)
		}
	}
	var before []byte
	for i, sector := range in.Sectors {
		grow(headerSize+len(before)+64, place{sector.Number, -1})
		var part []byte
		for challenge := range in.Challenges {
			fewer := in
			fewer.Challenges = challenge + 1
			var err error
			if part, err = tree.ProveSector(fewer, i, stores[i].Source); err != nil {
				t.Fatal(err)
			}
			grow(headerSize+len(before)+len(part), place{sector.Number, challenge})
		}
		before = append(before, part...)
	}
	return out
}

// TestEveryByteCounts flips a bit in every byte of a proof: the sector and the
// challenge to which it belongs are named.
func TestEveryByteCounts(t *testing.T) {
	tree := tree2KiB(t)
	in, stores, proof := partition(t, tree, 2, 6)
	owners := owners(t, tree, in, stores)
	if len(owners) != len(proof) {
		t.Fatalf("%d bytes, %d owners", len(proof), len(owners))
	}
	for at := range proof {
		bad := bytes.Clone(proof)
		bad[at] ^= 1 << (at % 8)
		err := Verify(in, bad)
		if err == nil {
			t.Fatalf("passed with byte %d flipped", at)
		}
		if got := placeOf(err); got != owners[at] {
			t.Fatalf("byte %d belongs to %v, error names %v: %v", at, owners[at], got, err)
		}
	}
	for at := 0; at < len(proof); at += 16 {
		if err := Verify(in, proof[:at]); !errors.Is(err, ErrLength) || placeOf(err) != owners[at] {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
	for _, more := range []int{1, 32, 1 << 20} {
		if err := Verify(in, append(bytes.Clone(proof), make([]byte, more)...)); !errors.Is(err, ErrLength) {
			t.Errorf("%d bytes more: %v", more, err)
		}
	}
}

func TestStatement(t *testing.T) {
	tree := tree2KiB(t)
	in, stores, proof := partition(t, tree, 3, 0)
	for name, change := range map[string]func(*WindowInput){
		"randomness": func(in *WindowInput) { in.Randomness[0] ^= 1 },
		"size":       func(in *WindowInput) { in.ProofType++ },
		"fewer":      func(in *WindowInput) { in.Challenges = 2 },
		"more":       func(in *WindowInput) { in.Challenges = 60 },
		"minus":      func(in *WindowInput) { in.Challenges = -1 },
		"many":       func(in *WindowInput) { in.Challenges = MaxChallenges + 1 },
		"none":       func(in *WindowInput) { in.Sectors = nil },
		"too many":   func(in *WindowInput) { in.Sectors = make([]Sector, MaxSectors+1) },
		"skipped":    func(in *WindowInput) { in.Sectors = in.Sectors[:2] },
		"order":      func(in *WindowInput) { slices.Reverse(in.Sectors) },
		"number":     func(in *WindowInput) { in.Sectors[1].Number += 1000 },
		"CommR":      func(in *WindowInput) { in.Sectors[2].CommR[0] ^= 1 },
	} {
		changed := in
		changed.Sectors = slices.Clone(in.Sectors)
		change(&changed)
		if err := Verify(changed, proof); err == nil {
			t.Errorf("passed with another statement: %s", name)
		}
	}
	masked := in
	masked.Randomness[31] ^= 0xc0
	if err := Verify(masked, proof); err != nil {
		t.Errorf("the top bits of the randomness count: %v", err)
	}
	sources := []Source{stores[0].Source}
	if _, err := Prove(in, sources); !errors.Is(err, ErrSectors) {
		t.Errorf("one source for three sectors: %v", err)
	}
}

// TestSectorsDoNotMix gives each sector's data for the other.
func TestSectorsDoNotMix(t *testing.T) {
	in, stores, _ := partition(t, tree2KiB(t), 2, 0)
	proof, err := Prove(in, []Source{stores[0].Source, stores[0].Source})
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(in, proof); placeOf(err) != (place{21, -1}) || !errors.Is(err, porep.ErrCommitment) {
		t.Errorf("one sector for two: %v", err)
	}
	mixed := stores[1].Source
	mixed.TreeRLast = stores[0].TreeRLast
	if proof, err = Prove(in, []Source{stores[0].Source, mixed}); err != nil {
		t.Fatal(err)
	}
	if err := Verify(in, proof); placeOf(err) != (place{21, 0}) || !errors.Is(err, merkle.ErrOpening) {
		t.Errorf("another sector's replica: %v", err)
	}
	broken := errors.New("disk")
	mixed.TreeRLast = func(int, uint64, []merkle.Node) error { return broken }
	if _, err := Prove(in, []Source{stores[0].Source, mixed}); placeOf(err) != (place{21, 0}) || !errors.Is(err, broken) {
		t.Errorf("broken store: %v", err)
	}
}

func openings(t testing.TB, tree Tree, s store, in SectorInput) []Opening {
	t.Helper()
	var out []Opening
	for _, leaf := range Leaves(in.Randomness, in.SectorNumber, tree.Nodes, DefaultChallenges) {
		node, path, err := merkle.Open(tree.Shape, tree.Nodes, leaf, s.TreeRLast)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Opening{Leaf: node, Path: path})
	}
	return out
}

func sectorInput(s store) SectorInput {
	return SectorInput{
		ProofType: window2KiB, SectorNumber: s.Number, CommR: s.CommR, Randomness: filled(0xc7),
		CommC: s.CommC, CommRLast: s.CommRLast,
	}
}

// TestVerifySector opens one sector with plain paths in every shape and spoils
// every node and length of them.
func TestVerifySector(t *testing.T) {
	for _, tree := range shapes {
		s := newStore(t, tree, 33)
		in := sectorInput(s)
		if err := tree.VerifySector(in, openings(t, tree, s, in)); err != nil {
			t.Errorf("%v: %v", tree.Shape, err)
		}
		for i := range DefaultChallenges {
			for name, spoil := range map[string]func(*Opening){
				"leaf":         func(o *Opening) { o.Leaf[31] ^= 0x20 },
				"no element":   func(o *Opening) { o.Leaf = filled(0xff) },
				"sibling":      func(o *Opening) { o.Path[i%len(o.Path)][i%(tree.Shape.Base-1)%len(o.Path[i%len(o.Path)])][5] ^= 1 },
				"order":        func(o *Opening) { slices.Reverse(o.Path[0]) },
				"levels":       func(o *Opening) { slices.Reverse(o.Path) },
				"one less":     func(o *Opening) { o.Path[0] = o.Path[0][1:] },
				"one more":     func(o *Opening) { o.Path[1] = append(o.Path[1], filled(1)) },
				"shorter":      func(o *Opening) { o.Path = o.Path[:len(o.Path)-1] },
				"longer":       func(o *Opening) { o.Path = append(o.Path, o.Path[0]) },
				"no path":      func(o *Opening) { o.Path = nil },
				"root as leaf": func(o *Opening) { o.Leaf, o.Path = in.CommRLast, nil },
			} {
				bad := openings(t, tree, s, in)
				spoil(&bad[i])
				err := tree.VerifySector(in, bad)
				if placeOf(err) != (place{33, i}) {
					t.Errorf("%v: %s of opening %d: %v", tree.Shape, name, i, err)
				}
			}
		}
	}
}

func TestVerifySectorStatement(t *testing.T) {
	tree := tree2KiB(t)
	s := newStore(t, tree, 33)
	in := sectorInput(s)
	good := openings(t, tree, s, in)
	if err := VerifySector(in, good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*SectorInput, *[]Opening){
		"nine openings":   func(_ *SectorInput, o *[]Opening) { *o = (*o)[:9] },
		"eleven openings": func(_ *SectorInput, o *[]Opening) { *o = append(slices.Clone(*o), (*o)[0]) },
		"no openings":     func(_ *SectorInput, o *[]Opening) { *o = nil },
		"swapped":         func(_ *SectorInput, o *[]Opening) { *o = slices.Clone(*o); (*o)[0], (*o)[1] = (*o)[1], (*o)[0] },
		"randomness":      func(in *SectorInput, _ *[]Opening) { in.Randomness[0] ^= 1 },
		"number":          func(in *SectorInput, _ *[]Opening) { in.SectorNumber++ },
		"CommR":           func(in *SectorInput, _ *[]Opening) { in.CommR[0] ^= 1 },
		"CommC":           func(in *SectorInput, _ *[]Opening) { in.CommC[0] ^= 1 },
		"CommRLast":       func(in *SectorInput, _ *[]Opening) { in.CommRLast[0] ^= 1 },
		"swapped roots":   func(in *SectorInput, _ *[]Opening) { in.CommC, in.CommRLast = in.CommRLast, in.CommC },
		"size":            func(in *SectorInput, _ *[]Opening) { in.ProofType++ },
		"challenges":      func(in *SectorInput, _ *[]Opening) { in.Challenges = 11 },
		"less than none":  func(in *SectorInput, _ *[]Opening) { in.Challenges = -1 },
	} {
		changed, o := in, good
		change(&changed, &o)
		if err := VerifySector(changed, o); err == nil || !strings.HasPrefix(err.Error(), "verify") {
			t.Errorf("%s: %v", name, err)
		}
	}
	in.Challenges = 4
	if err := VerifySector(in, good[:4]); err != nil {
		t.Errorf("four challenges: %v", err)
	}
}

// FuzzVerify: no bytes crash the verifier, and none but the proof itself pass.
func FuzzVerify(f *testing.F) {
	in, _, proof := partition(f, tree2KiB(f), 2, 3)
	f.Add(proof)
	f.Add(proof[:headerSize+64])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := Verify(in, data); (err == nil) != bytes.Equal(data, proof) {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	in, _, proof := partition(b, tree2KiB(b), 1, 0)
	b.ReportMetric(float64(len(proof)), "proof-bytes")
	for b.Loop() {
		if err := Verify(in, proof); err != nil {
			b.Fatal(err)
		}
	}
}
