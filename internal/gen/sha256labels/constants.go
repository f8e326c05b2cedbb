package main

import (
	"math"
	"math/big"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// messageBits is the length of the message of a label: prefix and 37 parents.
const messageBits = (64 + 37*32) * 8

// constants are the read-only data of all kernels.
var constants struct {
	round     Mem // 64 words added to the schedule
	initial   Mem // the state before the first block, as the registers hold it: abef, cdgh
	flipWords Mem // shuffle: bytes of words reversed
	flipPairs Mem // shuffle: bytes of pairs of words reversed
	trim      Mem // mask: the two top bits of a node cleared
	padding   Mem // the last half of the message's last block
}

// writeConstants generates the data. The constants of SHA-256 are the fractions of square and cube
// roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3).
func writeConstants() {
	constants.round = GLOBL("labelRound", attr.RODATA|attr.NOPTR)
	for i, p := range primes(64) {
		DATA(4*i, U32(rootFraction(p, 3)))
	}
	var h [8]uint32
	for i, p := range primes(8) {
		h[i] = rootFraction(p, 2)
	}
	constants.initial = GLOBL("labelInitial", attr.RODATA|attr.NOPTR)
	for i, variable := range []int{5, 4, 1, 0, 7, 6, 3, 2} {
		DATA(4*i, U32(h[variable]))
	}
	constants.flipWords = GLOBL("labelFlipWords", attr.RODATA|attr.NOPTR)
	for i := range 2 {
		DATA(16*i, U64(0x0405060700010203))
		DATA(16*i+8, U64(0x0c0d0e0f08090a0b))
	}
	constants.flipPairs = GLOBL("labelFlipPairs", attr.RODATA|attr.NOPTR)
	DATA(0, U64(0x0001020304050607))
	DATA(8, U64(0x08090a0b0c0d0e0f))
	constants.trim = GLOBL("labelTrim", attr.RODATA|attr.NOPTR)
	DATA(0, U64(math.MaxUint64))
	DATA(8, U64(math.MaxUint64>>8|0x3f<<56))
	constants.padding = GLOBL("labelPadding", attr.RODATA|attr.NOPTR)
	DATA(0, U64(0x80))
	DATA(8, U64(0))
	DATA(16, U64(0))
	DATA(24, U64((messageBits>>8|messageBits&0xff<<8)<<48))
}

func primes(n int) []int64 {
	var out []int64
	for p := int64(2); len(out) < n; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			out = append(out, p)
		}
	}
	return out
}

// rootFraction returns the first 32 bits of the fraction of a root of p of the given degree: the
// low 32 bits of the whole root of p * 2^(32 * degree).
func rootFraction(p, degree int64) uint32 {
	scaled := new(big.Int).Lsh(big.NewInt(p), uint(32*degree))
	low, high := new(big.Int), new(big.Int).Set(scaled)
	for one := big.NewInt(1); new(big.Int).Sub(high, low).Cmp(one) > 0; {
		middle := new(big.Int).Add(low, high)
		middle.Rsh(middle, 1)
		if new(big.Int).Exp(middle, big.NewInt(degree), nil).Cmp(scaled) > 0 {
			high = middle
		} else {
			low = middle
		}
	}
	return uint32(low.Uint64())
}
