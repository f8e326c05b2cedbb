package poseidon

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// modulus is r in words. It is 1 modulo 2^32, so that minusInverse, the inverse of -r modulo 2^64, is
// -(1 + 2^32).
var modulus = [4]uint64{0xffffffff00000001, 0x53bda402fffe5bfe, 0x3339d80809a1d805, 0x73eda753299d7d48}

const minusInverse = 1<<64 - 1<<32 - 1

// wide is a sum, not reduced, of products of an element and an integer, which is less than 2^320.
type wide [5]uint64

// add adds e·c.
func (w *wide) add(e *fr.Element, c uint64) { addRow(w, (*[4]uint64)(e), c, 0) }

// reduce returns the sum divided by 2^64, after Montgomery: it adds the multiple of r that makes the
// lowest word zero. The sum must be less than 2^64·r: what is left is then less than 2r.
func (w *wide) reduce() fr.Element {
	addRow(w, &modulus, w[0]*minusInverse, 0)
	return once([4]uint64(w[1:]))
}

// wider is a sum, not reduced, of products of two elements: up to twelve, which is less than 2^514.
type wider [9]uint64

// add adds a·b.
func (w *wider) add(a, b *fr.Element) {
	carry := addRow((*wide)(w[0:]), (*[4]uint64)(b), a[0], 0)
	carry = addRow((*wide)(w[1:]), (*[4]uint64)(b), a[1], carry)
	carry = addRow((*wide)(w[2:]), (*[4]uint64)(b), a[2], carry)
	carry = addRow((*wide)(w[3:]), (*[4]uint64)(b), a[3], carry)
	w[8] += carry
}

// reduce returns the sum divided by 2^320. What is left of 2^514/2^320 and the multiple of r that
// makes five words zero is less than 2r.
func (w *wider) reduce() fr.Element {
	var carry uint64
	for i := range 5 {
		carry = addRow((*wide)(w[i:]), &modulus, w[i]*minusInverse, carry)
	}
	return once([4]uint64(w[5:]))
}

// addRow adds e·c, e being less than 2^255, and a carry of an earlier row to the last word. It returns
// the carry to the word after that.
func addRow(w *wide, e *[4]uint64, c, carry uint64) uint64 {
	h0, t0 := bits.Mul64(e[0], c)
	h1, t1 := bits.Mul64(e[1], c)
	h2, t2 := bits.Mul64(e[2], c)
	t4, t3 := bits.Mul64(e[3], c)
	t1, k := bits.Add64(t1, h0, 0)
	t2, k = bits.Add64(t2, h1, k)
	t3, k = bits.Add64(t3, h2, k)
	t4 += carry + k
	w[0], k = bits.Add64(w[0], t0, 0)
	w[1], k = bits.Add64(w[1], t1, k)
	w[2], k = bits.Add64(w[2], t2, k)
	w[3], k = bits.Add64(w[3], t3, k)
	w[4], k = bits.Add64(w[4], t4, k)
	return k
}

// once subtracts r from a number below 2r unless that is less than r.
func once(e [4]uint64) fr.Element {
	d0, borrow := bits.Sub64(e[0], modulus[0], 0)
	d1, borrow := bits.Sub64(e[1], modulus[1], borrow)
	d2, borrow := bits.Sub64(e[2], modulus[2], borrow)
	d3, borrow := bits.Sub64(e[3], modulus[3], borrow)
	if borrow != 0 {
		return e
	}
	return fr.Element{d0, d1, d2, d3}
}
