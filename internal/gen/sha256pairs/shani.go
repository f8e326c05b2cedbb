package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The SHA instructions deal with four rounds and four words of the schedule, a quad, at a time.
const (
	quads = rounds / 4
	quad  = 4 * word
)

// perPass is the number of messages that begin in a pass.
const perPass = 2

// state is that of one message, in the two registers that the SHA instructions want. They are named
// by the variables they hold, the first in the highest dword.
type state struct{ abef, cdgh reg.VecVirtual }

// stored is a state in memory.
type stored struct{ abef, cdgh operand.Mem }

// schedule is that of a message's first block. The four quads that the next one follows from are in
// memory, the last two of them in registers as well.
type schedule struct {
	slots operand.Mem       // quad t in slot t%4
	ring  [3]reg.VecVirtual // quad t in register t%3
}

// lane is what follows one message through a pass and the next.
type lane struct {
	first, second state // in the first block, and the message before in its second
	words         schedule
	middle        stored        // state between the blocks of the message before
	src, out      reg.GPVirtual // out is where the digest of the message before goes
}

// pairsSHA hashes in passes over the rounds of a block. In each pass two messages go through their
// first block and the two of the pass before through their second. That makes four chains of
// instructions, as many as the SHA unit can overlap where it begins an instruction every cycle and
// needs four for it; and since the second block has no schedule, the registers suffice.
func pairsSHA(t tables) {
	TEXT("pairsSHA", attr.NOSPLIT, "func(dst, src *[32]byte, n int)")
	Pragma("noescape")
	Doc("pairsSHA hashes n messages of 64 bytes from src to dst, n > 0.")
	dst, src, n := GP64(), GP64(), GP64()
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("n"), n)
	initial := stored{halfState("initialABEF", 0), halfState("initialCDGH", 2)}
	var lanes [perPass]lane
	slots := alignedLocal(perPass * 4 * quad)
	for i := range lanes {
		lanes[i] = newLane(slots.Offset(i * 4 * quad))
	}
	Comment("The first pass has no messages before it: what it makes of them goes to waste.")
	waste := AllocLocal(digest)
	for _, l := range lanes {
		LEAQ(waste, l.out)
		PXOR(l.second.abef, l.second.abef)
		PXOR(l.second.cdgh, l.second.cdgh)
	}

	Label("pass")
	ofLane(n, src, message, [perPass]reg.GPVirtual{lanes[0].src, lanes[1].src})
	for _, l := range lanes {
		l.begin(t, initial)
	}
	for q := range quads {
		Commentf("Rounds %d to %d.", 4*q, 4*q+3)
		for _, l := range lanes {
			l.firstBlock(t, q)
			l.secondBlock(t, q)
		}
	}
	for _, l := range lanes {
		l.finish(t)
		l.moveOn(initial)
	}
	ofLane(n, dst, digest, [perPass]reg.GPVirtual{lanes[0].out, lanes[1].out})

	SUBQ(operand.Imm(perPass), n)
	JLE(operand.LabelRef("last"))
	ADDQ(operand.Imm(perPass*message), src)
	ADDQ(operand.Imm(perPass*digest), dst)
	JMP(operand.LabelRef("pass"))
	Comment("The last pass begins the last messages once more, to no end.")
	Label("last")
	CMPQ(n, operand.I8(-perPass))
	JG(operand.LabelRef("pass"))
	RET()
}

// alignedLocal allocates memory that SHA256MSG1 can read: on a multiple of 16 bytes.
func alignedLocal(size int) operand.Mem {
	base := GP64()
	LEAQ(AllocLocal(size+quad).Offset(quad-1), base)
	ANDQ(operand.I8(-quad), base)
	return operand.Mem{Base: base}
}

func newLane(slots operand.Mem) lane {
	return lane{
		first: state{XMM(), XMM()}, second: state{XMM(), XMM()},
		words:  schedule{slots, [3]reg.VecVirtual{XMM(), XMM(), XMM()}},
		middle: stored{AllocLocal(quad), AllocLocal(quad)},
		src:    GP64(), out: GP64(),
	}
}

// halfState declares the half of the initial state that begins with that variable.
func halfState(name string, first int) operand.Mem {
	h := initialState()
	return words(name, []uint32{h[first+5], h[first+4], h[first+1], h[first]})
}

// ofLane sets the pointers of the lanes to consecutive items. The second lane repeats the first's
// if only one message is left.
func ofLane(n, from reg.GPVirtual, size int, to [perPass]reg.GPVirtual) {
	MOVQ(from, to[0])
	LEAQ(operand.Mem{Base: from, Disp: size}, to[1])
	CMPQ(n, operand.Imm(perPass))
	CMOVQLT(from, to[1])
}

// begin fetches a message and the initial state.
func (l lane) begin(t tables, initial stored) {
	MOVOU(t.swap, reg.X0)
	for q := range 4 {
		m := l.words.ring[q%3]
		MOVOU(operand.Mem{Base: l.src, Disp: quad * q}, m)
		PSHUFB(reg.X0, m)
		MOVOU(m, l.words.slots.Offset(quad*q))
	}
	MOVOU(initial.abef, l.first.abef)
	MOVOU(initial.cdgh, l.first.cdgh)
}

// firstBlock runs four rounds and makes the words that are due 16 rounds later.
func (l lane) firstBlock(t tables, q int) {
	slot := func(q int) operand.Mem { return l.words.slots.Offset(q % 4 * quad) }
	before, last, next := l.words.ring[(q+2)%3], l.words.ring[(q+3)%3], l.words.ring[(q+4)%3]
	MOVOU(slot(q), next)
	VPADDD(t.constants.Offset(quad*q), next, reg.X0)
	SHA256RNDS2(reg.X0, l.first.abef, l.first.cdgh)
	PSHUFD(operand.Imm(0x0e), reg.X0, reg.X0)
	SHA256RNDS2(reg.X0, l.first.cdgh, l.first.abef)
	if q >= quads-4 {
		return
	}
	SHA256MSG1(slot(q+1), next)
	VPALIGNR(operand.Imm(word), before, last, reg.X0)
	PADDD(reg.X0, next)
	SHA256MSG2(last, next)
	MOVOU(next, slot(q))
}

// secondBlock runs four rounds of the message before.
func (l lane) secondBlock(t tables, q int) {
	MOVQ(t.padding.Offset(quad*q), reg.X0)
	SHA256RNDS2(reg.X0, l.second.abef, l.second.cdgh)
	MOVQ(t.padding.Offset(quad*q+2*word), reg.X0)
	SHA256RNDS2(reg.X0, l.second.cdgh, l.second.abef)
}

// finish writes the digest of the message before. Its halves, a to d and e to h, are the upper and
// the lower halves of the two registers, each with the bytes of two words turned around.
func (l lane) finish(t tables) {
	abef, cdgh := l.second.abef, l.second.cdgh
	MOVOU(l.middle.abef, reg.X0)
	PADDD(reg.X0, abef)
	MOVOU(l.middle.cdgh, reg.X0)
	PADDD(reg.X0, cdgh)
	efgh := XMM()
	MOVO(abef, efgh)
	PUNPCKLQDQ(cdgh, efgh)
	PUNPCKHQDQ(cdgh, abef)
	MOVOU(t.swapPairs, reg.X0)
	PSHUFB(reg.X0, abef)
	PSHUFB(reg.X0, efgh)
	MOVOU(t.trim, reg.X0)
	PAND(reg.X0, efgh)
	MOVOU(abef, operand.Mem{Base: l.out})
	MOVOU(efgh, operand.Mem{Base: l.out, Disp: quad})
}

// moveOn ends the first block of a message, which the next pass takes through its second.
func (l lane) moveOn(initial stored) {
	for _, half := range []struct {
		first, second   reg.VecVirtual
		initial, middle operand.Mem
	}{
		{l.first.abef, l.second.abef, initial.abef, l.middle.abef},
		{l.first.cdgh, l.second.cdgh, initial.cdgh, l.middle.cdgh},
	} {
		MOVOU(half.initial, half.second)
		PADDD(half.first, half.second)
		MOVOU(half.second, half.middle)
	}
}
