package piece

import (
	"fmt"

	"github.com/perdure/perdure/internal/sha256lanes"
)

// Tree is the node hash of the trees over data: binary, SHA-256 of the two children with the two
// top bits of the last byte cleared. Any 32 bytes are a node.
type Tree struct{}

// Hash returns the parent of two children; it fails for any other number of them.
func (Tree) Hash(children [][32]byte) ([32]byte, error) {
	if len(children) != 2 {
		return [32]byte{}, fmt.Errorf("data tree: %d children, want 2", len(children))
	}
	return join(&children[0], &children[1]), nil
}

// HashRow writes the parents of consecutive pairs of children; it fails for another arity.
func (Tree) HashRow(arity int, children, parents [][32]byte) error {
	if arity != 2 {
		return fmt.Errorf("data tree: arity %d, want 2", arity)
	}
	sha256lanes.Pairs(parents, children)
	return nil
}

// join hashes two nodes to their parent.
func join(left, right *[32]byte) [32]byte {
	both, parent := [2][32]byte{*left, *right}, [1][32]byte{}
	sha256lanes.Pairs(parent[:], both[:])
	return parent[0]
}

// reduce hashes a power of two of nodes, in place, to the root of the tree over them.
func reduce(padded []byte) [32]byte {
	nodes := sha256lanes.View(padded)
	for len(nodes) > 1 {
		parents := nodes[:len(nodes)/2]
		sha256lanes.Pairs(parents, nodes)
		nodes = parents
	}
	return nodes[0]
}

// levels is the number of rows that the tree over the largest piece has.
const levels = 32

// zeroNodes holds, by level, the root of the tree over zeros: level 0 is one element.
var zeroNodes = func() (z [levels][32]byte) {
	for i := 1; i < levels; i++ {
		z[i] = join(&z[i-1], &z[i-1])
	}
	return z
}()

// ZeroCommitment returns the commitment of a piece of that padded size that holds only zeros, which
// is also the CommD of an empty sector.
func ZeroCommitment(padded uint64) ([32]byte, error) {
	if err := CheckPadded(padded); err != nil {
		return [32]byte{}, fmt.Errorf("zero commitment: %w", err)
	}
	return zeroNodes[level(padded)], nil
}

// level is the level in the tree of a node that covers that many padded bytes, a power of two.
func level(padded uint64) int {
	n := 0
	for size := uint64(nodeSize); size < padded; size *= 2 {
		n++
	}
	return n
}

// stack joins subtrees of falling sizes from left to right into one tree.
type stack struct {
	nodes  [levels + 1][32]byte
	levels [levels + 1]int
	n      int
}

// push adds the root of a subtree of a level that is not above the last one's, and joins equals.
func (s *stack) push(node [32]byte, level int) {
	for s.n > 0 && s.levels[s.n-1] == level {
		s.n--
		node = join(&s.nodes[s.n], &node)
		level++
	}
	s.nodes[s.n], s.levels[s.n] = node, level
	s.n++
}

// fill pushes zeros until the last subtree is of the level or above it.
func (s *stack) fill(level int) {
	for s.n > 0 && s.levels[s.n-1] < level {
		top := s.levels[s.n-1]
		s.push(zeroNodes[top], top)
	}
}
