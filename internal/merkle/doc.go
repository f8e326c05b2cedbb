// Package merkle builds Merkle trees, opens them and checks the openings.
//
// A tree is described by a [Shape]: the arity of its base levels and, above them, at most two
// further levels of other arities, which is how large sealed sectors join the trees of their
// contiguous segments under one root. The node hash is a type parameter, so the same code serves
// binary SHA-256 trees over data and Poseidon trees over sealed sectors.
//
// Rows are numbered from the leaves (row 0) to the root (the last row). A stored tree is its rows
// one after the other, leaves first, 32 bytes a node; rows above the leaves may be discarded and
// computed again when they are needed.
//
// The package does no I/O of its own beyond the readers and writers that it is given and starts no
// goroutine: [Build] takes the function that runs its independent parts.
package merkle

import "fmt"

// Node is one node of a tree, as stored: 32 bytes. What the bytes mean is the hasher's business.
type Node = [NodeSize]byte

// NodeSize is the size of a stored node in bytes.
const NodeSize = 32

// Hasher computes a parent from its children. Hash must depend on nothing but the children, must
// not keep the slice, and must be safe for concurrent use wherever trees are built concurrently.
// It fails for an arity that it does not support and for a child that is no valid node.
type Hasher interface {
	// Hash returns the parent of the children, which are given in order; the arity is their number.
	Hash(children []Node) (Node, error)
	// HashRow writes the parents of consecutive groups of arity children, of which there are
	// arity times as many. Parents may be the front of children.
	HashRow(arity int, children, parents []Node) error
}

// HashEach is HashRow for hashers that gain nothing by hashing many at once.
func HashEach[H interface{ Hash([]Node) (Node, error) }](h H, arity int, children, parents []Node) error {
	for i := range parents {
		parent, err := h.Hash(children[i*arity : (i+1)*arity])
		if err != nil {
			return fmt.Errorf("group %d: %w", i, err)
		}
		parents[i] = parent
	}
	return nil
}
