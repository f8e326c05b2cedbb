package graph

import (
	"encoding/binary"
	"math/bits"
)

// chacha8Block writes block counter of the ChaCha keystream of eight rounds in
// Bernstein's layout (64-bit counter in words 12 and 13, zero stream id): the
// generator that rand_chacha calls ChaCha8Rng. Go's own ChaCha8 source is
// another construction, and x/crypto/chacha20 has its rounds fixed.
func chacha8Block(key *[32]byte, counter uint64, out *[16]uint32) {
	in := [16]uint32{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}
	for i := range 8 {
		in[4+i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	in[12], in[13] = uint32(counter), uint32(counter>>32)

	// The words are variables of their own, not an array, so that most of them
	// stay in registers.
	x0, x1, x2, x3 := in[0], in[1], in[2], in[3]
	x4, x5, x6, x7 := in[4], in[5], in[6], in[7]
	x8, x9, x10, x11 := in[8], in[9], in[10], in[11]
	x12, x13, x14, x15 := in[12], in[13], in[14], in[15]
	for range 4 {
		x0, x4, x8, x12 = quarter(x0, x4, x8, x12)
		x1, x5, x9, x13 = quarter(x1, x5, x9, x13)
		x2, x6, x10, x14 = quarter(x2, x6, x10, x14)
		x3, x7, x11, x15 = quarter(x3, x7, x11, x15)
		x0, x5, x10, x15 = quarter(x0, x5, x10, x15)
		x1, x6, x11, x12 = quarter(x1, x6, x11, x12)
		x2, x7, x8, x13 = quarter(x2, x7, x8, x13)
		x3, x4, x9, x14 = quarter(x3, x4, x9, x14)
	}
	*out = [16]uint32{
		x0 + in[0], x1 + in[1], x2 + in[2], x3 + in[3],
		x4 + in[4], x5 + in[5], x6 + in[6], x7 + in[7],
		x8 + in[8], x9 + in[9], x10 + in[10], x11 + in[11],
		x12 + in[12], x13 + in[13], x14 + in[14], x15 + in[15],
	}
}

func quarter(a, b, c, d uint32) (uint32, uint32, uint32, uint32) {
	a += b
	d = bits.RotateLeft32(d^a, 16)
	c += d
	b = bits.RotateLeft32(b^c, 12)
	a += b
	d = bits.RotateLeft32(d^a, 8)
	c += d
	b = bits.RotateLeft32(b^c, 7)
	return a, b, c, d
}
