package poseidon

import "github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

// portable is the constants of an instance for a single state, in the library's field arithmetic.
//
// In full rounds the state is multiplied by a matrix of integers of one word (see integerMatrix), so
// that such a product costs a quarter of that of two elements. It also divides by 2^64. The state is
// therefore a multiple of the state, by a scale that is known for every round; constants are
// multiplied by it, and the pre-sparse matrix and the row of the result divide by it. In partial
// rounds, where the sparse form has less to multiply, the scale is 1. Products of two elements are
// summed before they are reduced, divided by 2^320 instead of the library's 2^256; their constants
// make good for it.
type portable struct {
	matrix    []uint64
	first     []fr.Element // Hasher.first, scaled
	preSparse []fr.Element // by columns
	sparse    []fr.Element // of which the columns are scaled
	second    []fr.Element // Hasher.second, scaled
	result    []fr.Element // the column of the last matrix that the result comes from
}

// newPortable scales the constants of h.
func newPortable(h *Hasher) *portable {
	p := new(portable)
	t := h.width
	matrix, common := integerMatrix(t)
	p.matrix = matrix
	word, step := power2(64), *new(fr.Element).SetUint64(common)
	step.Div(&step, &word)

	scale := fr.One()
	half := func(constants []fr.Element) (scaled []fr.Element) {
		for ; len(constants) > 0; constants = constants[t:] {
			fifth(&scale)
			scaled = append(scaled, times(constants[:t], &scale)...)
			scale.Mul(&scale, &step)
		}
		return scaled
	}
	p.first = half(h.first)
	scale.Div(&step, &scale) // undoes the last round, which is not followed by an integer matrix
	scale.Mul(&scale, &word)
	p.preSparse = times(h.preSparse, &scale)

	for row := h.sparse; len(row) > 0; row = row[2*t-1:] {
		p.sparse = append(p.sparse, times(row[:t], &word)...)
		p.sparse = append(p.sparse, row[t:2*t-1]...)
	}

	scale = fr.One()
	p.second = half(h.second)
	fifth(&scale)
	scale.Div(&word, &scale)
	p.result = times(h.mds[t:2*t], &scale)
	return p
}

// times returns the elements multiplied by a factor.
func times(elements []fr.Element, factor *fr.Element) []fr.Element {
	out := make([]fr.Element, len(elements))
	for i := range elements {
		out[i].Mul(&elements[i], factor)
	}
	return out
}

// permute runs the rounds in their optimised form: constants are added after the S-boxes, and a
// partial round multiplies by a sparse matrix of 2*width-1 elements. Only state[1] is meaningful
// afterwards: the last matrix is applied to the one element that is the result.
func (h *Hasher) permute(state *[maxWidth]fr.Element) {
	p, t := h.portable, h.width
	s := state[:t]
	for i := range s {
		s[i].Add(&s[i], &h.pre[i])
	}
	const half = fullRounds / 2
	for r := range half - 1 {
		raiseAll(s, p.first[r*t:(r+1)*t])
		integerProduct(s, p.matrix)
	}
	raiseAll(s, p.first[(half-1)*t:])
	matrixProduct(s, p.preSparse)
	for r := range h.partial {
		fifth(&s[0])
		s[0].Add(&s[0], &h.partial[r])
		sparseProduct(s, p.sparse[r*(2*t-1):(r+1)*(2*t-1)])
	}
	for r := range half - 1 {
		raiseAll(s, p.second[r*t:(r+1)*t])
		integerProduct(s, p.matrix)
	}
	for i := range s {
		fifth(&s[i])
	}
	s[1] = dot(s, p.result)
}

// raiseAll applies the S-box to all elements and adds constants.
func raiseAll(s, constants []fr.Element) {
	for i := range s {
		fifth(&s[i])
		s[i].Add(&s[i], &constants[i])
	}
}

// integerProduct multiplies the state by a matrix of integers, of which the one in row i, column j is
// matrix[i+j], and divides it by 2^64.
func integerProduct(s []fr.Element, matrix []uint64) {
	var next [maxWidth]fr.Element
	for j := range s {
		var sum wide
		for i := range s {
			sum.add(&s[i], matrix[i+j])
		}
		next[j] = sum.reduce()
	}
	copy(s, next[:])
}

// matrixProduct multiplies the state by a matrix given by columns.
func matrixProduct(s, matrix []fr.Element) {
	var next [maxWidth]fr.Element
	for j := range s {
		next[j] = dot(s, matrix[j*len(s):(j+1)*len(s)])
	}
	copy(s, next[:])
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

// dot is the inner product of two vectors of the same length, of at most maxWidth, divided by 2^64.
func dot(a, b []fr.Element) fr.Element {
	var sum wider
	for i := range a {
		sum.add(&a[i], &b[i])
	}
	return sum.reduce()
}

// fifth raises an element to the fifth power.
func fifth(e *fr.Element) {
	var square fr.Element
	square.Square(e)
	square.Square(&square)
	e.Mul(e, &square)
}
