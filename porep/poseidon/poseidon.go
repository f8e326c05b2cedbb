// Package poseidon is Filecoin's instance of the Poseidon hash over the scalar field of
// BLS12-381: the node hash of the trees over sealed sectors, the hash of their label columns and
// the hash that joins two tree roots into CommR.
//
// The instance: S-box x^5, width t = arity + 1, 8 full rounds (4 before and 4 after the partial
// ones), 55 to 57 partial rounds by width, a Cauchy matrix, round constants from the Grain LFSR,
// domain tag 2^arity - 1 in the first element of the state, result in its second. Arities 2, 4, 8
// and 11 are supported; all hash with the same tag rule, be it a tree node or a column.
//
// A node is a field element as 32 bytes, little-endian, not in Montgomery form, less than the
// modulus r = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001; a node that is
// not less is refused, never reduced. Every 32 bytes with the two top bits of the last byte clear
// are an element.
package poseidon

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// The widest of the supported arities and its state.
const (
	maxArity = 11
	maxWidth = maxArity + 1
)

// fullRounds is the number of full rounds; half come before the partial rounds, half after.
const fullRounds = 8

// ErrNotElement says that 32 bytes are not the canonical form of a field element.
var ErrNotElement = errors.New("not a field element: value is not less than the modulus")

// Hasher hashes a fixed number of elements to one. It has no state between calls and is safe for
// concurrent use.
type Hasher struct {
	arity int
	width int
	tag   fr.Element

	// Round constants in the order of their use, as compress describes.
	pre     []fr.Element // width, before the first S-box
	first   []fr.Element // (fullRounds/2) x width, after the S-boxes of the first half
	partial []fr.Element // one a partial round, after its S-box
	second  []fr.Element // (fullRounds/2 - 1) x width, after the S-boxes of the second half

	scaled *scaled  // of the portable kernel
	eight  *program // of the kernels in machine code, nil if the processor cannot run them
}

// instances holds the supported hashers, by arity, from their first use on. Computing one twice at
// the same time is harmless: both are equal.
var instances [maxWidth]atomic.Pointer[Hasher]

// New returns the hasher of an arity: 2, 4, 8 or 11. The first call for an arity takes some
// milliseconds to compute its constants; later calls return the same hasher.
func New(arity int) (*Hasher, error) {
	switch arity {
	case 2, 4, 8, 11:
	default:
		return nil, fmt.Errorf("poseidon: arity %d, want 2, 4, 8 or 11", arity)
	}
	if h := instances[arity].Load(); h != nil {
		return h, nil
	}
	h := newHasher(arity)
	instances[arity].Store(h)
	return h, nil
}

// Arity returns the number of elements that the hasher takes.
func (h *Hasher) Arity() int { return h.arity }

// Sum hashes elements. Their number must be the hasher's arity: anything else is a mistake of the
// calling code, not of data, and panics.
func (h *Hasher) Sum(in []fr.Element) fr.Element {
	if len(in) != h.arity {
		panic(fmt.Sprintf("poseidon: %d elements for arity %d", len(in), h.arity))
	}
	var state [maxWidth]fr.Element
	state[0] = h.tag
	copy(state[1:], in)
	h.scaled.permute(&state)
	return state[1]
}

// Hash hashes nodes to a node. It fails unless there are as many as the arity, each a field element.
func (h *Hasher) Hash(children [][32]byte) ([32]byte, error) {
	if len(children) != h.arity {
		return [32]byte{}, fmt.Errorf("poseidon: %d nodes for arity %d", len(children), h.arity)
	}
	if h.eight != nil {
		return h.hashAlone(children)
	}
	return h.hashGroup(children)
}

// Hash hashes 2, 4, 8 or 11 nodes to a node, the arity being their number.
func Hash(children [][32]byte) ([32]byte, error) {
	h, err := New(len(children))
	if err != nil {
		return [32]byte{}, err
	}
	return h.Hash(children)
}

// Tree hashes the nodes of trees whose levels have any of the supported arities.
type Tree struct{}

// Hash is the package's Hash.
func (Tree) Hash(children [][32]byte) ([32]byte, error) { return Hash(children) }

// HashRow writes the parents of consecutive groups of arity children; see [Hasher.HashRow].
func (Tree) HashRow(arity int, children, parents [][32]byte) error {
	h, err := New(arity)
	if err != nil {
		return err
	}
	return h.HashRow(children, parents)
}

// ElementFromNode reads a node. It returns ErrNotElement if the value is not less than the modulus.
func ElementFromNode(node [32]byte) (fr.Element, error) {
	e, err := fr.LittleEndian.Element(&node)
	if err != nil {
		return fr.Element{}, ErrNotElement
	}
	return e, nil
}

// NodeFromElement writes an element as a node.
func NodeFromElement(e *fr.Element) [32]byte {
	var node [32]byte
	fr.LittleEndian.PutElement(&node, *e)
	return node
}
