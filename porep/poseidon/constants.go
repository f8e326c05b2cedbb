package poseidon

import (
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// partialRounds gives the number of partial rounds for a state of t elements, for 128 bits of
// security (the table of the reference parameters).
func partialRounds(t int) int {
	switch {
	case t <= 3:
		return 55
	case t <= 7:
		return 56
	default:
		return 57
	}
}

// newHasher computes an instance: the plain parameters, then their forms that are quick to use.
func newHasher(arity int) *Hasher {
	t := arity + 1
	h := &Hasher{arity: arity, width: t}
	h.tag.SetUint64(1<<arity - 1)
	h.compress(roundConstants(t), cauchy(t))
	h.scaled = newScaled(h)
	if hasEight {
		h.eight = newProgram(h)
	}
	return h
}

// grain is the 80-bit LFSR that the round constants come from. Bit 0 of low is the oldest.
type grain struct{ low, high uint64 }

// newGrain seeds the register with the instance and discards the first 160 bits.
func newGrain(t int) *grain {
	g := &grain{}
	n := 0
	push := func(value uint64, bits int) {
		for i := bits - 1; i >= 0; i-- {
			bit := value >> i & 1
			if n < 64 {
				g.low |= bit << n
			} else {
				g.high |= bit << (n - 64)
			}
			n++
		}
	}
	push(1, 2)                         // prime field
	push(1, 4)                         // S-box x^alpha
	push(fr.Bits, 12)                  // bits of an element
	push(uint64(t), 12)                // width
	push(fullRounds, 10)               // full rounds
	push(uint64(partialRounds(t)), 10) // partial rounds
	push(1<<30-1, 30)
	for range 160 {
		g.step()
	}
	return g
}

// step shifts the register by one bit and returns the new bit.
func (g *grain) step() uint64 {
	bit := (g.low ^ g.low>>13 ^ g.low>>23 ^ g.low>>38 ^ g.low>>51 ^ g.low>>62) & 1
	g.low = g.low>>1 | g.high<<63
	g.high = g.high>>1 | bit<<15
	return bit
}

// bit returns the next output bit: of each pair the second, if the first is one.
func (g *grain) bit() byte {
	for {
		take, bit := g.step(), g.step()
		if take == 1 {
			return byte(bit)
		}
	}
}

// element draws an element, most significant bit first, drawing again while it is too large.
func (g *grain) element() fr.Element {
	for {
		var node [32]byte
		for i := fr.Bits - 1; i >= 0; i-- {
			node[i/8] |= g.bit() << (i % 8)
		}
		if e, err := ElementFromNode(node); err == nil {
			return e
		}
	}
}

// roundConstants returns t constants for each round, round after round.
func roundConstants(t int) []fr.Element {
	g := newGrain(t)
	out := make([]fr.Element, (fullRounds+partialRounds(t))*t)
	for i := range out {
		out[i] = g.element()
	}
	return out
}

// matrix is a square matrix by rows.
type matrix [][]fr.Element

// cauchy returns the matrix with 1/(i+t+j) in row i, column j; it is symmetric.
func cauchy(t int) matrix {
	m := make(matrix, t)
	for i := range m {
		m[i] = make([]fr.Element, t)
		for j := range m[i] {
			m[i][j].SetUint64(uint64(i + t + j))
			m[i][j].Inverse(&m[i][j])
		}
	}
	return m
}

// compress fills in the round constants. With row vectors, a round is s -> (S(s + c))·M, and adding c
// before a round equals adding c·M^-1 before the previous round's matrix. In a partial round all
// elements but the first pass the S-box unchanged, so those of the constant can move further back;
// what remains is one constant a partial round.
func (h *Hasher) compress(constants []fr.Element, mds matrix) {
	const half = fullRounds / 2
	t, partial := h.width, partialRounds(h.width)
	round := func(r int) []fr.Element { return constants[r*t : (r+1)*t] }
	inverse := mds.inverse()

	h.pre = round(0)
	for r := 1; r < half; r++ {
		h.first = append(h.first, inverse.left(round(r))...)
	}
	h.partial = make([]fr.Element, partial)
	carried := slices.Clone(round(half + partial))
	for r := partial - 1; r >= 0; r-- {
		back := inverse.left(carried)
		h.partial[r] = back[0]
		back[0].SetZero()
		for i, c := range round(half + r) {
			carried[i].Add(&back[i], &c)
		}
	}
	h.first = append(h.first, inverse.left(carried)...)
	for r := half + partial + 1; r < fullRounds+partial; r++ {
		h.second = append(h.second, inverse.left(round(r))...)
	}
}

// left returns the row vector v·m.
func (m matrix) left(v []fr.Element) []fr.Element {
	out := make([]fr.Element, len(m))
	var p fr.Element
	for i := range m {
		for j := range out {
			p.Mul(&v[i], &m[i][j])
			out[j].Add(&out[j], &p)
		}
	}
	return out
}

// inverse returns the inverse of a regular matrix.
func (m matrix) inverse() matrix {
	out := make(matrix, len(m))
	for i := range out {
		out[i] = make([]fr.Element, len(m))
	}
	for j := range m {
		unit := make([]fr.Element, len(m))
		unit[j].SetOne()
		for i, e := range m.solve(unit) {
			out[i][j] = e
		}
	}
	return out
}

// solve returns the column vector x with m·x = v, for a regular m, by elimination.
func (m matrix) solve(v []fr.Element) []fr.Element {
	a := make(matrix, len(m))
	for i := range a {
		a[i] = append(slices.Clone(m[i]), v[i])
	}
	var p, scale fr.Element
	for c := range a {
		pivot := c
		for a[pivot][c].IsZero() {
			pivot++
		}
		a[c], a[pivot] = a[pivot], a[c]
		scale.Inverse(&a[c][c])
		for j := c; j <= len(a); j++ {
			a[c][j].Mul(&a[c][j], &scale)
		}
		for i := range a {
			if i == c || a[i][c].IsZero() {
				continue
			}
			scale := a[i][c]
			for j := c; j <= len(a); j++ {
				p.Mul(&scale, &a[c][j])
				a[i][j].Sub(&a[i][j], &p)
			}
		}
	}
	x := make([]fr.Element, len(a))
	for i := range x {
		x[i] = a[i][len(a)]
	}
	return x
}
