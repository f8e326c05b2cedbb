package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	maxWidth   = 12
	fullRounds = 8
	stateBytes = (maxWidth + 1) * elementBytes // one more, which pairs of an even width touch
	constant   = 8 * limbs                     // bytes of a constant in the program
)

// kernel holds the registers that live through the permutation.
type kernel struct {
	program Register // next constant
	matrix  Register // 1/(i+j+width), times a common multiple of the denominators, for i+j = 0, 1, ...
	width   Register // elements of a state
	from    Register // state
	to      Register // next state
}

// lanes is the read-only list of the lanes' numbers, and the distance of constants.
func lanes() {
	GLOBL("lanes", RODATA|NOPTR)
	for i := range 8 {
		DATA(8*i, U64(i))
	}
	GLOBL("constantBytes", RODATA|NOPTR)
	DATA(0, U64(constant))
}

func laneNumbers() Mem { return NewDataAddr(Symbol{Name: "lanes", Static: true}, 0) }

// permuteEight writes the kernel of eight states.
func permuteEight() {
	TEXT("permute8", 0, "func(program, matrix *uint64, width, partial int, in *[11]*[32]byte, stride int, used uint8, out *[32]byte) uint8")
	Pragma("noescape")
	Doc("permute8 hashes up to eight groups of width-1 nodes. Node i of the group in lane l stands stride·l",
		"bytes after in[i]; used has a bit for each lane that holds a group. It returns a bit for each lane",
		"whose nodes are all less than the modulus, unused lanes among them. If all are, it writes the hashes",
		"to out, lane after lane, otherwise nothing. Program and matrix are those of a program.")
	k := kernel{
		program: Load(Param("program"), GP64()),
		matrix:  Load(Param("matrix"), GP64()),
		width:   Load(Param("width"), GP64()),
		from:    GP64(),
		to:      GP64(),
	}
	aligned(2*stateBytes, k.from)
	LEAQ(Mem{Base: k.from, Disp: stateBytes}, k.to)
	used, index := K(), ZMM()
	k.place(used, index)
	k.load(used, index)
	JNE(LabelRef("refused"))
	k.rounds()
	k.finish(used)
	Label("refused")
	VZEROUPPER()
	RET()
}

// aligned points a register to local memory on the boundary of a cache line.
func aligned(bytes int, to Register) {
	LEAQ(AllocLocal(bytes+64), to)
	ADDQ(U8(63), to)
	ANDQ(I8(-64), to)
}

// place finds the mask of the lanes in use and the distances of their nodes.
func (k *kernel) place(used, index Register) {
	mask := Load(Param("used"), GP32())
	KMOVB(mask, used)
	VPBROADCASTQ(Load(Param("stride"), GP64()), index)
	VPMULLQ(laneNumbers(), index, index)
}

// load makes the first state: the constant first element and the nodes, to which the first round
// constants are added. It finds the lanes whose nodes are all less than r and compares them with all
// lanes. Elements are then less than 2r.
func (k *kernel) load(used, index Register) {
	var c code
	for i := range limbs {
		z := ZMM()
		VPBROADCASTQ(Mem{Base: k.program, Disp: 8 * i}, z)
		VMOVDQU64(z, Mem{Base: k.from, Disp: 64 * i})
	}
	factor := GP64()
	LEAQ(Mem{Base: k.program, Disp: constant}, factor)
	ADDQ(U8(2*constant), k.program)

	valid := K()
	KXNORB(valid, valid, valid)
	nodes, left, at := Load(Param("in"), GP64()), GP64(), GP64()
	LEAQ(Mem{Base: k.width, Disp: -1}, left)
	LEAQ(Mem{Base: k.from, Disp: elementBytes}, at)
	Label("load")
	node, less := GP64(), K()
	MOVQ(Mem{Base: nodes}, node)
	e := split(gather(node, used, index, 0))
	c.lessThanModulus(e, less)
	c.add(func() { KANDB(less, valid, valid) })
	sum := c.start(broadcast(Mem{Base: k.program}))
	c.product(sum, e, c.from(broadcast(Mem{Base: factor})), limbs)
	c.storeElement(c.reduce(sum, limbs), Mem{Base: at})
	weave(c)
	ADDQ(U8(8), nodes)
	ADDQ(U8(constant), k.program)
	ADDQ(U32(elementBytes), at)
	DECQ(left)
	JNZ(LabelRef("load"))
	result := GP32()
	KMOVB(valid, result)
	Store(result.As8(), ReturnIndex(0))
	CMPL(result, U32(0xff))
}

// gather reads the four words of a node in each lane, a displacement and an index from a place.
func gather(node, used, index Register, displacement int) (words [4]VecVirtual) {
	for i := range words {
		words[i] = ZMM()
		mask := K()
		KMOVB(used, mask) // the instruction clears it
		zero(words[i])
		VPGATHERQQ(Mem{Base: node, Index: index, Scale: 1, Disp: displacement + 8*i}, mask, words[i])
	}
	return words
}

// split cuts four words into limbs.
func split(words [4]VecVirtual) (e element) {
	for i := range e {
		e[i] = ZMM()
		word, shift := i*limbBits/64, i*limbBits%64
		if word == len(words)-1 {
			VPSRLQ(U8(shift), words[word], e[i])
			continue
		}
		if shift == 0 {
			VPANDQ_BCST(onesLimb(), words[word], e[i])
			continue
		}
		high := ZMM()
		VPSRLQ(U8(shift), words[word], e[i])
		VPSLLQ(U8(64-shift), words[word+1], high)
		VPORQ(high, e[i], e[i])
		VPANDQ_BCST(onesLimb(), e[i], e[i])
	}
	return e
}

// join is the reverse of split.
func join(e element) (words [4]VecVirtual) {
	for i := range words {
		words[i] = ZMM()
		high := ZMM()
		VPSRLQ(U8(12*i), e[i], words[i])
		VPSLLQ(U8(52-12*i), e[i+1], high)
		VPORQ(high, words[i], words[i])
	}
	return words
}

// rounds runs all rounds but for the last matrix. A full round applies the S-box to all elements, a
// partial one to the first, the head; then both multiply by the matrix.
func (k *kernel) rounds() {
	left, partial := GP64(), Load(Param("partial"), GP64())
	ADDQ(U8(fullRounds/2), partial)
	LEAQ(Mem{Base: partial, Disp: fullRounds / 2}, left)
	Label("round")
	CMPQ(left, U8(fullRounds/2))
	JLE(LabelRef("full"))
	CMPQ(left, partial)
	JLE(LabelRef("head"))
	Label("full")
	k.tail()
	Label("head")
	k.head()
	DECQ(left)
	JZ(LabelRef("last"))
	k.product()
	XCHGQ(k.from, k.to)
	JMP(LabelRef("round"))
	Label("last")
}

// tail applies the S-box to the elements after the first, two at a time.
func (k *kernel) tail() {
	at, pairs := GP64(), GP64()
	LEAQ(Mem{Base: k.from, Disp: elementBytes}, at)
	MOVQ(k.width, pairs)
	SHRQ(U8(1), pairs)
	Label("pair")
	weave(
		fifth(Mem{Base: at}, broadcast(Mem{Base: k.program})),
		fifth(Mem{Base: at, Disp: elementBytes}, broadcast(Mem{Base: k.program, Disp: constant})),
	)
	ADDQ(U32(2*elementBytes), at)
	ADDQ(U8(2*constant), k.program)
	DECQ(pairs)
	JNZ(LabelRef("pair"))
}

// fifth replaces an element x < 2r in memory by x^5/2^1040 and a constant: less than 1.1r.
func fifth(at Mem, constant source) (c code) {
	x := c.loadElement(at)
	x2 := c.reduce(c.square(x), limbs)  // < (2r)²/2^260 + r < 1.12r
	x4 := c.reduce(c.square(x2), limbs) // < 1.04r
	sum := c.start(constant)
	c.product(sum, x4, inMemory(at), limbs)
	c.storeElement(c.reduce(sum, limbs), at) // < 2.08r²/2^260 + r + 1 < 1.1r
	return c
}

// head applies the S-box to the first element.
func (k *kernel) head() {
	at := Mem{Base: k.from}
	var store code
	store.storeElement(raiseHead(at, Mem{Base: k.program}, Mem{Base: k.program, Disp: constant}), at)
	weave(store)
	ADDQ(U8(2*constant), k.program)
}

// raiseHead returns f·x^5/2^1300 and a constant, less than 1.1r, of an element x < 2r in memory. The
// factor f makes its scale that of the elements that were not raised.
func raiseHead(at, factor, constant Mem) element {
	var squares, scaled, last code
	x := squares.loadElement(at)
	x2 := squares.reduce(squares.square(x), limbs) // < 1.12r
	sum := make(accumulator, wideLimbs)
	scaled.product(sum, x, scaled.from(broadcast(factor)), limbs)
	fx := scaled.reduce(sum, limbs) // < 2r²/2^260 + r < 1.06r
	weave(squares, scaled)

	x4 := last.reduce(last.square(x2), limbs) // < 1.04r
	sum = last.start(broadcast(constant))
	last.product(sum, x4, fx.limb, limbs)
	raised := last.reduce(sum, limbs) // < 1.1r
	weave(last)
	return raised
}

// rows is how many elements of a product are computed at a time.
const rows = 3

// product multiplies the state by the matrix, whose elements are less than 2^44 and whose rows add
// up to less than 2^47: sums are less than 2^47·1.1r, results, after one step of reduction, less than
// 1.1r/2^5 + r < 1.04r. The product may have a row too many, up to a multiple of three, for which the
// matrix has elements.
func (k *kernel) product() {
	coefficient, to, left := GP64(), GP64(), GP64()
	MOVQ(k.matrix, coefficient)
	MOVQ(k.to, to)
	MOVQ(k.width, left)
	Label("rows")
	var c code
	var sums [rows]accumulator
	for i := range sums {
		sums[i] = make(accumulator, limbs+1)
		for j := range sums[i] {
			c.limb(sums[i], j)
		}
	}
	weave(c)
	from, columns := GP64(), GP64()
	MOVQ(k.from, from)
	MOVQ(k.width, columns)
	Label("column")
	k.column(&sums, Mem{Base: coefficient}, Mem{Base: from})
	ADDQ(U8(8), coefficient)
	ADDQ(U32(elementBytes), from)
	DECQ(columns)
	JNZ(LabelRef("column"))

	var ends [rows]code
	for i := range sums {
		e := ends[i].reduce(sums[i], 1)
		ends[i].storeElement(e, Mem{Base: to, Disp: i * elementBytes})
	}
	weave(ends[:]...)
	ADDQ(U32(rows*elementBytes), to)
	// From the end of these rows to the start of the next, which begins three elements further.
	back := GP64()
	MOVQ(k.width, back)
	SHLQ(U8(3), back)
	SUBQ(back, coefficient)
	ADDQ(U8(8*rows), coefficient)
	SUBQ(U8(rows), left)
	JG(LabelRef("rows"))
}

// column adds an element of the state, times its coefficients, to the sums of three rows.
func (k *kernel) column(sums *[rows]accumulator, coefficients, from Mem) {
	var c code
	var factors [rows]VecVirtual
	for i := range factors {
		factors[i] = ZMM()
		c.add(func() { VPBROADCASTQ(coefficients.Offset(8*i), factors[i]) })
	}
	e := c.loadElement(from)
	for j := range e {
		for i := range sums {
			c.lo(sums[i][j], e[j], factors[i])
		}
	}
	for j := range e {
		for i := range sums {
			c.hi(sums[i][j+1], e[j], factors[i])
		}
	}
	weave(c)
}

// finish computes the one element of the last product that is the result, scaled back, and writes
// it as a node in each lane in use.
func (k *kernel) finish(used Register) {
	var c code
	sum := make(accumulator, wideLimbs)
	for i := range sum {
		c.limb(sum, i)
	}
	weave(c)
	left := GP64()
	MOVQ(k.width, left)
	Label("result")
	c = nil
	c.product(sum, c.loadElement(Mem{Base: k.from}), c.from(broadcast(Mem{Base: k.program})), limbs)
	weave(c)
	ADDQ(U8(constant), k.program)
	ADDQ(U32(elementBytes), k.from)
	DECQ(left)
	JNZ(LabelRef("result"))

	words := join(canonical(sum))
	out := Load(Param("out"), GP64())
	places := ZMM()
	VMOVDQU64(laneNumbers(), places)
	VPSLLQ(U8(5), places, places) // 32 bytes a node
	for i, word := range words {
		mask := K()
		KMOVB(used, mask)
		VPSCATTERQQ(word, mask, Mem{Base: out, Index: places, Scale: 1, Disp: 8 * i})
	}
}

// canonical reduces the sum of the products of the last row to the result, less than r: twelve
// products are less than 12·1.1r², what is left of them less than 1.4r.
func canonical(sum accumulator) element {
	var c code
	less := K()
	e := c.reduce(sum, limbs)
	d := c.lessThanModulus(e, less)
	weave(c)
	for i := range e {
		VMOVDQA64(e[i], less, d[i])
	}
	return d
}
