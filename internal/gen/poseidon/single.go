package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// single is the kernel of one state, whose elements stand in the lanes of one or two vectors: element
// i in lane i%8 of vector i/8. What it computes, and its program, are those of the kernel of eight
// states, and so are the bounds.
type single struct {
	program, matrix, width Register
	state                  Register   // vectors, each as an element in memory
	places                 Register   // for each vector, the distances of the constants of its lanes
	pairs                  Register   // bytes of the constants of the elements after the first, which are padded to pairs
	used                   []Register // masks of the lanes that hold an element
}

// permuteOne writes the kernel for states of a number of vectors.
func permuteOne(name string, vectors int) {
	TEXT(name, 0, "func(program, matrix *uint64, width, partial int, in, out *[32]byte) bool")
	Pragma("noescape")
	Doc(name+" hashes width-1 nodes, consecutive from in, for a width of at most "+map[int]string{1: "8", 2: "16"}[vectors]+". It returns false, and",
		"writes nothing, unless all are less than the modulus. Program and matrix are those of a program.")
	k := single{
		program: Load(Param("program"), GP64()),
		matrix:  Load(Param("matrix"), GP64()),
		width:   Load(Param("width"), GP64()),
		state:   GP64(),
		places:  GP64(),
		pairs:   GP64(),
		used:    make([]Register, vectors),
	}
	aligned(vectors*(elementBytes+64), k.state)
	LEAQ(Mem{Base: k.state, Disp: vectors * elementBytes}, k.places)
	k.place()
	k.load()
	k.rounds()
	k.finish()
	Label("refused")
	VZEROUPPER()
	RET()
}

func (k *single) vector(v int) Mem { return Mem{Base: k.state, Disp: v * elementBytes} }
func (k *single) place8(v int) Mem { return Mem{Base: k.places, Disp: 64 * v} }

// laneFactor returns the numbers of the lanes of a vector, counted on from those before, times n.
func laneFactor(v, n int) VecVirtual {
	z, scale, first := ZMM(), GP64(), ZMM()
	MOVQ(U32(n), scale)
	VPBROADCASTQ(scale, z)
	VPMULLQ(laneNumbers(), z, z)
	if v > 0 {
		MOVQ(U32(8*v*n), scale)
		VPBROADCASTQ(scale, first)
		VPADDQ(first, z, z)
	}
	return z
}

// place finds the masks of the lanes, and the places of their constants: one after the other from the
// second element on, that of the first, with a factor before it, after all pairs.
func (k *single) place() {
	mask := GP64()
	MOVQ(I32(-1), mask)
	SHLXQ(k.width, mask, mask)
	NOTQ(mask)
	for v := range k.used {
		k.used[v] = K()
		KMOVB(mask.As32(), k.used[v])
		SHRQ(U8(8), mask)
	}
	head := GP64()
	MOVQ(k.width, k.pairs)
	SHRQ(U8(1), k.pairs)
	IMUL3Q(U8(2*constant), k.pairs, k.pairs)
	LEAQ(Mem{Base: k.pairs, Disp: 2 * constant}, head) // as if it came after one less, which is taken off below
	first, one, less := K(), GP32(), ZMM()
	MOVL(U32(1), one)
	KMOVB(one, first)
	VPBROADCASTQ(NewDataAddr(Symbol{Name: "constantBytes", Static: true}, 0), less)
	for v := range k.used {
		z := laneFactor(v, constant)
		if v == 0 {
			VPBROADCASTQ(head, first, z)
		}
		VPSUBQ(less, z, z)
		VMOVDQU64(z, k.place8(v))
	}
}

// constants reads, in each lane of a vector, the constant of its element.
func (k *single) constants(v int) source {
	return func(i int, to VecVirtual) {
		gatherLanes(Mem{Base: k.program, Disp: 8 * i}, k.place8(v), k.used[v], to)
	}
}

// gatherLanes reads a word in each lane that is used, places apart from an address; others are zero.
func gatherLanes(at, places Mem, used Register, to VecVirtual) {
	mask, index := K(), ZMM()
	KMOVB(used, mask)
	VMOVDQU64(places, index)
	zero(to)
	at.Index, at.Scale = index, 1
	VPGATHERQQ(at, mask, to)
}

// load makes the first state.
func (k *single) load() {
	in, factor := Load(Param("in"), GP64()), GP64()
	LEAQ(Mem{Base: k.program, Disp: constant}, factor)
	head := GP64()
	MOVQ(k.program, head)
	ADDQ(U8(2*constant), k.program)
	valid := K()
	KXNORB(valid, valid, valid)
	first, one := K(), GP32()
	MOVL(U32(1), one)
	KMOVB(one, first)
	for v := range k.used {
		var c code
		nodes, less := K(), K()
		KMOVB(k.used[v], nodes)
		if v == 0 {
			KXORB(first, nodes, nodes) // the first element is no node
		}
		e := split(gather(in, nodes, laneFactor(v, 32), -32))
		c.lessThanModulus(e, less)
		c.add(func() { KANDB(less, valid, valid) })
		sum := c.start(k.constants(v))
		c.product(sum, e, c.from(broadcast(Mem{Base: factor})), limbs)
		state := c.reduce(sum, limbs)
		if v == 0 {
			for i := range state {
				c.add(func() { VPBROADCASTQ(Mem{Base: head, Disp: 8 * i}, first, state[i]) })
			}
		}
		c.storeElement(state, k.vector(v))
		weave(c)
	}
	result := GP32()
	KMOVB(valid, result)
	CMPL(result, U32(0xff))
	SETEQ(result.As8())
	Store(result.As8(), ReturnIndex(0))
	JNE(LabelRef("refused"))
	nodes := GP64()
	LEAQ(Mem{Base: k.width, Disp: -1}, nodes)
	IMUL3Q(U8(constant), nodes, nodes)
	ADDQ(nodes, k.program)
}

// rounds runs all rounds but for the last matrix.
func (k *single) rounds() {
	left, partial := GP64(), Load(Param("partial"), GP64())
	ADDQ(U8(fullRounds/2), partial)
	LEAQ(Mem{Base: partial, Disp: fullRounds / 2}, left)
	Label("round")
	CMPQ(left, U8(fullRounds/2))
	JLE(LabelRef("full"))
	CMPQ(left, partial)
	JLE(LabelRef("head"))

	Label("full")
	raised := make([]code, len(k.used))
	for v := range raised {
		raised[v] = fifth(k.vector(v), k.constants(v))
	}
	weave(raised...)
	ADDQ(k.pairs, k.program)
	JMP(LabelRef("raised"))

	Label("head")
	e := raiseHead(k.vector(0), Mem{Base: k.program}, Mem{Base: k.program, Disp: constant})
	for i := range e {
		VMOVQ(e[i].AsX(), k.vector(0).Offset(64*i))
	}

	Label("raised")
	ADDQ(U8(2*constant), k.program)
	DECQ(left)
	JZ(LabelRef("last"))
	k.product()
	JMP(LabelRef("round"))
	Label("last")
}

// product multiplies the state by the matrix: the sum of its columns times the elements, each
// broadcast to all lanes. Lanes after the last element get sums that nothing reads.
func (k *single) product() {
	var c code
	sums := make([]accumulator, len(k.used))
	for v := range sums {
		sums[v] = make(accumulator, limbs+1)
		for i := range sums[v] {
			c.limb(sums[v], i)
		}
	}
	weave(c)
	column, at, left := GP64(), GP64(), GP64()
	MOVQ(k.matrix, column)
	MOVQ(k.state, at)
	XORQ(left, left)
	Label("column")
	c = nil
	factors := make([]VecVirtual, len(sums))
	for v := range factors {
		factors[v] = ZMM()
		c.add(func() { VMOVDQU64(Mem{Base: column, Disp: 64 * v}, factors[v]) })
	}
	var e element
	for i := range e {
		e[i] = ZMM()
		c.add(func() { VPBROADCASTQ(Mem{Base: at, Disp: 64 * i}, e[i]) })
	}
	for i := range e {
		for v := range sums {
			c.lo(sums[v][i], e[i], factors[v])
		}
	}
	for i := range e {
		for v := range sums {
			c.hi(sums[v][i+1], e[i], factors[v])
		}
	}
	weave(c)
	ADDQ(U8(8), column)
	ADDQ(U8(8), at)
	INCQ(left)
	if len(sums) > 1 { // from the last lane of a vector to the first of the next
		CMPQ(left, U8(8))
		JNE(LabelRef("same"))
		ADDQ(U32(elementBytes-64), at)
		Label("same")
	}
	CMPQ(left, k.width)
	JNE(LabelRef("column"))

	ends := make([]code, len(sums))
	for v := range ends {
		ends[v].storeElement(ends[v].reduce(sums[v], 1), k.vector(v))
	}
	weave(ends...)
}

// finish computes the result: the products of all elements with the last row, summed over the lanes.
func (k *single) finish() {
	var c code
	sum := make(accumulator, wideLimbs)
	for v := range k.used {
		places := laneFactor(v, constant)
		VMOVDQU64(places, k.place8(v))
	}
	for v := range k.used {
		c.product(sum, c.loadElement(k.vector(v)), c.from(k.constants(v)), limbs)
	}
	weave(c)
	for _, lanes := range []int{4, 2, 1} {
		for i := range sum {
			other := ZMM()
			VALIGNQ(U8(lanes), sum[i], sum[i], other)
			VPADDQ(other, sum[i], sum[i])
		}
	}
	out := Load(Param("out"), GP64())
	for i, word := range join(canonical(sum)) {
		VMOVQ(word.AsX(), Mem{Base: out, Disp: 8 * i})
	}
}
