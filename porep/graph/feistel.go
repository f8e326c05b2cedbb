package graph

import (
	"encoding/binary"
	"math/bits"

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
	table    *[feistelRounds][]uint32 // the round function of every half, nil if it is computed
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

// tabulated returns the same permutation with its round function tabulated.
func (f feistel) tabulated() feistel {
	var table [feistelRounds][]uint32
	for i, key := range f.keys {
		table[i] = make([]uint32, f.mask+1)
		for right := range table[i] {
			table[i][right] = uint32(f.round(uint64(right), key)) // a half has at most 18 bits
		}
	}
	f.table = &table
	return f
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

// walkers is how many elements walk side by side: enough for the look-ups of one
// to be waited for while others go on.
const walkers = 64

// permuteRun maps x, x+1 and so on, all below size, at most walkers of them. The
// permutation must be tabulated.
func (f *feistel) permuteRun(x uint64, out []uint64) {
	var walking [walkers]uint8
	for i := range out {
		out[i], walking[i] = x+uint64(i), uint8(i)
	}
	for n := len(out); n > 0; {
		// Who walks on is counted without a branch, which nothing could predict.
		on := 0
		for _, i := range walking[:n] {
			y := f.lookUp(out[i])
			out[i] = y
			_, inside := bits.Sub64(y, f.size, 0)
			walking[on&(walkers-1)] = i
			on += 1 - int(inside)
		}
		n = on
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

// lookUp is encode by the table.
func (f *feistel) lookUp(x uint64) uint64 {
	left, right := x>>(f.halfBits&63), x&f.mask
	left, right = right, left^uint64(f.table[0][right])
	left, right = right, left^uint64(f.table[1][right])
	left, right = right, left^uint64(f.table[2][right])
	return left<<(f.halfBits&63) | right
}

// round is the first eight bytes of BLAKE2b-512 over the half and the key.
func (f *feistel) round(right, key uint64) uint64 {
	var in [16]byte
	binary.BigEndian.PutUint64(in[:], right)
	binary.BigEndian.PutUint64(in[8:], key)
	sum := blake2b.Sum512(in[:])
	return binary.BigEndian.Uint64(sum[:]) & f.mask
}
