package poseidon

import (
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// A program is the constants of an instance in the form and order in which the kernels in
// machine code read them.
//
// They multiply the state by a matrix of small integers: the Cauchy matrix 1/(i+j+width)
// times the least common multiple L of the denominators, which fits one limb, so that such a product
// costs a fifth of that of two elements, and its reduction, one step instead of five, a fifth too.
// Their state is therefore a multiple of the state, by a scale that is known for every round:
//
//   - loading a node multiplies by 2^260;
//   - the S-box turns a scale s into s^5/2^1040, since a product of elements divides by 2^260;
//   - the matrix turns s into s·L/2^52, since that product divides by 2^52.
//
// In a partial round the S-box changes the scale of the first element only; a factor, different for
// each round, takes it back to the scale of the others. All constants are multiplied by the scale at
// the place where they are added, and the row that computes the result is divided by it.
//
// The matrices are the plain ones; see scaled.
type program struct {
	constants []uint64 // five limbs of 52 bits each
	matrix    []uint64 // L/(k+width) for k = 0, 1, ...: row i begins at i
}

const (
	limbs    = 5
	limbBits = 52
)

// newProgram lays out the constants of h for the kernel.
func newProgram(h *Hasher) *program {
	p := new(program)
	scale := power2(limbs * limbBits)
	p.load(h, &scale)
	first, second, partial := h.first, h.second, h.partial
	t := h.width
	common, matrix := integers(t)
	p.matrix = append(matrix, make([]uint64, 2*lanes)...) // of rows after the last, which nothing reads
	step, drop := fr.NewElement(common), power2(limbBits)
	step.Div(&step, &drop) // what a product with the matrix multiplies the scale by
	for ; len(first) > 0; first = first[t:] {
		p.full(first[:t], &scale)
		scale.Mul(&scale, &step)
	}
	for ; len(partial) > 0; partial = partial[1:] {
		p.head(partial[0], scale, &scale)
		scale.Mul(&scale, &step)
	}
	for ; len(second) > 0; second = second[t:] {
		p.full(second[:t], &scale)
		scale.Mul(&scale, &step)
	}
	p.full(make([]fr.Element, t), &scale)
	p.result(h, scale)
	return p
}

// integers returns the least common multiple L of the denominators of the Cauchy matrix of a width,
// less than 2^48, and L/(k+width) for k = 0, 1, ...: the elements of row i begin at i.
func integers(t int) (common uint64, matrix []uint64) {
	common = 1
	for k := t; k < 3*t-1; k++ {
		gcd := new(big.Int).GCD(nil, nil, new(big.Int).SetUint64(common), big.NewInt(int64(k)))
		common *= uint64(k) / gcd.Uint64()
	}
	for k := t; k < 3*t-1; k++ {
		matrix = append(matrix, common/uint64(k))
	}
	return common, matrix
}

// load lays out the first element, the factor of nodes and what is added to them.
func (p *program) load(h *Hasher, scale *fr.Element) {
	var head, factor fr.Element
	head.Add(&h.tag, &h.pre[0])
	head.Mul(&head, scale)
	p.add(&head)
	radix := power2(limbs * limbBits)
	factor.Mul(scale, &radix)
	p.add(&factor)
	for i := range h.pre[1:] {
		var k fr.Element
		p.add(k.Mul(&h.pre[i+1], &factor))
	}
}

// full lays out the constants of a full round, those of the first element last, and takes the scale
// through its S-boxes.
func (p *program) full(constants []fr.Element, scale *fr.Element) {
	raised := raise(scale)
	radix := power2(limbs * limbBits)
	var factor fr.Element
	factor.Mul(&raised, &radix)
	for i := range constants[1:] {
		var k fr.Element
		p.add(k.Mul(&constants[i+1], &factor))
	}
	if len(constants)%2 == 0 {
		p.add(new(fr.Element)) // the last of an odd number of elements is raised together with none
	}
	p.head(constants[0], raised, scale)
}

// head lays out the constants of an S-box of the first element that takes it from a scale to
// another, and sets the scale to that.
func (p *program) head(constant, to fr.Element, scale *fr.Element) {
	radix := power2(limbs * limbBits)
	var factor, k fr.Element
	raised := raise(scale)
	factor.Div(&to, &raised)
	p.add(factor.Mul(&factor, &radix))
	k.Mul(&constant, &to)
	p.add(k.Mul(&k, &radix))
	*scale = to
}

// result lays out the row of the last matrix that computes the result.
func (p *program) result(h *Hasher, scale fr.Element) {
	radix := power2(limbs * limbBits)
	var factor fr.Element
	factor.Div(&radix, &scale)
	for _, e := range cauchy(h.width)[1] {
		var k fr.Element
		p.add(k.Mul(&e, &factor))
	}
}

// raise returns the scale that the S-box of a full round turns a scale into.
func raise(scale *fr.Element) fr.Element {
	raised, radix := *scale, power2(4*limbs*limbBits)
	fifth(&raised)
	raised.Div(&raised, &radix)
	return raised
}

// add appends an element: its value, not its Montgomery form, in limbs.
func (p *program) add(e *fr.Element) {
	words := e.Bits()
	for i := range limbs {
		word, shift := i*limbBits/64, i*limbBits%64
		limb := words[word] >> shift
		if word+1 < len(words) {
			limb |= words[word+1] << (64 - shift) // nothing if shift is 0
		}
		p.constants = append(p.constants, limb&(1<<limbBits-1))
	}
}

// power2 returns 2^n.
func power2(n int64) fr.Element {
	var e fr.Element
	e.SetUint64(2)
	e.Exp(e, big.NewInt(n))
	return e
}
