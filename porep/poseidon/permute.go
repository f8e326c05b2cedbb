package poseidon

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// scaled is the constants of an instance for permute, which multiplies the state by small integers:
// the Cauchy matrix 1/(i+j+width) times the least common multiple L of its denominators. Such a
// product takes a quarter of the multiplications of words that one of two elements takes, a row of
// them is reduced once, in one step instead of four, and so the plain matrices cost less than sparse
// ones that M can be split into for partial rounds, which have fewer elements, but large ones.
//
// The state is therefore a multiple of what it stands for, by a scale that is 1 at first: the S-box
// raises it to the fifth power, the matrix multiplies it by L/2^64, since its reduction divides by
// 2^64. In a partial round a factor takes the first element back to the scale of the others.
// Constants are multiplied by the scale at the place where they are added.
type scaled struct {
	pre    []fr.Element // width, before the first S-box
	first  []fr.Element // (fullRounds/2) x width, after the S-boxes of the first half
	heads  []head       // one a partial round
	second []fr.Element // (fullRounds/2 - 1) x width, after the S-boxes of the second half
	matrix []uint64     // L/(k+width) for k = 0, 1, ...: row i begins at i
	result fr.Element   // the inverse of the scale at the end
}

// head is the S-box of a partial round: x to factor·x^5 + constant.
type head struct{ factor, constant fr.Element }

// newScaled multiplies the constants of h by their scales.
func newScaled(h *Hasher) *scaled {
	common, matrix := integers(h.width)
	p := &scaled{pre: h.pre, matrix: matrix}
	step, word := fr.NewElement(common), power2(64)
	step.Div(&step, &word)
	scale := fr.One()
	full := func(constants []fr.Element) (out []fr.Element) {
		for len(constants) > 0 {
			fifth(&scale)
			for _, k := range constants[:h.width] {
				out = append(out, *k.Mul(&k, &scale))
			}
			scale.Mul(&scale, &step)
			constants = constants[h.width:]
		}
		return out
	}
	p.first = full(h.first)
	for _, k := range h.partial {
		var c head
		raised := scale
		fifth(&raised)
		c.factor.Div(&scale, &raised)
		c.constant.Mul(&k, &scale)
		p.heads = append(p.heads, c)
		scale.Mul(&scale, &step)
	}
	p.second = full(h.second)
	fifth(&scale)
	scale.Mul(&scale, &step)
	p.result.Inverse(&scale)
	return p
}

// permute runs the rounds; constants are added after the S-boxes. Only state[1] is meaningful
// afterwards: the last matrix is applied to the one element that is the result.
func (p *scaled) permute(state *[maxWidth]fr.Element) {
	t := len(p.pre)
	s := state[:t]
	for i := range s {
		s[i].Add(&s[i], &p.pre[i])
	}
	for k := p.first; len(k) > 0; k = k[t:] {
		p.full(s, k[:t])
	}
	for i := range p.heads {
		p.heads[i].raise(&s[0])
		p.multiply(s)
	}
	for k := p.second; len(k) > 0; k = k[t:] {
		p.full(s, k[:t])
	}
	for i := range s {
		fifth(&s[i])
	}
	var sum fr.Element
	integerDot(&sum, s, p.matrix[1:])
	s[1].Mul(&sum, &p.result)
}

// full is a full round: the S-box everywhere, constants, the matrix.
func (p *scaled) full(s, constants []fr.Element) {
	for i := range s {
		fifth(&s[i])
		s[i].Add(&s[i], &constants[i])
	}
	p.multiply(s)
}

// raise applies the S-box. The factor is multiplied while the squares are computed.
func (c *head) raise(e *fr.Element) {
	var square, scaled fr.Element
	square.Square(e)
	scaled.Mul(e, &c.factor)
	square.Square(&square)
	e.Mul(&scaled, &square)
	e.Add(e, &c.constant)
}

// multiply multiplies the state by the matrix.
func (p *scaled) multiply(s []fr.Element) {
	var next [maxWidth]fr.Element
	for i := range s {
		integerDot(&next[i], s, p.matrix[i:])
	}
	copy(s, next[:])
}

// The words of the modulus r, lowest first, and the inverse of -r modulo 2^64.
const (
	modulus0     = 0xffffffff00000001
	modulus1     = 0x53bda402fffe5bfe
	modulus2     = 0x3339d80809a1d805
	modulus3     = 0x73eda753299d7d48
	minusInverse = 0xfffffffeffffffff
)

// integerDot sets sum to the inner product of s and as many integers, divided by 2^64. The integers must
// add up to less than 2^62: the sum is then less than 2^62·r, and after one step of Montgomery's
// reduction, which adds less than 2^64·r and drops the lowest word, it is less than 2r.
func integerDot(sum *fr.Element, s []fr.Element, integers []uint64) {
	var a0, a1, a2, a3, a4, c uint64
	integers = integers[:len(s)]
	for i := range s {
		e, k := &s[i], integers[i]
		h0, l0 := bits.Mul64(e[0], k)
		h1, l1 := bits.Mul64(e[1], k)
		h2, l2 := bits.Mul64(e[2], k)
		h3, l3 := bits.Mul64(e[3], k)
		a0, c = bits.Add64(a0, l0, 0)
		a1, c = bits.Add64(a1, l1, c)
		a2, c = bits.Add64(a2, l2, c)
		a3, c = bits.Add64(a3, l3, c)
		a4, _ = bits.Add64(a4, h3, c)
		a1, c = bits.Add64(a1, h0, 0)
		a2, c = bits.Add64(a2, h1, c)
		a3, c = bits.Add64(a3, h2, c)
		a4, _ = bits.Add64(a4, 0, c)
	}
	m := a0 * minusInverse
	h0, l0 := bits.Mul64(m, modulus0)
	h1, l1 := bits.Mul64(m, modulus1)
	h2, l2 := bits.Mul64(m, modulus2)
	h3, l3 := bits.Mul64(m, modulus3)
	_, c = bits.Add64(a0, l0, 0)
	a1, c = bits.Add64(a1, l1, c)
	a2, c = bits.Add64(a2, l2, c)
	a3, c = bits.Add64(a3, l3, c)
	a4, _ = bits.Add64(a4, h3, c)
	a1, c = bits.Add64(a1, h0, 0)
	a2, c = bits.Add64(a2, h1, c)
	a3, c = bits.Add64(a3, h2, c)
	a4, _ = bits.Add64(a4, 0, c)

	d0, c := bits.Sub64(a1, modulus0, 0)
	d1, c := bits.Sub64(a2, modulus1, c)
	d2, c := bits.Sub64(a3, modulus2, c)
	d3, c := bits.Sub64(a4, modulus3, c)
	if c != 0 {
		d0, d1, d2, d3 = a1, a2, a3, a4
	}
	*sum = fr.Element{d0, d1, d2, d3}
}

// fifth raises an element to the fifth power.
func fifth(e *fr.Element) {
	var square fr.Element
	square.Square(e)
	square.Square(&square)
	e.Mul(e, &square)
}
