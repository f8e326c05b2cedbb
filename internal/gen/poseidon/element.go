package main

import (
	"math/big"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"
)

// An element is eight field elements, one in each 64-bit lane of five registers: limb i holds bits
// 52i to 52i+51 of all eight, which is what the multiply-add instructions of AVX-512 IFMA take (they
// read 52 bits of each factor and add the low or the high half of the product to 64 bits).
//
// Values are kept modulo r, not less than r: every routine says what it takes and gives, as
// multiples of r or powers of two; r is between 2^254.85 and 2^254.86. Limbs of an element are less
// than 2^52 (normal); limbs of an accumulator are not, they only must not reach 2^64. A
// multiply-add adds less than 2^52, so that four thousand fit.
const (
	limbs        = 5
	limbBits     = 52
	elementBytes = limbs * 64 // in memory: limb after limb, eight lanes each
	wideLimbs    = 2 * limbs  // of a product
)

// element is an element in registers.
type element [limbs]VecVirtual

// modulus is r, the order of the scalar field of BLS12-381. It is 1 modulo 2^32.
var modulus, _ = new(big.Int).SetString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)

// field is the read-only data of the field: the limbs of r, then a limb of ones.
func field() {
	GLOBL("field", RODATA|NOPTR)
	ones := new(big.Int).SetUint64(1<<limbBits - 1)
	for i := range limbs {
		limb := new(big.Int).Rsh(modulus, uint(i)*limbBits)
		DATA(8*i, U64(limb.And(limb, ones).Uint64()))
	}
	DATA(8*limbs, U64(ones.Uint64()))
}

// modulusLimb is a limb of r, to be broadcast; onesLimb is 2^52-1.
func modulusLimb(i int) Mem { return NewDataAddr(Symbol{Name: "field", Static: true}, 8*i) }
func onesLimb() Mem         { return NewDataAddr(Symbol{Name: "field", Static: true}, 8*limbs) }

// code is a sequence of instructions that is not written yet, so that independent ones can be woven
// into each other: a multiply-add takes four clocks, and a processor that starts one in each clock
// needs four in flight.
type code []func()

func (c *code) add(f func()) { *c = append(*c, f) }

// weave writes sequences side by side, each spread evenly over the whole.
func weave(parts ...code) {
	total := 0
	for _, p := range parts {
		total = max(total, len(p))
	}
	for step := range total {
		for _, p := range parts {
			for i := step * len(p) / total; i < (step+1)*len(p)/total; i++ {
				p[i]()
			}
		}
	}
}

// lo and hi add the lower and the upper 52 bits of a product of limbs.
func (c *code) lo(sum, a VecVirtual, b Op) { c.add(func() { VPMADD52LUQ(b, a, sum) }) }
func (c *code) hi(sum, a VecVirtual, b Op) { c.add(func() { VPMADD52HUQ(b, a, sum) }) }

// loadElement reads an element from memory.
func (c *code) loadElement(from Mem) element {
	var e element
	for i := range e {
		e[i] = ZMM()
		c.add(func() { VMOVDQU64(from.Offset(64*i), e[i]) })
	}
	return e
}

func (c *code) storeElement(e element, to Mem) {
	for i := range e {
		c.add(func() { VMOVDQU64(e[i], to.Offset(64*i)) })
	}
}

// accumulator is a sum of products in registers. Limbs that nothing was added to have none.
type accumulator []VecVirtual

// limb returns the register of a limb, zero at first.
func (c *code) limb(a accumulator, i int) VecVirtual {
	if a[i] == nil {
		z := ZMM()
		a[i] = z
		c.add(func() { zero(z) })
	}
	return a[i]
}

// zero clears a register, without an input as far as the allocation of registers is concerned.
func zero(z VecVirtual) {
	clear, err := x86.VPXORQ(z, z, z)
	if err != nil {
		panic(err)
	}
	clear.CancellingInputs = true
	Instruction(clear)
}

// source writes the instruction that reads a limb of an element into a register.
type source func(i int, to VecVirtual)

// broadcast reads a constant, the same in all lanes.
func broadcast(constant Mem) source {
	return func(i int, to VecVirtual) { VPBROADCASTQ(constant.Offset(8*i), to) }
}

// start begins a sum of products with an element.
func (c *code) start(e source) accumulator {
	a := make(accumulator, wideLimbs)
	for i := range limbs {
		z := ZMM()
		a[i] = z
		c.add(func() { e(i, z) })
	}
	return a
}

// product adds a·b; limb gives the limbs of b, of which there may be fewer than five, in registers.
func (c *code) product(sum accumulator, a element, b func(i int) Op, bLimbs int) {
	for i := range bLimbs {
		limb := b(i)
		for j := range a {
			c.lo(c.limb(sum, i+j), a[j], limb)
		}
		for j := range a {
			c.hi(c.limb(sum, i+j+1), a[j], limb)
		}
	}
}

// from returns the limbs of an element that are read when they are asked for.
func (c *code) from(e source) func(i int) Op {
	return func(i int) Op {
		z := ZMM()
		c.add(func() { e(i, z) })
		return z
	}
}

// inMemory returns the limbs of an element in memory.
func inMemory(from Mem) func(i int) Op {
	return func(i int) Op { return from.Offset(64 * i) }
}

// limb returns a limb of an element in registers.
func (e element) limb(i int) Op { return e[i] }

// square adds a², counting the products of different limbs once and doubling them.
func (c *code) square(a element) accumulator {
	sum := make(accumulator, wideLimbs)
	for i := range a {
		for j := i + 1; j < limbs; j++ {
			c.lo(c.limb(sum, i+j), a[i], a[j])
		}
		for j := i + 1; j < limbs; j++ {
			c.hi(c.limb(sum, i+j+1), a[i], a[j])
		}
	}
	for i := 1; i < wideLimbs-1; i++ {
		c.add(func() { VPADDQ(sum[i], sum[i], sum[i]) })
	}
	for i := range a {
		c.lo(c.limb(sum, 2*i), a[i], a[i])
		c.hi(c.limb(sum, 2*i+1), a[i], a[i])
	}
	return sum
}

// reduce divides a sum T by 2^(52·steps) modulo r, after Montgomery: each step adds the multiple
// m·r, m < 2^52, that makes the lowest limb zero, and drops that limb. What is left is less than
// T/2^(52·steps) + r, and must be less than 2^260. It is made normal.
//
// Since r = 1 modulo 2^32, the inverse of -r modulo 2^52 is -(1 + 2^32): m takes no multiplication.
// Nor does the lowest limb of m·r: it cancels the lowest limb of T, and what is carried is T's limb
// divided by 2^52, rounded up.
func (c *code) reduce(sum accumulator, steps int) element {
	for k := range steps {
		low, minus, m := sum[k], ZMM(), ZMM()
		c.add(func() { zero(minus) })
		c.add(func() { VPSUBQ(low, minus, minus) })
		c.add(func() { VPSLLQ(U8(32), minus, m) })
		c.add(func() { VPADDQ(minus, m, m) })
		c.add(func() { VPADDQ_BCST(onesLimb(), low, low) })
		c.add(func() { VPSRLQ(U8(limbBits), low, low) })
		c.add(func() { VPADDQ(low, sum[k+1], sum[k+1]) })
		// The next limb is what the next step waits for: its two products are added side by side.
		first := ZMM()
		c.add(func() { zero(first) })
		c.add(func() { VPMADD52HUQ_BCST(modulusLimb(0), m, first) })
		for i := 1; i < limbs; i++ {
			s := c.limb(sum, k+i)
			c.add(func() { VPMADD52LUQ_BCST(modulusLimb(i), m, s) })
		}
		c.add(func() { VPADDQ(first, sum[k+1], sum[k+1]) })
		for i := 1; i < limbs; i++ {
			s := c.limb(sum, k+i+1)
			c.add(func() { VPMADD52HUQ_BCST(modulusLimb(i), m, s) })
		}
	}
	e := element(sum[steps : steps+limbs])
	c.normalise(e)
	return e
}

// normalise carries from limb to limb.
func (c *code) normalise(e element) {
	for i := range limbs - 1 {
		carry := ZMM()
		c.add(func() { VPSRLQ(U8(limbBits), e[i], carry) })
		c.add(func() { VPANDQ_BCST(onesLimb(), e[i], e[i]) })
		c.add(func() { VPADDQ(carry, e[i+1], e[i+1]) })
	}
}

// lessThanModulus returns the mask of the lanes whose element, normal, is less than r, and the
// differences of the limbs to r, borrows made good, which are the element less r in the others.
func (c *code) lessThanModulus(e element, less Op) element {
	var d element
	for i := range e {
		d[i] = ZMM()
		c.add(func() { VPSUBQ_BCST(modulusLimb(i), e[i], d[i]) })
	}
	for i := range limbs - 1 {
		borrow := ZMM()
		c.add(func() { VPSRAQ(U8(limbBits), d[i], borrow) })
		c.add(func() { VPANDQ_BCST(onesLimb(), d[i], d[i]) })
		c.add(func() { VPADDQ(borrow, d[i+1], d[i+1]) })
	}
	c.add(func() { VPMOVQ2M(d[limbs-1], less) })
	return d
}
