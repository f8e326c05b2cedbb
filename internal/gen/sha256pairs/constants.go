package main

import (
	"math/big"
	"math/bits"
)

// rounds is the number of rounds of a block.
const rounds = 64

// primes returns the first n primes.
func primes(n int) []int64 {
	var found []int64
	for p := int64(2); len(found) < n; p++ {
		if big.NewInt(p).ProbablyPrime(0) { // exact below 2^64
			found = append(found, p)
		}
	}
	return found
}

// roundConstants returns the first 32 bits behind the point of the cube roots of the first primes.
func roundConstants() []uint32 {
	var k []uint32
	for _, p := range primes(rounds) {
		k = append(k, uint32(cubeRoot(new(big.Int).Lsh(big.NewInt(p), 3*32)).Uint64()))
	}
	return k
}

// cubeRoot returns the cube root of n, rounded down, for n below 2^120.
func cubeRoot(n *big.Int) *big.Int {
	root := new(big.Int)
	for bit := 39; bit >= 0; bit-- {
		root.SetBit(root, bit, 1)
		if new(big.Int).Exp(root, big.NewInt(3), nil).Cmp(n) > 0 {
			root.SetBit(root, bit, 0)
		}
	}
	return root
}

// initialState returns the first 32 bits behind the point of the square roots of the first primes.
func initialState() []uint32 {
	var h []uint32
	for _, p := range primes(8) {
		root := new(big.Int).Lsh(big.NewInt(p), 2*32)
		h = append(h, uint32(root.Sqrt(root).Uint64()))
	}
	return h
}

// paddingConstants returns what each round of the second block adds: the schedule of a block that
// ends a message of 64 bytes, and the round constants.
func paddingConstants() []uint32 {
	w := make([]uint32, rounds)
	w[0], w[15] = 1<<31, message*8
	for t := 16; t < rounds; t++ {
		s0 := rotr(w[t-15], 7) ^ rotr(w[t-15], 18) ^ w[t-15]>>3
		s1 := rotr(w[t-2], 17) ^ rotr(w[t-2], 19) ^ w[t-2]>>10
		w[t] = w[t-16] + s0 + w[t-7] + s1
	}
	for t, k := range roundConstants() {
		w[t] += k
	}
	return w
}

func rotr(x uint32, n int) uint32 { return bits.RotateLeft32(x, -n) }
