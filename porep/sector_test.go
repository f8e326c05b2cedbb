package porep_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/perdure/perdure/internal/merkle"
	"github.com/perdure/perdure/porep"
	"github.com/perdure/perdure/porep/graph"
	"github.com/perdure/perdure/porep/piece"
	"github.com/perdure/perdure/porep/poseidon"
)

const proof2KiB = abi.RegisteredSealProof_StackedDrg2KiBV1_1

// sector is a sealed sector in memory, made the slow and obvious way.
type sector struct {
	params        porep.Params
	in            porep.SealInput
	labels        [][]merkle.Node // by layer
	treeD         [][]merkle.Node // rows, leaves first
	treeC, treeR  [][]merkle.Node
	commC, commRL merkle.Node
}

// forgery says where a cheating prover departs from sealing; what it leaves nil
// is done honestly. Everything after a departure is consistent with it.
type forgery struct {
	parents func(*[graph.Degree]uint32)
	label   func(layer int, node uint64, honest merkle.Node) merkle.Node
	replica func(node uint64, honest merkle.Node) merkle.Node
	encoded func(node uint64, data merkle.Node) merkle.Node // the data that is encoded
}

func params(t testing.TB) porep.Params {
	t.Helper()
	p, err := porep.ParamsOf(proof2KiB)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testData is data of which every node differs.
func testData(nodes uint64) []merkle.Node {
	data := make([]merkle.Node, nodes)
	for i := range data {
		data[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		data[i][31] &= 0x3f
	}
	return data
}

func filled(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b
	}
	return out
}

// sealSector seals data under the identity in in, whose CommD and CommR it sets.
func sealSector(t testing.TB, p porep.Params, in porep.SealInput, data []merkle.Node, f forgery) *sector {
	t.Helper()
	s := &sector{params: p, in: in}
	s.treeD = rows(t, merkle.Binary, piece.Tree{}, data)
	s.in.CommD = root(s.treeD)
	s.label(t, f)

	columns := make([]merkle.Node, p.Nodes)
	replica := make([]merkle.Node, p.Nodes)
	for v := range p.Nodes {
		var column []merkle.Node
		for _, layer := range s.labels {
			column = append(column, layer[v])
		}
		columns[v] = poseidonOf(t, column)
		node := data[v]
		if f.encoded != nil {
			node = f.encoded(v, node)
		}
		encoded, err := porep.Encode(column[len(column)-1], node)
		if err != nil {
			t.Fatal(err)
		}
		replica[v] = encoded
		if f.replica != nil {
			replica[v] = f.replica(v, encoded)
		}
	}
	s.treeC = rows(t, p.Shape, poseidon.Tree{}, columns)
	s.treeR = rows(t, p.Shape, poseidon.Tree{}, replica)
	s.commC, s.commRL = root(s.treeC), root(s.treeR)
	s.in.CommR = poseidonOf(t, []merkle.Node{s.commC, s.commRL})
	return s
}

func (s *sector) label(t testing.TB, f forgery) {
	g, err := graph.New(s.params.ID, s.params.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	labeler := porep.NewLabeler(porep.ReplicaID(s.params, s.in.MinerID, s.in.Number, s.in.Ticket, s.in.CommD))
	for layer := range s.params.Layers {
		current := make([]merkle.Node, s.params.Nodes)
		for v := range s.params.Nodes {
			var parents [graph.Degree]uint32
			g.Parents(uint32(v), &parents)
			if f.parents != nil {
				f.parents(&parents)
			}
			var labels []merkle.Node
			if v > 0 {
				for _, p := range parents[:graph.BaseDegree] {
					labels = append(labels, current[p])
				}
				if layer > 0 {
					for _, p := range parents[graph.BaseDegree:] {
						labels = append(labels, s.labels[layer-1][p])
					}
				}
			}
			current[v] = labeler.Label(uint32(layer)+1, v, labels...)
			if f.label != nil {
				current[v] = f.label(layer+1, v, current[v])
			}
		}
		s.labels = append(s.labels, current)
	}
}

func (s *sector) source() porep.Source {
	return porep.Source{
		CommC: s.commC, CommRLast: s.commRL,
		TreeD: reader(s.treeD), TreeC: reader(s.treeC), TreeRLast: reader(s.treeR),
		Column: func(node uint64, labels []merkle.Node) error {
			for i := range labels {
				labels[i] = s.labels[i][node]
			}
			return nil
		},
	}
}

func (s *sector) prove(t testing.TB, in porep.SealInput) []byte {
	t.Helper()
	proof, err := s.params.Prove(in, s.source())
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// part is the sector's statement over some challenges.
func (s *sector) part(seed byte, first, count int) porep.SealInput {
	in := s.in
	in.Seed, in.First, in.Count = filled(seed), first, count
	return in
}

func reader(rows [][]merkle.Node) merkle.RowReader {
	return func(row int, first uint64, out []merkle.Node) error {
		copy(out, rows[row][first:])
		return nil
	}
}

// rows hashes a whole tree.
func rows[H merkle.Hasher](t testing.TB, shape merkle.Shape, h H, leaves []merkle.Node) [][]merkle.Node {
	t.Helper()
	arities, err := shape.Arities(uint64(len(leaves)))
	if err != nil {
		t.Fatal(err)
	}
	all := [][]merkle.Node{leaves}
	for _, arity := range arities {
		below := all[len(all)-1]
		var row []merkle.Node
		for i := 0; i < len(below); i += arity {
			node, err := h.Hash(below[i : i+arity])
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, node)
		}
		all = append(all, row)
	}
	return all
}

func root(rows [][]merkle.Node) merkle.Node { return rows[len(rows)-1][0] }

func poseidonOf(t testing.TB, nodes []merkle.Node) merkle.Node {
	t.Helper()
	node, err := poseidon.Hash(nodes)
	if err != nil {
		t.Fatal(err)
	}
	return node
}
