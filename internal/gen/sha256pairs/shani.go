package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lane is one message on its way through the SHA instructions. These want the state in two
// registers, named by the variables they hold, the first in the highest dword.
type lane struct {
	src, dst   reg.GPVirtual
	abef, cdgh reg.VecVirtual
	w          [4]reg.VecVirtual // 16 words of the schedule
}

// pairsSHA hashes two messages at a time: the SHA unit can begin two rounds of one while it waits
// for two of the other. A last single message is hashed in both lanes.
func pairsSHA(t tables) {
	TEXT("pairsSHA", attr.NOSPLIT, "func(dst, src *[32]byte, n int)")
	Pragma("noescape")
	Doc("pairsSHA hashes n messages of 64 bytes from src to dst, n > 0.")
	dst, src, n := GP64(), GP64(), GP64()
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("n"), n)
	initial := [2]operand.Mem{stateHalf("initialABEF", 0), stateHalf("initialCDGH", 2)}

	Label("next2")
	both := [2]lane{{src: src, dst: dst}, {src: GP64(), dst: GP64()}}
	Comment("The second lane takes the next message, if there is one.")
	for _, p := range []struct {
		first, second reg.GPVirtual
		step          int
	}{{src, both[1].src, message}, {dst, both[1].dst, digest}} {
		LEAQ(operand.Mem{Base: p.first, Disp: p.step}, p.second)
		CMPQ(n, operand.Imm(2))
		CMOVQLT(p.first, p.second)
	}
	for i := range both {
		both[i].load(t, initial)
	}
	for quad := range rounds / 4 {
		Commentf("Message block, rounds %d to %d.", 4*quad, 4*quad+3)
		for i := range both {
			both[i].messageRounds(t, quad)
		}
	}
	for i := range both {
		both[i].keep(initial)
	}
	for quad := range rounds / 4 {
		Commentf("Padding block, rounds %d to %d.", 4*quad, 4*quad+3)
		for i := range both {
			both[i].paddingRounds(t, quad)
		}
	}
	for i := range both {
		both[i].store(t)
	}
	ADDQ(operand.Imm(2*message), src)
	ADDQ(operand.Imm(2*digest), dst)
	SUBQ(operand.Imm(2), n)
	JG(operand.LabelRef("next2"))
	RET()
}

// stateHalf declares the half of the initial state whose first variable is that one.
func stateHalf(name string, first int) operand.Mem {
	h := initialState()
	return words(name, []uint32{h[first+5], h[first+4], h[first+1], h[first]})
}

// load fetches the message and the initial state.
func (l *lane) load(t tables, initial [2]operand.Mem) {
	swap := XMM()
	MOVOU(t.swap, swap)
	for i := range l.w {
		l.w[i] = XMM()
		MOVOU(operand.Mem{Base: l.src, Disp: 16 * i}, l.w[i])
		PSHUFB(swap, l.w[i])
	}
	l.abef, l.cdgh = XMM(), XMM()
	MOVOU(initial[0], l.abef)
	MOVOU(initial[1], l.cdgh)
}

// messageRounds runs four rounds and makes the four words that are due four such steps later.
func (l *lane) messageRounds(t tables, quad int) {
	w := func(i int) reg.VecVirtual { return l.w[(quad+i)%4] }
	MOVOU(t.constants.Offset(16*quad), reg.X0)
	PADDD(w(0), reg.X0)
	SHA256RNDS2(reg.X0, l.abef, l.cdgh)
	PSHUFD(operand.Imm(0x0e), reg.X0, reg.X0)
	SHA256RNDS2(reg.X0, l.cdgh, l.abef)
	if quad >= rounds/4-4 {
		return
	}
	seventh := XMM() // the words 7 before those to be made
	MOVO(w(3), seventh)
	PALIGNR(operand.Imm(4), w(2), seventh)
	SHA256MSG1(w(1), w(0))
	PADDD(seventh, w(0))
	SHA256MSG2(w(3), w(0))
}

// keep ends the first block: the state is kept, in registers that held the message, for the end of
// the second.
func (l *lane) keep(initial [2]operand.Mem) {
	half := XMM()
	MOVOU(initial[0], half)
	PADDD(half, l.abef)
	MOVOU(initial[1], half)
	PADDD(half, l.cdgh)
	MOVO(l.abef, l.w[0])
	MOVO(l.cdgh, l.w[1])
}

// paddingRounds runs four rounds of the padding block.
func (l *lane) paddingRounds(t tables, quad int) {
	MOVQ(t.padding.Offset(16*quad), reg.X0)
	SHA256RNDS2(reg.X0, l.abef, l.cdgh)
	MOVQ(t.padding.Offset(16*quad+8), reg.X0)
	SHA256RNDS2(reg.X0, l.cdgh, l.abef)
}

// store writes the digest. Its halves a to d and e to h are the upper and lower halves of the two
// registers, with the bytes of each pair of words turned around.
func (l *lane) store(t tables) {
	PADDD(l.w[0], l.abef)
	PADDD(l.w[1], l.cdgh)
	swap := XMM()
	MOVOU(t.swapPairs, swap)
	upper := XMM()
	MOVO(l.abef, upper)
	PUNPCKHQDQ(l.cdgh, upper)
	PUNPCKLQDQ(l.cdgh, l.abef)
	PSHUFB(swap, upper)
	PSHUFB(swap, l.abef)
	MOVOU(t.trim, swap)
	PAND(swap, l.abef)
	MOVOU(upper, operand.Mem{Base: l.dst})
	MOVOU(l.abef, operand.Mem{Base: l.dst, Disp: 16})
}
