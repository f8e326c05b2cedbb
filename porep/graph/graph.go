// Package graph computes the parents of every node of the Stacked DRG graph
// that a sector's labels are hashed along.
//
// A node has six base parents, all before it in the same layer (a depth-robust
// graph drawn by bucket sampling), and eight expander parents anywhere in the
// layer before (a Feistel permutation of the edges). Both are functions of the
// 32-byte porep_id and the number of nodes alone, so every party computes the
// same graph and none is ever sent.
//
// The graph is Filecoin's, for the proofs of version V1_1 and later: the
// predecessor is the first base parent, and expander parents are not truncated.
// The older V1 graph is not offered, since its truncation makes sectors cheaper
// to fake.
package graph

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

const (
	// BaseDegree is the number of parents in the same layer.
	BaseDegree = 6
	// ExpanderDegree is the number of parents in the layer before.
	ExpanderDegree = 8
	// Degree is the number of parents of a node: base first, then expander.
	Degree = BaseDegree + ExpanderDegree

	// MaxNodes bounds the nodes of a graph: indices are 32 bits wide.
	MaxNodes = uint64(1) << 32
)

const (
	drgTag     = "Filecoin_DRSample"
	feistelTag = "Filecoin_Feistel"

	// drawn is the number of base parents that are drawn; the sixth is the
	// predecessor.
	drawn = BaseDegree - 1
)

// ErrNodes is returned by New when the number of nodes is out of range.
var ErrNodes = errors.New("number of nodes out of range")

// Graph gives the parents of the nodes of one graph. It is immutable, so one
// value serves any number of goroutines.
type Graph struct {
	nodes uint64
	seed  [28]byte
	keys  [32]byte // of the expander permutation, as they are seeded
	perm  feistel
}

// New returns the graph of nodes nodes (2 to MaxNodes; a sector of s bytes has
// s/32) under the given porep_id.
func New(porepID [32]byte, nodes uint64) (*Graph, error) {
	if nodes < 2 || nodes > MaxNodes {
		return nil, fmt.Errorf("make graph of %d nodes: %w", nodes, ErrNodes)
	}
	keys := domainSeed(feistelTag, porepID)
	return &Graph{
		nodes: nodes,
		seed:  drgSeed(porepID),
		keys:  keys,
		perm:  newFeistel(nodes*ExpanderDegree, feistelKeys(keys)),
	}, nil
}

// Tabulated returns the same graph with the round function of its expander in a
// table, which makes parents some twenty times cheaper, most of all by [Graph.Run]. The table takes up to 3
// MiB (1.5 MiB at 32 GiB) and 3 x 2^k BLAKE2b hashes, with k half the bits of an
// edge's number (17 at 32 GiB): it pays from about ten thousand nodes on.
func (g *Graph) Tabulated() *Graph {
	fast := *g
	fast.perm = g.perm.tabulated()
	return &fast
}

// Nodes returns the number of nodes of the graph.
func (g *Graph) Nodes() uint64 { return g.nodes }

// Parents writes the parents of node v to out: six base parents, predecessor
// first, in the order in which labels hash them, then eight expander parents.
// Duplicates are kept. Base parents of node 0 and node 1 are all 0. v must be
// less than Nodes.
func (g *Graph) Parents(v uint32, out *[Degree]uint32) {
	g.Base(v, (*[BaseDegree]uint32)(out[:BaseDegree]))
	g.Expander(v, (*[ExpanderDegree]uint32)(out[BaseDegree:]))
}

// Run writes the parents of the nodes from first on, as Parents does for each;
// of a graph that is tabulated in less time.
func (g *Graph) Run(first uint32, out [][Degree]uint32) {
	const together = walkers / ExpanderDegree
	for ; g.perm.table != nil && len(out) >= together; out = out[together:] {
		var edges [walkers]uint64
		g.perm.permuteRun(uint64(first)*ExpanderDegree, edges[:])
		for i := range out[:together] {
			g.Base(first+uint32(i), (*[BaseDegree]uint32)(out[i][:BaseDegree]))
			for j := range ExpanderDegree {
				out[i][BaseDegree+j] = uint32(edges[i*ExpanderDegree+j] / ExpanderDegree)
			}
		}
		first += together
	}
	for i := range out {
		g.Parents(first+uint32(i), &out[i])
	}
}

// Base writes the six base parents of node v, all less than v for v > 0.
func (g *Graph) Base(v uint32, out *[BaseDegree]uint32) {
	if v < 2 {
		*out = [BaseDegree]uint32{}
		return
	}
	var draws [2 * drawn]uint64
	g.draw(v, &draws)

	// Bucket sampling works on a graph with five meta nodes for each node.
	out[0] = v - 1
	meta := drawn * uint64(v)
	buckets := uint64(bits.Len64(meta)) // ceil(log2(meta)): meta is never a power of two
	inverse := reciprocal(buckets)
	for i := range drawn {
		bucket := remainder(draws[2*i], buckets, inverse) + 1
		hi := min(meta, uint64(1)<<bucket)
		lo := max(2, hi>>1)
		distance := lo + draws[2*i+1]%(hi-lo+1)
		parent := uint32((meta - distance) / drawn)
		if parent == v {
			parent = v - 1
		}
		out[1+i] = parent
	}
}

// Expander writes the eight expander parents of node v. They name nodes of the
// layer before, v itself and later nodes among them.
func (g *Graph) Expander(v uint32, out *[ExpanderDegree]uint32) {
	first := uint64(v) * ExpanderDegree
	if g.perm.table == nil {
		for i := range out {
			out[i] = uint32(g.perm.permute(first+uint64(i)) / ExpanderDegree)
		}
		return
	}
	var edges [ExpanderDegree]uint64
	g.perm.permuteRun(first, edges[:])
	for i := range out {
		out[i] = uint32(edges[i] / ExpanderDegree)
	}
}

// draw fills out with the first words of node v's generator: ChaCha with eight
// rounds, keyed with the graph's seed and the node number.
func (g *Graph) draw(v uint32, out *[2 * drawn]uint64) {
	var key [32]byte
	copy(key[:], g.seed[:])
	binary.LittleEndian.PutUint32(key[28:], v)
	var block [16]uint32
	for i := range out {
		if i%8 == 0 {
			chacha8Block(&key, uint64(i/8), &block)
		}
		w := 2 * (i % 8)
		out[i] = uint64(block[w]) | uint64(block[w+1])<<32
	}
}

// reciprocal returns what [remainder] takes for divisor n.
func reciprocal(n uint64) uint64 { return ^uint64(0) / n }

// remainder is x mod n by multiplications: the quotient that the reciprocal
// gives is at most one too small.
func remainder(x, n, inverse uint64) uint64 {
	quotient, _ := bits.Mul64(x, inverse)
	rest := x - quotient*n
	if rest >= n {
		rest -= n
	}
	return rest
}

// drgSeed is the part of a node's generator key that is common to all nodes.
func drgSeed(porepID [32]byte) (seed [28]byte) {
	sum := domainSeed(drgTag, porepID)
	copy(seed[:], sum[:])
	return seed
}

// feistelKeys are the round keys of the expander permutation. Of the four that
// the seed holds only three are used.
func feistelKeys(seed [32]byte) (keys [feistelRounds]uint64) {
	for i := range keys {
		keys[i] = binary.LittleEndian.Uint64(seed[8*i:])
	}
	return keys
}

func domainSeed(tag string, porepID [32]byte) [32]byte {
	return sha256.Sum256(append([]byte(tag), porepID[:]...))
}
