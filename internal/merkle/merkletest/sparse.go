// Package merkletest has trees for tests that are too large to build.
package merkletest

import (
	"testing"

	"github.com/perdure/perdure/internal/merkle"
)

// Sparse is a tree of which all leaves are the same but a few, so that it has few different nodes,
// however many leaves.
type Sparse[H merkle.Hasher] struct {
	t       testing.TB
	hasher  H
	arities []int
	usual   []merkle.Node // of each row, what all nodes are that are not in nodes
	nodes   map[merkle.Position]merkle.Node
}

// NewSparse returns the tree of a shape with n leaves: some by their index, and the usual one.
func NewSparse[H merkle.Hasher](t testing.TB, h H, shape merkle.Shape, n uint64, usual merkle.Node, leaves map[uint64]merkle.Node) *Sparse[H] {
	t.Helper()
	arities, err := shape.Arities(n)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sparse[H]{t: t, hasher: h, arities: arities, usual: []merkle.Node{usual}, nodes: make(map[merkle.Position]merkle.Node)}
	for row, arity := range arities {
		group := make([]merkle.Node, arity)
		for i := range group {
			group[i] = s.usual[row]
		}
		s.usual = append(s.usual, s.hash(group))
	}
	row := make(map[uint64]merkle.Node, len(leaves))
	for index, leaf := range leaves {
		row[index] = leaf
		s.nodes[merkle.Position{Index: index}] = leaf
	}
	for level, arity := range arities {
		row = s.above(level, uint64(arity), row)
	}
	return s
}

// above computes the parents of those nodes of a row that are not the usual ones.
func (s *Sparse[H]) above(row int, arity uint64, nodes map[uint64]merkle.Node) map[uint64]merkle.Node {
	parents := make(map[uint64]merkle.Node)
	for index := range nodes {
		parent := index / arity
		if _, ok := parents[parent]; ok {
			continue
		}
		group := make([]merkle.Node, arity)
		for i := range group {
			group[i] = s.node(row, parent*arity+uint64(i))
		}
		parents[parent] = s.hash(group)
		s.nodes[merkle.Position{Row: row + 1, Index: parent}] = parents[parent]
	}
	return parents
}

func (s *Sparse[H]) hash(group []merkle.Node) merkle.Node {
	s.t.Helper()
	node, err := s.hasher.Hash(group)
	if err != nil {
		s.t.Fatal(err)
	}
	return node
}

func (s *Sparse[H]) node(row int, index uint64) merkle.Node {
	if node, ok := s.nodes[merkle.Position{Row: row, Index: index}]; ok {
		return node
	}
	return s.usual[row]
}

// Root returns the root.
func (s *Sparse[H]) Root() merkle.Node { return s.node(len(s.arities), 0) }

// Read is the merkle.RowReader of the tree.
func (s *Sparse[H]) Read(row int, first uint64, out []merkle.Node) error {
	for i := range out {
		out[i] = s.node(row, first+uint64(i))
	}
	return nil
}
