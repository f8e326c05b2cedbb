package graph

import (
	"encoding/binary"

	"golang.org/x/crypto/blake2b"
)

const feistelRounds = 3

// feistel is a keyed permutation of 0..size-1: a Feistel network over the
// smallest power of four that holds size, walked until it falls inside.
type feistel struct {
	size     uint64
	halfBits uint
	mask     uint64 // of the right half
	keys     [feistelRounds]uint64
}

// newFeistel returns the permutation of size elements; size is at least 1 and
// at most 2^35.
func newFeistel(size uint64, keys [feistelRounds]uint64) feistel {
	half := uint(1)
	for uint64(1)<<(2*half) < size {
		half++
	}
	return feistel{size: size, halfBits: half, mask: uint64(1)<<half - 1, keys: keys}
}

// permute maps x < size to its image.
func (f *feistel) permute(x uint64) uint64 {
	for {
		x = f.encode(x)
		if x < f.size {
			return x
		}
	}
}

// encode applies the rounds once, over the whole power of four.
func (f *feistel) encode(x uint64) uint64 {
	left, right := x>>f.halfBits, x&f.mask
	for _, key := range f.keys {
		left, right = right, left^f.round(right, key)
	}
	return left<<f.halfBits | right
}

// round is the first eight bytes of BLAKE2b-512 over the half and the key.
func (f *feistel) round(right, key uint64) uint64 {
	var in [16]byte
	binary.BigEndian.PutUint64(in[:], right)
	binary.BigEndian.PutUint64(in[8:], key)
	sum := blake2b.Sum512(in[:])
	return binary.BigEndian.Uint64(sum[:]) & f.mask
}
