package porep

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/filecoin-project/go-state-types/abi"
)

// ErrElement says that 32 bytes are no field element: at least the modulus.
var ErrElement = errors.New("not a field element")

// trim clears the two top bits of a digest, which makes it a field element.
func trim(digest [32]byte) [32]byte {
	digest[31] &= 0x3f
	return digest
}

// ProverID returns the 32 bytes that stand for a miner in the replica id: the
// actor number of its ID address as an unsigned LEB128, padded with zeros.
func ProverID(minerID uint64) (id [32]byte) {
	binary.PutUvarint(id[:], minerID)
	return id
}

// ReplicaID returns what makes the labels of one sector its own: miner, sector
// number, ticket (used as drawn), data and registered proof.
func ReplicaID(p Params, minerID uint64, number abi.SectorNumber, ticket, commD [32]byte) [32]byte {
	prover := ProverID(minerID)
	var in [32 + 8 + 32 + 32 + 32]byte
	copy(in[:], prover[:])
	binary.BigEndian.PutUint64(in[32:], uint64(number))
	copy(in[40:], ticket[:])
	copy(in[72:], commD[:])
	copy(in[104:], p.ID[:])
	return trim(sha256.Sum256(in[:]))
}

// limbs is an integer of 256 bits, lowest limb first.
type limbs [4]uint64

// modulus is the order of the scalar field of BLS12-381.
var modulus = limbs{0xffffffff00000001, 0x53bda402fffe5bfe, 0x3339d80809a1d805, 0x73eda753299d7d48}

func load(node *[32]byte) (x limbs) {
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(node[8*i:])
	}
	return x
}

func (x limbs) store() (node [32]byte) {
	for i := range x {
		binary.LittleEndian.PutUint64(node[8*i:], x[i])
	}
	return node
}

func (x limbs) add(y limbs) (sum limbs) {
	var carry uint64
	for i := range x {
		sum[i], carry = bits.Add64(x[i], y[i], carry)
	}
	return sum
}

func (x limbs) sub(y limbs) (difference limbs, borrow uint64) {
	for i := range x {
		difference[i], borrow = bits.Sub64(x[i], y[i], borrow)
	}
	return difference, borrow
}

// IsElement reports whether a node is a field element in its one canonical
// form.
func IsElement(node [32]byte) bool {
	_, below := load(&node).sub(modulus)
	return below == 1
}

// Encode returns the replica node of a data node under the label of the last
// layer: their sum in the field. It fails with [ErrElement] if either is not an
// element.
func Encode(label, data [32]byte) ([32]byte, error) {
	if !IsElement(label) || !IsElement(data) {
		return [32]byte{}, ErrElement
	}
	// Two elements add up to less than 2^256, so nothing is carried out.
	sum := load(&label).add(load(&data))
	if less, borrow := sum.sub(modulus); borrow == 0 {
		sum = less
	}
	return sum.store(), nil
}

// Decode is the reverse of [Encode]: the data node of a replica node.
func Decode(label, replica [32]byte) ([32]byte, error) {
	if !IsElement(label) || !IsElement(replica) {
		return [32]byte{}, ErrElement
	}
	difference, borrow := load(&replica).sub(load(&label))
	if borrow == 1 {
		difference = difference.add(modulus)
	}
	return difference.store(), nil
}
