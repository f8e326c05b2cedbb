package poseidon

import "github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

// permute runs the rounds in their optimised form: constants are added after the S-boxes, and a
// partial round multiplies by a sparse matrix of 2*width-1 elements. Only state[1] is meaningful
// afterwards: the last matrix is applied to the one element that is the result.
func (h *Hasher) permute(state *[maxWidth]fr.Element) {
	t := h.width
	s := state[:t]
	for i := range s {
		s[i].Add(&s[i], &h.pre[i])
	}
	const half = fullRounds / 2
	for r := range half {
		matrix := h.mds
		if r == half-1 {
			matrix = h.preSparse
		}
		fullRound(s, h.first[r*t:(r+1)*t], matrix)
	}
	for r, k := range h.partial {
		fifth(&s[0])
		s[0].Add(&s[0], &k)
		sparseProduct(s, h.sparse[r*(2*t-1):(r+1)*(2*t-1)])
	}
	for r := range half - 1 {
		fullRound(s, h.second[r*t:(r+1)*t], h.mds)
	}
	for i := range s {
		fifth(&s[i])
	}
	s[1] = dot(s, h.mds[t:2*t])
}

// fullRound applies the S-box everywhere, adds constants and multiplies by a matrix.
func fullRound(s, constants, matrix []fr.Element) {
	t := len(s)
	for i := range s {
		fifth(&s[i])
		s[i].Add(&s[i], &constants[i])
	}
	var next [maxWidth]fr.Element
	for j := range t {
		next[j] = dot(s, matrix[j*t:(j+1)*t])
	}
	copy(s, next[:t])
}

// sparseProduct multiplies the state by a matrix that differs from the identity only in its first
// column (the first len(s) elements) and first row (the rest).
func sparseProduct(s, matrix []fr.Element) {
	t := len(s)
	column, row := matrix[:t], matrix[t:2*t-1]
	head := dot(s, column)
	var p fr.Element
	for j := 1; j < t; j++ {
		p.Mul(&s[0], &row[j-1])
		s[j].Add(&s[j], &p)
	}
	s[0] = head
}

// dot is the inner product of two vectors of the same length. The library reduces once a product of
// vectors, not once a product of elements, where the processor lets it.
func dot(a, b []fr.Element) fr.Element {
	v := fr.Vector(a)
	return v.InnerProduct(b)
}

// fifth raises an element to the fifth power.
func fifth(e *fr.Element) {
	var square fr.Element
	square.Square(e)
	square.Square(&square)
	e.Mul(e, &square)
}
