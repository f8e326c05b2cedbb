package graph

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Key names the graph as the reference implementation does in the name of the
// file that holds its parents: SHA-256 over the name of the tree hasher, the
// description of the graph, the seeded keys of the expander and the number of
// nodes in four bytes.
func (g *Graph) Key() [32]byte {
	const hasher = "poseidon_hasher"
	text := fmt.Sprintf("%sstacked_graph::StackedGraph{expansion_degree: %d base_graph: drgraph::BucketGraph{size: %d; degree: %d; hasher: %s} }",
		hasher, ExpanderDegree, g.nodes, BaseDegree, hasher)
	key := append([]byte(text), g.keys[:]...)
	return sha256.Sum256(binary.LittleEndian.AppendUint32(key, uint32(g.nodes)))
}
