package porep_test

import (
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"pgregory.net/rapid"

	"github.com/perdure/perdure/extern/vectors"
	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/poseidon"
)

func TestIDs(t *testing.T) {
	for _, v := range vectors.Load(t, "porep_id") {
		var in struct {
			Registered abi.RegisteredSealProof `json:"registered_seal_proof"`
		}
		var want struct {
			PorepID string `json:"porep_id"`
		}
		v.Decode(t, &in, &want)
		if got := porep.ID(in.Registered); got != vectors.Node(t, want.PorepID) {
			t.Errorf("%s: got %x", v.ID, got)
		}
	}
	for _, v := range vectors.Load(t, "prover_id") {
		var in struct {
			Actor uint64 `json:"actor_id"`
		}
		var want struct {
			ProverID string `json:"prover_id"`
		}
		v.Decode(t, &in, &want)
		if got := porep.ProverID(in.Actor); got != vectors.Node(t, want.ProverID) {
			t.Errorf("%s: got %x", v.ID, got)
		}
	}
}

func TestChallenges(t *testing.T) {
	for _, v := range vectors.Load(t, "challenges_interactive") {
		var in struct {
			Leaves    uint64
			ReplicaID string `json:"replica_id"`
			Seed      string
			Count     int `json:"challenges_per_partition"`
			Partition int
		}
		var want struct{ Challenges []uint64 }
		v.Decode(t, &in, &want)
		got, err := porep.Challenges(vectors.Node(t, in.ReplicaID), vectors.Node(t, in.Seed), in.Leaves, in.Partition*in.Count, in.Count)
		if err != nil || !slices.Equal(got, want.Challenges) {
			t.Errorf("%s: got %v, %v; want %v", v.ID, got, err, want.Challenges)
		}
	}
	for _, bad := range []struct {
		nodes        uint64
		first, count int
	}{{1, 0, 1}, {0, 0, 1}, {64, -1, 1}, {64, 0, -1}, {64, 1<<32 - 1, 1}} {
		if _, err := porep.Challenges([32]byte{}, [32]byte{}, bad.nodes, bad.first, bad.count); err == nil {
			t.Errorf("%v accepted", bad)
		}
	}
}

// TestChallengeRule compares with big integers, for any number of nodes.
func TestChallengeRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.Uint64Range(2, 1<<32).Draw(t, "nodes")
		first := rapid.IntRange(0, 1<<30).Draw(t, "first")
		id, seed := draw32(t, "id"), draw32(t, "seed")
		got, err := porep.Challenges(id, seed, nodes, first, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range got {
			j := first + i
			in := append(append(id[:], seed[:]...), byte(j), byte(j>>8), byte(j>>16), byte(j>>24))
			digest := sha256.Sum256(in)
			slices.Reverse(digest[:])
			want := new(big.Int).Mod(new(big.Int).SetBytes(digest[:]), new(big.Int).SetUint64(nodes-1))
			if c != want.Uint64()+1 {
				t.Fatalf("challenge %d of %d nodes is %d, want %d", j, nodes, c, want.Uint64()+1)
			}
		}
	})
}

func draw32(t *rapid.T, label string) [32]byte {
	return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

// elevenLayers computes the labels of a label vector, in files' form.
func elevenLayers(t *testing.T, nodes uint64, layers int, porepID, replicaID [32]byte) [][]byte {
	g, err := graph.New(porepID, nodes)
	if err != nil {
		t.Fatal(err)
	}
	labeler := porep.NewLabeler(replicaID)
	var all [][]byte
	var previous []byte
	for layer := 1; layer <= layers; layer++ {
		current := make([]byte, nodes*porep.NodeSize)
		for v := range uint32(nodes) {
			var parents [graph.Degree]uint32
			g.Parents(v, &parents)
			var labels [][32]byte
			for i, p := range parents {
				if v > 0 && i < graph.BaseDegree {
					labels = append(labels, [32]byte(current[p*porep.NodeSize:]))
				} else if v > 0 && layer > 1 {
					labels = append(labels, [32]byte(previous[p*porep.NodeSize:]))
				}
			}
			label := labeler.Label(uint32(layer), uint64(v), labels...)
			copy(current[v*porep.NodeSize:], label[:])
		}
		all = append(all, current)
		previous = current
	}
	return all
}

type labelInput struct {
	Nodes     uint64
	Layers    int
	ReplicaID string `json:"replica_id"`
	PorepID   string `json:"porep_id"`
	Layer     uint32
	Node      uint64
	Parents   []string
}

func TestLabels(t *testing.T) {
	for _, v := range vectors.Matching(t, "labels", "stacked_vanilla") {
		var in labelInput
		var want struct {
			Last   string   `json:"last_label_of_last_layer_le_hex"`
			Firsts []string `json:"first_label_per_layer"`
			Lasts  []string `json:"last_label_per_layer"`
			Files  []string `json:"sha256_of_each_layer_file"`
		}
		v.Decode(t, &in, &want)
		layers := elevenLayers(t, in.Nodes, in.Layers, vectors.Node(t, in.PorepID), vectors.Node(t, in.ReplicaID))
		lastOf := func(layer []byte) string { return hex.EncodeToString(layer[len(layer)-32:]) }
		if got := lastOf(layers[len(layers)-1]); want.Last != "" && got != want.Last {
			t.Errorf("%s: last label is %s, want %s", v.ID, got, want.Last)
		}
		for i := range want.Files {
			sum := sha256.Sum256(layers[i])
			if hex.EncodeToString(sum[:]) != want.Files[i] || lastOf(layers[i]) != want.Lasts[i] ||
				hex.EncodeToString(layers[i][:32]) != want.Firsts[i] {
				t.Errorf("%s: layer %d differs", v.ID, i+1)
			}
		}
	}
	for _, v := range vectors.Matching(t, "labels", "label_") {
		var in labelInput
		var want struct{ Label string }
		v.Decode(t, &in, &want)
		var parents [][32]byte
		for _, p := range in.Parents {
			parents = append(parents, vectors.Node(t, p))
		}
		got := porep.NewLabeler(vectors.Node(t, in.ReplicaID)).Label(in.Layer, in.Node, parents...)
		if want.Label != hex.EncodeToString(got[:]) {
			t.Errorf("%s: got %x, want %v", v.ID, got, want)
		}
	}
}

// TestColumns hashes columns of eleven layers and the tree over them.
func TestColumns(t *testing.T) {
	for _, v := range vectors.Load(t, "column_hash") {
		var in labelInput
		var want struct {
			Column    []string `json:"column_node_0"`
			Leaf0     string   `json:"tree_c_leaf_0"`
			Leaf63    string   `json:"tree_c_leaf_63"`
			CommC     string   `json:"comm_c_oct_tree"`
			CommRLast string   `json:"comm_r_last_if_data_zero"`
		}
		v.Decode(t, &in, &want)
		layers := elevenLayers(t, 64, in.Layers, vectors.Node(t, in.PorepID), vectors.Node(t, in.ReplicaID))
		leaves := make([]merkle.Node, 64)
		replica := make([]merkle.Node, 64)
		for node := range leaves {
			var column []merkle.Node
			for i, layer := range layers {
				label := merkle.Node(layer[node*32:])
				if node == 0 && label != vectors.Node(t, want.Column[i]) {
					t.Errorf("label of node 0 in layer %d is %x", i+1, label)
				}
				column = append(column, label)
			}
			leaves[node], replica[node] = poseidonOf(t, column), column[len(column)-1]
		}
		if leaves[0] != vectors.Node(t, want.Leaf0) || leaves[63] != vectors.Node(t, want.Leaf63) {
			t.Error("column hashes differ")
		}
		if got := root(rows(t, merkle.Octree, poseidon.Tree{}, leaves)); got != vectors.Node(t, want.CommC) {
			t.Errorf("CommC is %x", got)
		}
		if got := root(rows(t, merkle.Octree, poseidon.Tree{}, replica)); got != vectors.Node(t, want.CommRLast) {
			t.Errorf("CommRLast is %x", got)
		}
	}
}

type binaryStep struct {
	Sibling string
	Index   uint64
}

type octalStep struct {
	Siblings []string
	Index    uint64
}

type knownOpening struct {
	Challenge     uint64
	Base          []uint32            `json:"base_parents"`
	Exp           []uint32            `json:"exp_parents"`
	DataLeaf      string              `json:"comm_d_leaf"`
	DataPath      []binaryStep        `json:"comm_d_path"`
	DataRoot      string              `json:"comm_d_root"`
	Column        []string            `json:"column_labels"`
	ColumnLeaf    string              `json:"comm_c_leaf"`
	ColumnPath    []octalStep         `json:"comm_c_path"`
	ColumnRoot    string              `json:"comm_c_root"`
	ReplicaLeaf   string              `json:"comm_r_last_leaf"`
	ReplicaPath   []octalStep         `json:"comm_r_last_path"`
	ReplicaRoot   string              `json:"comm_r_last_root"`
	ParentColumns map[string][]string `json:"parent_columns"`
}

// TestKnownOpenings seals the sector of porep_vanilla, opens its challenges and
// compares every leaf, path and column with the known ones; then the proof of
// exactly these challenges verifies.
func TestKnownOpenings(t *testing.T) {
	p := params(t)
	v := vectors.Load(t, "porep_vanilla")[0]
	var in struct{ Seed string }
	var want struct {
		Challenges []uint64
		Openings   []knownOpening
	}
	v.Decode(t, &in, &want)
	identity := porep.SealInput{
		ProofType: proof2KiB, MinerID: 1002, Number: 1, Seed: vectors.Node(t, in.Seed), Count: len(want.Challenges),
		Ticket: vectors.Node(t, "c3a1ca12b981a8a59f9a4764edf3398edd239b2afa8ca2bbd57e0091ec193aa0"),
	}
	s := sealSector(t, p, identity, make([]merkle.Node, p.Nodes), forgery{})
	replicaID := porep.ReplicaID(p, s.in.MinerID, s.in.Number, s.in.Ticket, s.in.CommD)
	challenges, err := porep.Challenges(replicaID, s.in.Seed, p.Nodes, 0, s.in.Count)
	if err != nil || !slices.Equal(challenges, want.Challenges) {
		t.Fatalf("challenges are %v (%v), want %v", challenges, err, want.Challenges)
	}
	for _, o := range want.Openings {
		checkOpening(t, s, o)
	}
	if err := porep.Verify(s.in, s.prove(t, s.in)); err != nil {
		t.Error(err)
	}
}

func checkOpening(t *testing.T, s *sector, o knownOpening) {
	t.Helper()
	g, err := graph.New(s.params.ID, s.params.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	var parents [graph.Degree]uint32
	g.Parents(uint32(o.Challenge), &parents)
	if !slices.Equal(parents[:], append(o.Base, o.Exp...)) {
		t.Errorf("parents of %d are %v", o.Challenge, parents)
	}
	var dataPath []octalStep
	for _, step := range o.DataPath {
		dataPath = append(dataPath, octalStep{[]string{step.Sibling}, step.Index})
	}
	for _, tree := range []struct {
		name       string
		shape      merkle.Shape
		rows       [][]merkle.Node
		leaf, root string
		path       []octalStep
	}{
		{"data", merkle.Binary, s.treeD, o.DataLeaf, o.DataRoot, dataPath},
		{"columns", s.params.Shape, s.treeC, o.ColumnLeaf, o.ColumnRoot, o.ColumnPath},
		{"replica", s.params.Shape, s.treeR, o.ReplicaLeaf, o.ReplicaRoot, o.ReplicaPath},
	} {
		leaf, path, err := merkle.Open(tree.shape, s.params.Nodes, o.Challenge, reader(tree.rows))
		if err != nil {
			t.Fatal(err)
		}
		if leaf != vectors.Node(t, tree.leaf) || root(tree.rows) != vectors.Node(t, tree.root) || len(path) != len(tree.path) {
			t.Errorf("%s of %d: leaf, root or path length differ", tree.name, o.Challenge)
			continue
		}
		for level, siblings := range path {
			for i, node := range siblings {
				if node != vectors.Node(t, tree.path[level].Siblings[i]) {
					t.Errorf("%s of %d: sibling %d of level %d differs", tree.name, o.Challenge, i, level)
				}
			}
		}
	}
	columns := map[string][]string{strconv.FormatUint(o.Challenge, 10): o.Column}
	for node, column := range o.ParentColumns {
		columns[node] = column
	}
	for node, column := range columns {
		v, err := strconv.Atoi(node)
		if err != nil {
			t.Fatal(err)
		}
		for i, label := range column {
			if s.labels[i][v] != vectors.Node(t, label) {
				t.Errorf("label of node %d in layer %d differs", v, i+1)
			}
		}
	}
}

// TestEncode compares with big integers, at the edges of the field too.
func TestEncode(t *testing.T) {
	modulus, _ := new(big.Int).SetString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)
	node := func(x *big.Int) (out [32]byte) {
		x.FillBytes(out[:])
		slices.Reverse(out[:])
		return out
	}
	below := func(n int64) *big.Int { return new(big.Int).Sub(modulus, big.NewInt(n)) }
	edges := []*big.Int{big.NewInt(0), big.NewInt(1), below(1), below(2), new(big.Int).Rsh(modulus, 1)}
	element := rapid.Custom(func(t *rapid.T) *big.Int {
		if rapid.Bool().Draw(t, "edge") {
			return rapid.SampledFrom(edges).Draw(t, "value")
		}
		x := draw32(t, "value")
		return new(big.Int).Mod(new(big.Int).SetBytes(x[:]), modulus)
	})
	rapid.Check(t, func(t *rapid.T) {
		label, data := element.Draw(t, "label"), element.Draw(t, "data")
		want := new(big.Int).Add(label, data)
		want.Mod(want, modulus)
		got, err := porep.Encode(node(label), node(data))
		if err != nil || got != node(want) {
			t.Fatalf("encode: %x, %v", got, err)
		}
		back, err := porep.Decode(node(label), got)
		if err != nil || back != node(data) {
			t.Fatalf("decode: %x, %v", back, err)
		}
	})
	for _, bad := range [][32]byte{node(modulus), node(new(big.Int).Add(modulus, big.NewInt(1))), filled(0xff)} {
		if porep.IsElement(bad) {
			t.Errorf("%x is taken for an element", bad)
		}
		for _, f := range []func(a, b [32]byte) ([32]byte, error){porep.Encode, porep.Decode} {
			if _, err := f(bad, filled(0)); err == nil {
				t.Errorf("label %x accepted", bad)
			}
			if _, err := f(filled(0), bad); err == nil {
				t.Errorf("node %x accepted", bad)
			}
		}
	}
}

func TestRegisteredProofs(t *testing.T) {
	for _, want := range []struct {
		size   uint64
		layers int
		shape  merkle.Shape
	}{
		{2 << 10, 2, merkle.Octree}, {8 << 20, 2, merkle.Octree}, {512 << 20, 2, merkle.Octree},
		{32 << 30, 11, merkle.Shape{Base: 8, Sub: 8}}, {64 << 30, 11, merkle.Shape{Base: 8, Sub: 8, Top: 2}},
	} {
		proof, err := porep.ProofOfSize(want.size)
		if err != nil {
			t.Fatal(err)
		}
		p, err := porep.ParamsOf(proof)
		if err != nil || p.SectorSize() != want.size || p.Layers != want.layers || p.Shape != want.shape || p.ID != porep.ID(proof) {
			t.Errorf("%d bytes: %+v, %v", want.size, p, err)
		}
		size, err := p.MaxProofSize(porep.MaxPartChallenges)
		if err != nil || size > 1<<20 {
			t.Errorf("%d bytes: a part may take %d bytes (%v), more than a message", want.size, size, err)
		}
	}
	for _, proof := range []abi.RegisteredSealProof{-1, 0, 4, 10, 15, 20, 1 << 40} {
		if _, err := porep.ParamsOf(proof); err == nil {
			t.Errorf("seal proof %d accepted", proof)
		}
	}
	if _, err := porep.ProofOfSize(4096); err == nil {
		t.Error("size without a proof accepted")
	}
}

func TestLabelAllocatesNothing(t *testing.T) {
	labeler := porep.NewLabeler(filled(9))
	parents := make([][32]byte, graph.Degree)
	if n := testing.AllocsPerRun(100, func() { labeler.Label(2, 7, parents...) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
